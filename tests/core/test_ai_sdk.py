"""The AI SDK's wire: chunks that its client doesn't know, what an answer waits for, and readers of one response."""

from typing import Any

import pytest

from sessions_app.core.ai_sdk import ResponseReader, for_ai_sdk, waits_for_people
from sessions_app.core.fold import MessageState
from tests.core.sequences import MESSAGE, events, folded

Chunk = dict[str, Any]

START: Chunk = {"type": "start", "messageId": MESSAGE}
CALL: Chunk = {"type": "tool-input-available", "toolCallId": "c", "toolName": "pay", "input": {}}
MINE: Chunk = CALL | {"toolMetadata": {"holdfast": {"client": True}}}
OTHER: Chunk = CALL | {"toolCallId": "d"}
ASK: Chunk = {"type": "tool-approval-request", "approvalId": "a", "toolCallId": "c"}
YES: Chunk = {"type": "tool-approval-response", "approvalId": "a", "approved": True}
OUTPUT: Chunk = {"type": "tool-output-available", "toolCallId": "c", "output": 1}
STEP: Chunk = {"type": "start-step"}


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        ({"type": "interrupt", "reason": "It died."},
         [{"type": "finish", "finishReason": "interrupted", "reason": "It died."}]),
        ({"type": "message", "role": "user", "parts": []}, []),
        ({"type": "message-metadata"}, [{"type": "message-metadata", "messageMetadata": None}]),
        ({"type": "data-x", "id": "1"}, [{"type": "data-x", "id": "1", "data": None}]),
        ({"type": "tool-output-available", "toolCallId": "c"}, [OUTPUT | {"output": None}]),
        ({"type": "text-end", "id": "t", "citations": []}, [{"type": "text-end", "id": "t", "citations": []}]),
        (OUTPUT, [OUTPUT]),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_every_chunk_is_one_that_the_client_takes(chunk: Chunk, told: list[Chunk]) -> None:
    assert for_ai_sdk(chunk) == told  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chunks", "waits"),
    [
        ([], False),
        ([CALL], False),  # a tool of the server is at work
        ([CALL, ASK], True),
        ([CALL, ASK, YES], False),
        ([CALL, ASK, YES, OUTPUT], False),
        ([CALL, ASK, CALL | {"input": {"edited": 1}}], True),
        ([MINE], True),
        ([MINE, OUTPUT], False),
        ([CALL, ASK, OTHER], False),
        ([OTHER, STEP, CALL, ASK], True),  # an earlier step's call that nothing has ended
        ([CALL, ASK, STEP], True),
        ([CALL, ASK, {"type": "text-start", "id": "t"}], False),
        ([CALL, ASK, {"type": "reasoning-start", "id": "t"}], False),
        ([CALL, ASK, {"type": "tool-input-start", "toolCallId": "d", "toolName": "pay"}], False),
        ([CALL, ASK, OTHER, OUTPUT | {"toolCallId": "d", "preliminary": True}], False),
        ([CALL, ASK, {"type": "finish"}], False),
        ([CALL | {"toolMetadata": {"holdfast": "client"}}], False),
    ],
)
def test_an_answer_waits_only_for_people(chunks: list[Chunk], waits: bool) -> None:
    message = folded([START, *chunks])
    assert waits_for_people(message) is waits
    assert not waits_for_people(message, decided={"a", "c"})


def record(kind: str, status: str, **payload: str) -> Any:
    return {"kind": kind, "status": status, "message": MESSAGE, "payload": payload}


def read(reader: ResponseReader, chunks: list[Chunk]) -> list[str]:
    return [chunk["type"] for chunk in reader.follow(events(chunks))]  # type: ignore[arg-type]


def test_a_reader_is_told_each_event_once() -> None:
    text: list[Chunk] = [{"type": "text-start", "id": "t"}, {"type": "text-delta", "id": "t", "delta": "x"}]
    reader = ResponseReader(MESSAGE)
    assert reader.catch_up(None, []) == []
    first = reader.catch_up(folded([START, *text]), [])
    assert [chunk["type"] for chunk in first] == ["start", "text-start", "text-delta"]
    assert read(reader, [START, *text, {"type": "finish"}]) == ["finish"]
    assert reader.is_over


def test_a_reader_of_a_response_that_has_not_begun_gets_it_live() -> None:
    reader = ResponseReader(MESSAGE)
    other = {"serial": 7, "message": "m_other", "chunk": START, "at": 1}
    assert reader.follow([other]) == []  # type: ignore[list-item]
    assert read(reader, [START, CALL, ASK]) == ["start", CALL["type"], ASK["type"]]
    assert reader.is_over


def test_a_decision_that_is_under_way_keeps_a_reader() -> None:
    waiting = folded([START, CALL, ASK])
    reader = ResponseReader(MESSAGE)
    reader.catch_up(waiting, [record("approve", "delivered", approval="a")])
    assert not reader.is_over
    reader.follow([{"serial": 9, "signal": record("approve", "expired", approval="a")}])
    assert reader.is_over


def test_a_reader_gets_only_what_it_does_not_hold() -> None:
    waiting: MessageState = folded([START, STEP, CALL, ASK])
    held = waiting.parts[1] | {"state": "approval-responded", "approval": {"id": "a", "approved": True}}
    reader = ResponseReader(MESSAGE, [waiting.parts[0], held])  # type: ignore[list-item]
    assert [chunk["type"] for chunk in reader.catch_up(waiting, [])] == ["start"]
    assert read(reader, [START, STEP, CALL, ASK, YES, OUTPUT]) == [YES["type"], OUTPUT["type"]]


def test_silence_beside_a_question_to_people_ends_a_stream() -> None:
    """An agent may begin two calls, and ask about the second only after the first."""
    reader = ResponseReader(MESSAGE)
    read(reader, [START, CALL, OTHER, ASK])
    reader.beat()
    assert not reader.is_over  # chunks have come since the last beat
    reader.beat()
    assert reader.is_over


def test_silence_of_a_tool_ends_no_stream() -> None:
    reader = ResponseReader(MESSAGE)
    reader.beat()
    read(reader, [START, CALL])
    for _ in range(3):
        reader.beat()
    assert not reader.is_over
