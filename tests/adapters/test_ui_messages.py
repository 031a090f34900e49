"""UI message streams: NDJSON of the AI SDK and pydantic-ai's own; streams that fail, end early or are malformed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.ui.vercel_ai import VercelAIAdapter
from pydantic_ai.ui.vercel_ai.request_types import SubmitMessage, TextUIPart, UIMessage

from agents_app.adapters.ui_messages import MALFORMED, NO_ANSWER, NO_END, answer, publish
from agents_app.testing import Rehearsal, _Script, _Stage, rehearse
from tests.adapters.kits import pydantic_ai_kit
from tests.adapters.kits.script import Cite, Desk, Think, look

SAID = [
    {"type": "start", "messageId": "theirs"}, {"type": "start-step"}, {"type": "reasoning-start", "id": "r"},
    {"type": "reasoning-delta", "id": "r", "delta": "Hm."}, {"type": "reasoning-end", "id": "r"},
    {"type": "tool-input-start", "toolCallId": "c", "toolName": "look"},
    {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": '{"where": "x"}'},
    {"type": "tool-input-available", "toolCallId": "c", "toolName": "look", "input": {"where": "x"}},
    {"type": "tool-output-available", "toolCallId": "c", "output": {"found": True}}, {"type": "finish-step"},
    {"type": "start-step"}, {"type": "text-start", "id": "0"}, {"type": "text-delta", "id": "0", "delta": "Here, "},
    {"type": "text-delta", "id": "0", "delta": "\u00e9 😀."}, {"type": "text-end", "id": "0"},
    {"type": "source-url", "sourceId": "s", "url": "https://example.com"}, {"type": "finish-step"}, {"type": "finish"},
]  # fmt: skip


async def play(*texts: str | bytes) -> Rehearsal:
    async def lines() -> AsyncIterator[str | bytes]:
        for text in texts:
            yield text

    return await rehearse(lambda turn: answer(turn, lines()), "Go")


def ndjson(*chunks: Any) -> list[str]:
    return [json.dumps(chunk) + "\n" for chunk in chunks]


@pytest.mark.parametrize("whole", [False, True], ids=["by line", "at once"])
@pytest.mark.parametrize("prefix", ["", "data: "], ids=["ndjson", "sse"])
async def test_a_stream_is_an_answer(prefix: str, whole: bool) -> None:
    texts = [prefix + line for line in ndjson(*SAID)]
    told = await play("".join(texts).encode()) if whole else await play(*texts)
    kinds = ["step-start", "reasoning", "tool-look", "step-start", "text", "source-url"]
    assert [part["type"] for part in told.message.parts] == kinds
    assert (told.status, told.reasoning, told.text) == ("complete", "Hm.", "Here, é 😀.")
    assert (told.tool("look")["input"], told.tool("look")["output"]) == ({"where": "x"}, {"found": True})
    assert told.message.id != "theirs"


async def test_characters_in_two_halves_are_whole() -> None:
    deltas = ({"type": "text-delta", "id": "0", "delta": half} for half in ("Hi \ud83d", "\ude00"))
    told = await play(*ndjson({"type": "text-start", "id": "0"}, *deltas, {"type": "finish"}))
    assert told.text == "Hi 😀"


async def test_pydantic_ais_stream_is_exact() -> None:
    script: Any = [[Think("Hm."), "Let me ", "look. ", look("x")], ["It is here.", Cite("https://example.com", "A")]]
    agent = pydantic_ai_kit.scripted_agent(script, Desk(), [])
    asked = SubmitMessage(id="chat", messages=[UIMessage(id="u", role="user", parts=[TextUIPart(text="Go")])])
    adapter: Any = VercelAIAdapter(agent, asked)
    told = await rehearse(lambda turn: answer(turn, adapter.encode_stream(adapter.run_stream())), "Go")
    assert (told.status, told.reasoning, told.text) == ("complete", "Hm.", "Let me look. It is here.")
    assert told.tool("look")["output"] == "x: found"
    assert [part["url"] for part in told.message.parts if part["type"] == "source-url"] == ["https://example.com"]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([], NO_END),
        (["{not json}\n"], MALFORMED),
        (["[1]\n"], MALFORMED),
        (ndjson({"type": "no-such-chunk"}), MALFORMED),
        (ndjson({"type": "text-delta", "id": "never begun", "delta": "x"}), MALFORMED),
        (ndjson({"type": "message", "role": "user", "parts": []}), MALFORMED),
        (ndjson({"type": "interrupt", "reason": "x"}), MALFORMED),
        (ndjson({"type": "error", "errorText": "The model is away."}), "The model is away."),
        (ndjson({"type": "tool-approval-request", "approvalId": "a", "toolCallId": "c"}), NO_ANSWER),
        (ndjson({"type": "abort"}), "The agent stopped before it was done. Ask again."),
    ],
)
async def test_a_stream_that_fails_keeps_its_text(texts: list[str], reason: str) -> None:
    said = ndjson(
        {"type": "start"}, {"type": "text-start", "id": "0"}, {"type": "text-delta", "id": "0", "delta": "So far"}
    )
    told = await play(*said, *texts)
    assert (told.status, told.text, told.message.reason) == ("failed", "So far", reason)


@pytest.mark.parametrize(
    ("texts", "status", "reason"),
    [
        (ndjson({"type": "finish", "finishReason": "stop"}, {"type": "finish-step"}), "complete", "stop"),
        (ndjson({"type": "error", "errorText": "Away."}, {"type": "finish"}), "failed", "Away."),
        ([], "failed", NO_END),
        (["{"], "failed", MALFORMED),
    ],
)
async def test_a_published_stream_ends_once(texts: list[str], status: str, reason: str) -> None:
    async def lines() -> AsyncIterator[str]:
        for text in [*ndjson({"type": "start"}), *texts]:
            yield text

    stage = _Stage(_Script({}, [], []), 65_536)
    await publish(stage, lines())
    assert (stage.message.status, stage.message.reason) == (status, reason)
