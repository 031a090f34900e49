"""`agents_app.testing`: an agent does in a rehearsal what it does in a session, without a database."""

from typing import Any

import pytest

from agents_app.builtin import demo, demo_report
from agents_app.builtin.demo import ANSWER
from agents_app.testing import Decided, approve, deny, expire, person, rehearse, response
from agents_app.tool_call import EXPIRED, NO_RESULT, TOOL_FAILED, ToolFailed
from agents_app.turn import AgentFailed, Turn
from sessions_app.core.errors import HoldfastError

MAIL = {"to": "ann@example.com"}


@pytest.fixture(autouse=True)
def fast(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"DEMO_TOKENS_PER_S": 10_000}


async def sender(turn: Turn) -> None:
    """Ask before sending a mail, and report the outcome."""
    call = await turn.tool("send_mail", MAIL)
    decision = await call.approval("It goes outside.", editable=turn.prompt == "Let me edit")
    try:
        sent = await call.execute(send)
    except ToolFailed as problem:
        sent = problem
    await turn.text(f"{decision.actor}: {decision.reason}, {sent}")


async def send(arguments: Any) -> str:
    if arguments["to"] == "nobody":
        raise OSError("no such address")
    return f"sent to {arguments['to']}"


async def test_an_agent_gets_the_prompt_and_the_history() -> None:
    async def agent(turn: Turn) -> None:
        await turn.reasoning(f"{len(turn.history)} messages, to {turn.mode}")
        await turn.text(f"after {turn.history[0].parts[0]['text']}: {turn.prompt}")
        turn.usage(input_tokens=3, output_tokens=1)
        turn.usage(output_tokens=1)

    answer = await rehearse(agent, "Now", history=[person("Before"), response("Yes")])
    assert (answer.status, answer.reasoning, answer.text) == ("complete", "3 messages, to answer", "after Before: Now")
    assert (answer.input_tokens, answer.output_tokens) == (3, 2)
    assert answer.chunks[0]["type"] == "start"


async def test_steers_arrive_at_their_steps() -> None:
    async def agent(turn: Turn) -> None:
        for _ in range(2):
            await turn.text(f"{await turn.step()}")

    answer = await rehearse(agent, "Go", steers={2: ["more", "of it"], 3: "too late"})
    assert answer.text == "[]['more', 'of it']"
    assert answer.unread == ["too late"]
    assert [part["type"] for part in answer.message.parts].count("steering-message") == 2


@pytest.mark.parametrize(
    ("decision", "text", "state"),
    [
        (approve(), "user:1: , sent to ann@example.com", "output-available"),
        (approve({"to": "bob"}, reason="To Bob", actor="user:2"), "user:2: To Bob, sent to bob", "output-available"),
        (approve({"to": "nobody"}), f"user:1: , {TOOL_FAILED}", "output-error"),
        (deny("No"), "user:1: No, It was not approved, or it has been called before.", "output-denied"),
        (expire(), f"None: {EXPIRED}, It was not approved, or it has been called before.", "output-denied"),
    ],
)
async def test_scripted_decisions_are_used_in_order(decision: Decided, text: str, state: str) -> None:
    answer = await rehearse(sender, "Let me edit", decisions=[decision])
    assert (answer.text, answer.tool("send_mail")["state"]) == (text, state)


async def test_an_approved_call_runs_once() -> None:
    async def agent(turn: Turn) -> None:
        call = await turn.tool("send_mail", MAIL)
        await call.approval()
        await call.execute(send)
        await call.execute(send)

    with pytest.raises(ToolFailed, match="called before"):
        await rehearse(agent, "Go", decisions=[approve()])


async def test_a_script_that_does_not_fit_fails() -> None:
    with pytest.raises(AssertionError, match="no decision left"):
        await rehearse(sender, "Go")
    with pytest.raises(AssertionError, match="lets nobody edit"):
        await rehearse(sender, "Go", decisions=[approve({"to": "bob"})])
    with pytest.raises(AssertionError, match="did not ask for 1 of the decisions"):
        await rehearse(sender, "Go", decisions=[approve(), deny()])


@pytest.mark.parametrize(
    ("result", "text"), [({"lat": 54}, "{'lat': 54}"), (ToolFailed("no GPS"), "no GPS"), (None, NO_RESULT)]
)
async def test_client_tools_get_their_scripted_results(result: Any, text: str) -> None:
    async def agent(turn: Turn) -> None:
        try:
            place = await (await turn.tool("locate", {})).result()
        except ToolFailed as problem:
            place = problem
        await turn.text(f"{place}")

    assert (await rehearse(agent, "Where?", results=[result])).text == text
    with pytest.raises(AssertionError, match="the script has none left"):
        await rehearse(agent, "Where?")


async def test_an_agent_that_gives_up_keeps_its_text() -> None:
    async def agent(turn: Turn) -> None:
        await turn.text("half")
        raise AgentFailed("Ask again.")

    answer = await rehearse(agent, "Go")
    assert (answer.status, answer.message.reason, answer.text) == ("failed", "Ask again.", "half")


@pytest.mark.parametrize("chunk", [{"type": "unheard-of"}, {"type": "text-delta", "id": "t", "delta": "not begun"}])
async def test_a_rehearsal_refuses_the_chunks_that_a_session_refuses(chunk: Any) -> None:
    with pytest.raises(HoldfastError):
        await rehearse(lambda turn: turn.write(chunk), "Go")


async def test_the_demo_agent_can_be_rehearsed() -> None:
    assert (await rehearse(demo.demo, "Hello")).text == ANSWER.format(prompt="Hello", serial=1)
    report = await rehearse(
        demo.demo,
        "Report on fog",
        steers={2: "shorter", 6: "a map"},
        decisions=[approve({"to": "a@b", "subject": "Fog"})],
    )
    assert report.tool("send_report")["output"]["to"] == "a@b"
    assert "Shorter from here on." in report.text
    assert report.text.endswith(demo_report.TOO_LATE.format(steer="a map"))
    half = response(ANSWER.format(prompt="Hello", serial=1)[:700], status="interrupted")
    rest = await rehearse(demo.demo, "Hello", mode="continue", earlier=half)
    assert half.parts[0]["text"] + rest.text == ANSWER.format(prompt="Hello", serial=1)


async def test_a_lambda_may_wrap_an_async_agent_or_return_texts() -> None:
    async def wrapped(turn: Turn, text: str) -> None:
        await turn.text(text)

    assert (await rehearse(lambda turn: wrapped(turn, "wrapped"), "Go")).text == "wrapped"
    assert (await rehearse(lambda turn: ["a", "b"], "Go")).text == "ab"
