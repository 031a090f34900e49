"""AG-UI: streams of two frameworks are exact; any form of the events; streams that fail, end early or are malformed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ag_ui.core import Interrupt, RunAgentInput, RunFinishedEvent, RunFinishedInterruptOutcome
from ag_ui.encoder import EventEncoder
from pydantic_ai.ui.ag_ui import AGUIAdapter

from agents_app.adapters.ag_ui.agent import MALFORMED, NO_END, Item, answer
from agents_app.adapters.ag_ui.stream import FAILED
from agents_app.testing import Rehearsal, approve, deny, rehearse
from sessions_app.core.fold import MessageState
from tests.adapters.kits import ag_ui_kits, langgraph_kit, pydantic_ai_kit
from tests.adapters.kits.script import Call, Desk, Step, Think, Told, look, send

END = {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}
SCRIPT: list[Step] = [
    [Think("Let me think. "), Think("So."), "First, 😀 ", "I look.", look("here", "call_A"), send("Ann", "call_B", 1)],
    ["Then ", Call('{"where": "é\\n"}', "look", "call_C")],
    ["Done:\n\n", "* one\n", "* two"],
]


@pytest.mark.parametrize(
    ("native", "ag_ui"),
    [(pydantic_ai_kit, ag_ui_kits.PydanticAi()), (langgraph_kit, ag_ui_kits.LangGraph())],
    ids=["pydantic-ai", "langgraph"],
)
@pytest.mark.parametrize(
    "decision", [approve(), approve({"to": "Bob"}), deny("No.")], ids=["approved", "edited", "denied"]
)
async def test_the_answer_is_exactly_the_native_one(native: Any, ag_ui: Any, decision: Any) -> None:
    told = [await rehearse(kit.make(SCRIPT, Desk()).agent, "Go", decisions=[decision]) for kit in (native, ag_ui)]
    assert parts(told[0].message) == parts(told[1].message)
    assert told[1].text == "First, 😀 I look.Then Done:\n\n* one\n* two"


def parts(message: MessageState) -> list[Any]:
    """Return the parts without ids of approvals, times, and the words in which a framework asks."""
    plain = json.loads(json.dumps(message.parts))
    for part in plain:
        for name in ("id", "requestReason", "descriptor"):
            part.get("approval", {}).pop(name, None)
        part.pop("callProviderMetadata", None)
        if "output" in part:  # to the model LangChain says too that a person has edited the call
            part["output"] = part["output"].rpartition("Tool response:\n")[2]
    return list(plain)


async def play(*items: Item, **people: Any) -> Rehearsal:
    async def run(given: RunAgentInput) -> AsyncIterator[Item]:
        for item in items:
            yield item

    return await rehearse(lambda turn: answer(turn, run), "Go", **people)


async def test_events_may_come_as_server_sent_events() -> None:
    requests: list[Told] = []
    agent = pydantic_ai_kit.scripted_agent([["Hello ", look("here")], ["you."]], Desk(), requests)
    encoder = EventEncoder()

    async def run(given: RunAgentInput) -> AsyncIterator[str]:
        yield ": a comment\n\n"
        async for event in AGUIAdapter(agent, given).run_stream():
            yield encoder.encode(event)

    told = await rehearse(lambda turn: answer(turn, run), "Go")
    assert (told.status, told.text, told.tool("look")["output"]) == ("complete", "Hello you.", "here: found")


async def test_chunks_go_on_with_the_message_or_call_before() -> None:
    told = await play(
        {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "delta": "One, "},
        {"type": "TEXT_MESSAGE_CHUNK", "delta": "two."},
        {"type": "REASONING_MESSAGE_CHUNK", "messageId": "r", "delta": "Hm"},
        {"type": "REASONING_MESSAGE_CHUNK", "delta": "m"},
        {"type": "TOOL_CALL_CHUNK", "toolCallId": "c", "toolCallName": "look", "delta": '{"a"'},
        {"type": "TOOL_CALL_CHUNK", "delta": ": 1}"},
        {"type": "TOOL_CALL_RESULT", "messageId": "x", "toolCallId": "c", "content": "found"}, END,
    )  # fmt: skip
    assert (told.text, told.reasoning, told.tool("look")["input"]) == ("One, two.", "Hmm", {"a": 1})


async def test_events_of_earlier_versions_and_of_none() -> None:
    told = await play(
        {"type": "THINKING_START"}, {"type": "THINKING_TEXT_MESSAGE_START"},
        {"type": "THINKING_TEXT_MESSAGE_CONTENT", "delta": "Hm."}, {"type": "THINKING_TEXT_MESSAGE_END"},
        {"type": "NEVER_HEARD_OF", "x": 1}, {"type": "STEP_STARTED", "stepName": "s"},
        {"type": "STATE_SNAPSHOT", "snapshot": {"private": 1}},
        {"type": "TEXT_MESSAGE_START", "messageId": "u", "role": "user"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "u", "delta": "what the person said"},
        {"type": "CUSTOM", "name": "chart", "value": [1, 2]},
        {"type": "ACTIVITY_SNAPSHOT", "messageId": "a", "activityType": "PLAN", "content": {"steps": 1}},
        {**END, "result": {"people": 3}, "usage": [{"inputTokens": 3, "outputTokens": 4}]},
    )  # fmt: skip
    assert (told.reasoning, told.text, told.input_tokens, told.output_tokens) == ("Hm.", "", 3, 4)
    shown = {part["type"]: part["data"] for part in told.message.parts if part["type"].startswith("data-")}
    activity = {"type": "PLAN", "content": {"steps": 1}}
    assert shown == {"data-chart": [1, 2], "data-activity": activity, "data-output": {"people": 3}}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"type": "RUN_ERROR", "message": "sk-secret", "code": "x"}, FAILED),
        ({"type": "TEXT_MESSAGE_CONTENT", "delta": 7}, MALFORMED),
        ("data: {not json}\n\n", MALFORMED),
        ('data: "text"\n\n', MALFORMED),
        (": nothing more\n\n", NO_END),
    ],
)
async def test_a_stream_that_fails_keeps_its_text(item: Item, reason: str) -> None:
    told = await play({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "So far"}, item)
    assert (told.status, told.text, told.message.reason) == ("failed", "So far", reason)
    assert "sk-secret" not in str(told.chunks)


async def test_arguments_that_are_not_json_end_the_call() -> None:
    told = await play(
        {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "look"},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": '{"a"'}, {"type": "TOOL_CALL_END", "toolCallId": "c"},
        {"type": "TOOL_CALL_RESULT", "messageId": "x", "toolCallId": "c", "content": "found"},
        {"type": "TOOL_CALL_RESULT", "messageId": "y", "toolCallId": "unknown", "content": "found"}, END,
    )  # fmt: skip
    assert (told.status, told.tool("look")["state"]) == ("complete", "output-error")


@pytest.mark.parametrize(
    ("decision", "payload"),
    [(approve(), True), (deny("No."), False), (approve({"value": {"message": "Pisa"}}), {"message": "Pisa"})],
)
async def test_an_interrupt_about_no_call_is_a_question(decision: Any, payload: object) -> None:
    given: list[RunAgentInput] = []

    async def run(input: RunAgentInput) -> AsyncIterator[Item]:
        given.append(input)
        if len(given) > 1:
            yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "Going."}
            yield END
            return
        interrupts = [Interrupt(id="i", reason="confirm", message="Rome?")]
        yield RunFinishedEvent(thread_id="t", run_id="r", outcome=RunFinishedInterruptOutcome(interrupts=interrupts))

    told = await rehearse(lambda turn: answer(turn, run), "Go", decisions=[decision])
    assert told.text == "Going."
    [entry] = given[1].resume or []
    assert (entry.interrupt_id, entry.payload) == ("i", payload)
    assert given[0].thread_id == given[1].thread_id
