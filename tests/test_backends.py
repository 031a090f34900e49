"""The agent backends: one agent function makes the same message in a session as in a rehearsal."""

from typing import Any

import pytest

from agents_app.testing import approve, deny, rehearse
from agents_app.tool_call import ToolCall, ToolFailed
from agents_app.turn import Turn
from sessions_app.core.message import MessageState
from sessions_app.core.signals import input_hash
from sessions_app.core.wire_types import Part
from sessions_app.process import Process
from tests.support.agents import Conversation, process

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

MAIL = {"to": "ann@example.com"}
EDITED = {"to": "bob@example.com"}
PLACE = {"lat": 54}


async def agent(turn: Turn) -> None:
    """Use everything that a backend offers."""
    await turn.reasoning("They want a mail sent.")
    turn.usage(input_tokens=3, output_tokens=1)
    place = await turn.tool("locate", {}, title="Locate")
    await turn.text(f"It goes out from {await place.result()}. ")
    for reason in ("Once", "Twice"):
        await turn.text(await attempt(await turn.tool("send_mail", MAIL), reason))
    await turn.data("sent", {"mails": 1}, id="d1")
    for steer in await turn.step():
        await turn.text(f"[{steer}]")


async def attempt(call: ToolCall, reason: str) -> str:
    decision = await call.approval(reason, editable=True)
    try:
        return f"{decision.reason} {await call.execute(send)}"
    except ToolFailed as problem:
        return f"{decision.reason} {problem}"


async def send(arguments: dict[str, Any]) -> str:
    return f"sent to {arguments['to']}"


async def in_a_session(process: Process) -> tuple[MessageState, list[int]]:
    """Have the agent answer in a session; return its message, and its run's tokens."""
    async with Conversation(process, agent) as talk:
        await talk.say("Send it")
        await talk.wait_until(lambda: talk.answers and named(talk.answers[0], "locate"))
        await talk.send("tool-result", message=talk.answers[0].id, call="call_2", output=PLACE)
        yes = await asked(talk, 0)
        receipt = await talk.send("approve", approval=yes, input_hash=input_hash(MAIL), input=EDITED, reason="To Bob")
        assert (await talk.final(receipt["id"]))["status"] == "applied"
        no = await asked(talk, 1)
        steer = await talk.say("and thanks", kind="steer")
        await talk.tab.wait_status(talk.session, steer, "delivered")
        await talk.send("deny", approval=no, reason="Enough")
        message = await talk.answered()
        run = await talk.run()
        return message, [run.input_tokens, run.output_tokens]


async def asked(talk: Conversation, number: int) -> str:
    """Wait until the agent has asked for this approval, counted from 0; return its id."""
    await talk.wait_until(lambda: talk.answers and len(named(talk.answers[0], "send_mail")) > number)
    await talk.wait_until(lambda: "approval" in named(talk.answers[0], "send_mail")[number])
    approval: str = named(talk.answers[0], "send_mail")[number]["approval"]["id"]
    return approval


def named(message: MessageState, tool: str) -> list[Part]:
    return [part for part in message.parts if part["type"] == f"tool-{tool}"]


def comparable(message: MessageState) -> tuple[str, list[Part]]:
    """Return a message's status and parts without the ids and times that differ in every run."""
    for part in message.parts:
        if "approval" in part:
            part["approval"].pop("id")
            part["approval"]["descriptor"].pop("expires_at")
            part["callProviderMetadata"]["holdfast"].pop("decided_at")
            part["callProviderMetadata"]["holdfast"].pop("decided_by")
        if part["type"] == "steering-message":
            part.pop("id")
    return message.status, message.parts


async def test_an_agent_makes_the_same_message_in_a_session_as_in_a_rehearsal(process: Process) -> None:
    stored, tokens = await in_a_session(process)
    rehearsed = await rehearse(
        agent,
        "Send it",
        steers={1: "and thanks"},
        decisions=[approve(EDITED, reason="To Bob"), deny("Enough")],
        results=[PLACE],
    )
    assert comparable(stored) == comparable(rehearsed.message)
    assert tokens == [rehearsed.input_tokens, rehearsed.output_tokens] == [3, 1]
    assert rehearsed.text.endswith("It was not approved, or it has been called before.[and thanks]")
