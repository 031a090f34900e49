"""People in adapters' runs, in real sessions: decisions from another tab, stops in each phase, calls begun before."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from agents_app.local.backend import LocalBackend
from agents_app.tool_call import TOOL_FAILED
from sessions_app.core.fold import MessageState
from sessions_app.core.tools import UNKNOWN_OUTCOME
from sessions_app.models import Approval
from tests.adapters.kits import KITS
from tests.adapters.kits.script import Desk, Hold, Step, look, send
from tests.support.agents import Conversation, process
from tests.support.harness import until
from tests.support.person import text_of

__all__ = ["process"]

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "a secret of the inside"


@pytest.fixture(params=KITS, ids=lambda kit: kit.name)
def kit(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def talk(kit: Any, desk: Desk, process: Any) -> AsyncIterator[Callable[..., Any]]:
    """Begin a conversation with an agent of this script, and ask it: `await talk(script)`."""
    async with AsyncExitStack() as stack:

        async def begin(*script: Step) -> Conversation:
            made = kit.make(list(script), desk)
            conversation = await stack.enter_async_context(Conversation(process, made.agent))
            await conversation.say("Write to Ann")
            return conversation

        yield begin


def part(conversation: Conversation, name: str = "send") -> dict[str, Any]:
    parts: list[Any] = conversation.answers[-1].parts if conversation.answers else []
    return next((part for part in parts if part["type"] == f"tool-{name}"), {})


async def decide(conversation: Conversation, kind: str, **payload: Any) -> None:
    """Wait until the agent asks, and decide from another tab."""
    await conversation.wait_until(lambda: part(conversation).get("state") == "approval-requested")
    approval = part(conversation)["approval"]
    if kind == "approve":
        payload["input_hash"] = approval["descriptor"]["input_hash"]
    tab = await conversation.second_tab()
    id = await tab.signal(conversation.session, kind, {"approval": approval["id"], **payload})
    assert tab.receipts[id]["status"] == "accepted"
    await tab.__aexit__(None, None, None)


async def stopped(conversation: Conversation) -> MessageState:
    await conversation.send("cancel")
    return await conversation.answered()


async def test_a_call_is_approved_from_elsewhere(talk: Any, desk: Desk) -> None:
    conversation = await talk([send("Ann")], ["Done."])
    await decide(conversation, "approve")
    answer = await conversation.answered()
    assert (answer.status, text_of(answer), desk.sent) == ("complete", "Done.", ["Ann"])
    assert (await conversation.stored(Approval)).execution == Approval.Execution.DONE


async def test_a_call_is_edited_from_elsewhere(talk: Any, desk: Desk) -> None:
    conversation = await talk([send("Ann")], ["Done."])
    await decide(conversation, "approve", input={"to": "Bob"})
    answer = await conversation.answered()
    assert (answer.status, text_of(answer), desk.sent) == ("complete", "Done.", ["Bob"])
    assert part(conversation)["input"] == {"to": "Bob"}


async def test_a_call_is_denied_from_elsewhere(talk: Any, desk: Desk) -> None:
    conversation = await talk([send("Ann")], ["As you like."])
    await decide(conversation, "deny", reason="Not today.")
    answer = await conversation.answered()
    assert (answer.status, text_of(answer), desk.sent) == ("complete", "As you like.", [])
    assert part(conversation)["state"] == "output-denied"


async def test_a_call_that_has_begun_before_is_not_run(talk: Any, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def begun_before(self: LocalBackend, approval: str) -> bool:
        return False

    monkeypatch.setattr(LocalBackend, "begin_call", begun_before)
    conversation = await talk([send("Ann")], ["Oh."])
    await decide(conversation, "approve")
    await conversation.answered()
    assert desk.sent == []


async def test_an_approved_call_that_raises_does_not_show_its_words(kit: Any, talk: Any, desk: Desk) -> None:
    desk.problem = ValueError(SECRET)
    conversation = await talk([send("Ann")], ["Oh."])
    await decide(conversation, "approve")
    answer = await conversation.answered()
    assert desk.sent == ["Ann"] and SECRET not in str(answer)
    if kit.name.startswith("ag-ui"):  # it tells that the run has failed, not the tool
        assert answer.status == "failed"
        return
    assert (part(conversation)["state"], part(conversation)["errorText"]) == ("output-error", TOOL_FAILED)
    assert (await conversation.stored(Approval)).execution == Approval.Execution.FAILED


# Stops


async def test_a_stop_while_the_model_speaks(talk: Any, desk: Desk) -> None:
    conversation = await talk(["So far", Hold()])
    await conversation.wait_until(lambda: conversation.answers and text_of(conversation.answers[-1]) == "So far")
    answer = await stopped(conversation)
    assert (answer.status, answer.reason, text_of(answer)) == ("cancelled", "Stopped.", "So far")
    assert desk.stopped == ["model"]


async def test_a_stop_while_a_tool_runs(talk: Any, desk: Desk) -> None:
    desk.holds = True
    conversation = await talk([look("here")])
    await conversation.wait_until(lambda: part(conversation, "look").get("state") == "input-available")
    await until(lambda: desk.looked)  # which may come after the last frame
    answer = await stopped(conversation)
    assert (answer.status, answer.reason, desk.stopped) == ("cancelled", "Stopped.", ["look"])


async def test_a_stop_while_a_person_is_asked(talk: Any, desk: Desk) -> None:
    conversation = await talk([send("Ann")])
    await conversation.wait_until(lambda: part(conversation).get("state") == "approval-requested")
    answer = await stopped(conversation)
    assert (answer.status, answer.reason, desk.sent) == ("cancelled", "Stopped.", [])


async def test_a_stop_while_an_approved_call_runs(talk: Any, desk: Desk) -> None:
    desk.holds = True
    conversation = await talk([send("Ann")])
    await decide(conversation, "approve")
    while not desk.sent:
        await asyncio.sleep(0.01)
    answer = await stopped(conversation)
    assert (answer.status, answer.reason, desk.stopped) == ("cancelled", "Stopped.", ["send"])
    assert part(conversation)["errorText"] == UNKNOWN_OUTCOME


async def test_a_process_that_stops_interrupts_an_approved_call(talk: Any, desk: Desk, process: Any) -> None:
    desk.holds = True
    conversation = await talk([send("Ann")])
    await decide(conversation, "approve")
    while not desk.sent:
        await asyncio.sleep(0.01)
    await process.stop()
    answer = await conversation.answered()
    assert (answer.status, desk.sent, part(conversation)["errorText"]) == ("interrupted", ["Ann"], UNKNOWN_OUTCOME)
