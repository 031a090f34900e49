"""People in a model's run: approvals, client tools, steers and stops."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.exceptions import ApprovalRequired
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import ExternalToolset

from agents_app.adapters.history import GO_ON
from agents_app.adapters.values import UNSHOWABLE
from sessions_app import conf
from sessions_app.database import threads
from sessions_app.models import Approval, Run
from tests.models.scripted import call, request_parts, scripted, tool
from tests.support.person import text_of

pytestmark = pytest.mark.django_db(transaction=True)


class Mail:
    """An agent that sends mail once approved. `sent`: the mails sent."""

    def __init__(self, *steps: Any, approval: dict[str, Any] | None = None) -> None:
        model, self.given = scripted(*steps or ([call("send", '{"to": "Ann"}')], ["Done."]))
        self.sent: list[str] = []
        self.problem: Exception | None = None
        self.agent = Agent(model)
        self.agent.tool_plain(requires_approval=True, metadata={"approval": approval or {}})(self.send)

    async def send(self, to: str) -> str:
        self.sent.append(to)
        if self.problem:
            raise self.problem
        return f"sent to {to}"


def half() -> Iterator[str]:
    yield "One, "
    raise ValueError("gone")


def asked(conversation: Any, *, count: int = 1) -> list[dict[str, Any]]:
    parts = conversation.answer.parts if conversation.answer else []
    waiting = [part for part in parts if part.get("state") == "approval-requested"]
    return waiting if len(waiting) == count else []


async def decide(conversation: Any, part: dict[str, Any], kind: str = "approve", **payload: Any) -> None:
    approval = part["approval"]
    if kind == "approve":
        payload["input_hash"] = approval["descriptor"]["input_hash"]
    receipt = await conversation.send(kind, approval=approval["id"], **payload)
    assert receipt["status"] == "accepted", receipt


async def test_a_call_waits_for_approval_and_runs_once(talk: Any) -> None:
    mail = Mail(approval={"reason": "It sends mail."})
    conversation = await talk(mail.agent)
    await conversation.begin("Write to Ann")
    await conversation.wait_until(lambda: asked(conversation))
    [part] = asked(conversation)
    assert (part["input"], part["approval"]["requestReason"]) == ({"to": "Ann"}, "It sends mail.")
    assert mail.sent == []
    await decide(conversation, part)
    answer = await conversation.ended()
    assert (answer.status, text_of(answer), mail.sent) == ("complete", "Done.", ["Ann"])
    assert (tool(answer, "send")["state"], tool(answer, "send")["output"]) == ("output-available", "sent to Ann")
    assert ("tool-return", "sent to Ann") in request_parts(mail.given[1])
    approval = await threads.run(Approval.objects.get)
    assert approval.execution == Approval.Execution.DONE


async def test_a_denied_call_does_not_run_and_the_model_learns_why(talk: Any) -> None:
    mail = Mail()
    conversation = await talk(mail.agent)
    await conversation.begin("Write to Ann")
    await conversation.wait_until(lambda: asked(conversation))
    await decide(conversation, asked(conversation)[0], "deny", reason="Not today.")
    answer = await conversation.ended()
    assert (answer.status, tool(answer, "send")["state"], mail.sent) == ("complete", "output-denied", [])
    assert ("tool-return", "Not today.") in request_parts(mail.given[1])


async def test_an_approval_that_expires_is_a_denial(talk: Any) -> None:
    mail = Mail(approval={"expires_s": 0.1})
    answer = await (await talk(mail.agent)).ask("Write to Ann")
    assert (answer.status, tool(answer, "send")["state"], mail.sent) == ("complete", "output-denied", [])


async def test_the_approver_may_edit_the_arguments(talk: Any) -> None:
    mail = Mail(approval={"editable": True})
    conversation = await talk(mail.agent)
    await conversation.begin("Write to Ann")
    await conversation.wait_until(lambda: asked(conversation))
    await decide(conversation, asked(conversation)[0], input={"to": "Bob"})
    answer = await conversation.ended()
    assert (mail.sent, tool(answer, "send")["input"]) == (["Bob"], {"to": "Bob"})
    assert tool(answer, "send")["output"] == "sent to Bob"


async def test_invalid_edited_arguments_do_not_run(talk: Any) -> None:
    mail = Mail(approval={"editable": True})
    conversation = await talk(mail.agent)
    await conversation.begin("Write to Ann")
    await conversation.wait_until(lambda: asked(conversation))
    await decide(conversation, asked(conversation)[0], input={"to": 7})
    answer = await conversation.ended()
    assert (answer.status, mail.sent, tool(answer, "send")["state"]) == ("complete", [], "output-error")


async def test_an_approval_covers_its_call_alone(talk: Any) -> None:
    # The model gives the second call the first one's id; the first was approved, and could not run.
    mail = Mail(
        [call("send", '{"to": "Ann"}')], [call("send", '{"to": "Eve"}')], ["Done."], approval={"editable": True}
    )
    conversation = await talk(mail.agent)
    await conversation.begin("Write to Ann")
    await conversation.wait_until(lambda: asked(conversation))
    await decide(conversation, asked(conversation)[0], input={"to": 7})
    await conversation.wait_until(lambda: asked(conversation) and asked(conversation)[0]["input"] == {"to": "Eve"})
    assert mail.sent == []
    await decide(conversation, asked(conversation)[0], "deny")
    answer = await conversation.ended()
    states = [part["state"] for part in answer.parts if part["type"] == "tool-send"]
    assert (mail.sent, states) == ([], ["output-error", "output-denied"])


async def test_several_calls_are_decided_in_any_order(talk: Any) -> None:
    calls = {
        **call("send", '{"to": "Ann"}', "call_1", index=0),
        **call("send", '{"to": "Bob"}', "call_2", index=1),
        **call("send", '{"to": "Cy"}', "call_3", index=2),
    }
    mail = Mail([calls], ["Done."])
    conversation = await talk(mail.agent)
    await conversation.begin("Write to all")
    await conversation.wait_until(lambda: asked(conversation, count=3))
    ann, bob, cy = asked(conversation, count=3)
    await decide(conversation, cy)
    await decide(conversation, ann, "deny")
    await decide(conversation, bob)
    answer = await conversation.ended()
    states = [part["state"] for part in answer.parts if part["type"] == "tool-send"]
    assert (states, sorted(mail.sent)) == (["output-denied", "output-available", "output-available"], ["Bob", "Cy"])


async def test_a_tool_may_ask_for_approval_itself(talk: Any) -> None:
    model, _ = scripted([call("pay", '{"euros": 40}')], ["Paid."])
    agent = Agent(model)

    @agent.tool
    def pay(ctx: RunContext[None], euros: int) -> str:
        if not ctx.tool_call_approved:
            raise ApprovalRequired(metadata={"approval": {"reason": f"It costs {euros} €."}})
        return "paid"

    conversation = await talk(agent)
    await conversation.begin("Buy it")
    await conversation.wait_until(lambda: asked(conversation))
    [part] = asked(conversation)
    assert part["approval"]["requestReason"] == "It costs 40 €."
    await decide(conversation, part)
    assert tool(await conversation.ended(), "pay")["output"] == "paid"


@pytest.mark.parametrize(
    ("problem", "status", "error"),
    [
        (ModelRetry("No such person."), "complete", "No such person."),
        (ValueError("a secret of the inside"), "failed", "The tool failed."),
    ],
)
async def test_an_approved_call_that_fails_is_an_error(talk: Any, problem: Exception, status: str, error: str) -> None:
    mail = Mail()
    mail.problem = problem
    conversation = await talk(mail.agent)
    await conversation.begin("Write to Ann")
    await conversation.wait_until(lambda: asked(conversation))
    await decide(conversation, asked(conversation)[0])
    answer = await conversation.ended()
    assert (answer.status, tool(answer, "send")["errorText"], mail.sent) == (status, error, ["Ann"])
    assert "secret" not in str(answer)


async def test_a_stop_while_waiting_for_approval_runs_nothing(talk: Any) -> None:
    mail = Mail()
    conversation = await talk(mail.agent)
    await conversation.begin("Write to Ann")
    await conversation.wait_until(lambda: asked(conversation))
    await conversation.send("cancel")
    assert ((await conversation.ended()).status, mail.sent) == ("cancelled", [])


async def test_arguments_that_cannot_be_shown_are_denied(talk: Any) -> None:
    mail = Mail([call("send", f'{{"to": "{"x" * conf.settings.chunk_bytes}"}}')], ["Done."])
    answer = await (await talk(mail.agent)).ask("Write to all")
    assert (answer.status, tool(answer, "send")["state"], mail.sent) == ("complete", "output-denied", [])
    assert ("tool-return", UNSHOWABLE) in request_parts(mail.given[1])


@pytest.mark.parametrize(
    ("result", "state", "given"),
    [
        ({"output": {"lat": 50, "lon": 8}}, "output-available", {"lat": 50, "lon": 8}),
        ({"error": "Not allowed."}, "output-error", "Not allowed."),
    ],
)
async def test_a_client_tool_returns_its_result(talk: Any, result: Any, state: str, given: Any) -> None:
    model, seen = scripted([call("locate", "{}")], ["There."])
    tools = ExternalToolset([ToolDefinition(name="locate", parameters_json_schema={"type": "object"})])
    conversation = await talk(Agent(model, toolsets=[tools]))
    await conversation.begin("Where am I?")
    await conversation.wait_until(
        lambda: conversation.answer and [part for part in conversation.answer.parts if part["type"] == "tool-locate"]
    )
    target = {"message": conversation.answer.id, "call": tool(conversation.answer, "locate")["toolCallId"]}
    await conversation.wait_until(lambda: tool(conversation.answer, "locate")["state"] == "input-available")
    receipt = await conversation.send("tool-result", **target, **result)
    assert receipt["status"] == "accepted"
    answer = await conversation.ended()
    assert (answer.status, tool(answer, "locate")["state"]) == ("complete", state)
    assert ("tool-return", given) in request_parts(seen[1])


async def test_a_client_never_gets_truncated_arguments(talk: Any) -> None:
    model, seen = scripted([call("locate", f'{{"by": "{"x" * conf.settings.chunk_bytes}"}}')], ["Nowhere."])
    tools = ExternalToolset([ToolDefinition(name="locate", parameters_json_schema={"type": "object"})])
    answer = await (await talk(Agent(model, toolsets=[tools]))).ask("Where am I?")
    assert (answer.status, tool(answer, "locate")["errorText"]) == ("complete", UNSHOWABLE)
    assert ("tool-return", UNSHOWABLE) in request_parts(seen[1])


async def test_a_steer_reaches_the_model_before_its_next_request(talk: Any) -> None:
    looked = asyncio.Event()
    model, given = scripted([call("look", "{}")], ["It is here."])
    agent = Agent(model)

    @agent.tool_plain
    async def look() -> str:
        await looked.wait()
        return "found"

    conversation = await talk(agent)
    await conversation.begin("Where is it?")
    await conversation.wait_until(lambda: conversation.answer and "tool-look" in str(conversation.answer.parts))
    steer = await conversation.say("In the cellar?", kind="steer")
    await conversation.wait_until(lambda: conversation.signals.get(steer, {}).get("status") == "delivered")
    looked.set()
    answer = await conversation.ended()
    assert request_parts(given[1])[-2:] == [("tool-return", "found"), ("user-prompt", "In the cellar?")]
    assert [part["type"] for part in answer.parts if part["type"] in ("steering-message", "text")] == [
        "steering-message", "text",
    ]  # fmt: skip


async def test_a_stop_ends_the_request_at_once(talk: Any) -> None:
    stopped = asyncio.Event()

    async def stream(messages: list[ModelMessage], info: object) -> AsyncIterator[str]:
        try:
            yield "So far"
            await asyncio.Event().wait()
        finally:
            stopped.set()

    conversation = await talk(Agent(FunctionModel(stream_function=stream)))
    await conversation.begin("Hello")
    await conversation.wait_until(lambda: conversation.answer and text_of(conversation.answer))
    await conversation.send("cancel")
    answer = await conversation.ended()
    assert (answer.status, text_of(answer), stopped.is_set()) == ("cancelled", "So far", True)


async def test_a_broken_answer_continues_where_it_ended(talk: Any) -> None:
    model, given = scripted(half, ["two."])
    conversation = await talk(Agent(model))
    broken = await conversation.ask("Count")
    assert (broken.status, text_of(broken)) == ("failed", "One, ")
    answer = await conversation.retry("continue")
    assert (answer.status, text_of(answer)) == ("complete", "two.")
    assert request_parts(given[1]) == [("user-prompt", "Count"), ("text", "One, "), ("user-prompt", GO_ON)]


async def test_an_answer_can_be_regenerated(talk: Any) -> None:
    model, given = scripted(["One."], ["Two."])
    conversation = await talk(Agent(model))
    await conversation.ask("Count")
    answer = await conversation.retry("regenerate")
    assert text_of(answer) == "Two."
    assert request_parts(given[1]) == [("user-prompt", "Count")]


@pytest.mark.parametrize("ending", [["Here."], half], ids=["complete", "failed"])
async def test_tokens_are_counted_however_it_ends(talk: Any, ending: Any) -> None:
    model, _ = scripted([call("look", "{}")], ending)
    agent = Agent(model)
    agent.tool_plain(lambda: "found", name="look")
    await (await talk(agent)).ask("Where?")
    run = await threads.run(Run.objects.get)
    assert run.input_tokens > 0 and run.output_tokens > 0
