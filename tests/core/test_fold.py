"""The fold: the message after each of its chunks; the browser uses the same cases from tests/fixtures."""

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.errors import HoldfastError
from sessions_app.core.fold import apply, begin, ended, fold, from_wire, to_wire
from sessions_app.core.vocabulary import ENDS, check
from tests.core.sequences import events, folded, response

FIXTURES = Path(__file__).parents[1] / "fixtures"
SEEDS = st.integers(0, 10**6)
LENGTHS = st.integers(0, 60)


def fixtures(name: str) -> list[Any]:
    cases = json.loads((FIXTURES / name).read_text())
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", fixtures("fold.json"))
def test_each_fixture_folds(case: dict[str, Any]) -> None:
    for chunk in case["chunks"]:
        check(chunk, max_bytes=10_000)
    message = to_wire(folded(case["chunks"]))
    assert {name: message[name] for name in case["message"]} == case["message"]
    assert (message["first_serial"], message["last_serial"]) == (1, len(case["chunks"]))


@pytest.mark.parametrize("case", fixtures("refused.json"))
def test_each_invalid_fixture_is_refused(case: dict[str, Any]) -> None:
    check(case["chunk"], max_bytes=10_000)
    *before, last = events([*case["before"], case["chunk"]])
    messages: dict[str, Any] = {}
    for event in before:
        fold(messages, event)
    unchanged = copy.deepcopy(messages)
    with pytest.raises(HoldfastError) as refusal:
        fold(messages, last)
    assert refusal.value.code == case["code"]
    assert messages == unchanged


def test_a_start_must_name_its_events_message() -> None:
    event = {"serial": 1, "message": "m_1", "chunk": {"type": "start", "messageId": "m_2"}, "at": 0}
    with pytest.raises(HoldfastError) as refusal:
        begin(event)
    assert refusal.value.code == "bad_chunk"
    assert "m_2" in refusal.value.message


def test_messages_of_a_session_fold_independently() -> None:
    messages: dict[str, Any] = {}
    chunks = [
        ("m_1", {"type": "start"}),
        ("m_2", {"type": "start"}),
        ("m_1", {"type": "text-start", "id": "t"}),
        ("m_2", {"type": "text-start", "id": "t"}),
        ("m_2", {"type": "text-delta", "id": "t", "delta": "two"}),
        ("m_1", {"type": "text-delta", "id": "t", "delta": "one"}),
        ("m_1", {"type": "finish"}),
    ]
    for serial, (message, chunk) in enumerate(chunks, 1):
        fold(messages, {"serial": serial, "message": message, "chunk": chunk, "at": 1000 * serial})
    assert [message.parts[0]["text"] for message in messages.values()] == ["one", "two"]
    assert [(m.first_serial, m.last_serial, m.created_at) for m in messages.values()] == [(1, 7, 1000), (2, 5, 2000)]
    assert [ended(message) for message in messages.values()] == [True, False]


@pytest.mark.parametrize(("type_", "status"), ENDS.items())
def test_an_ended_message_has_no_open_parts(type_: str, status: str) -> None:
    opening = [
        {"type": "start"},
        {"type": "text-start", "id": "t"},
        {"type": "reasoning-start", "id": "r"},
        {"type": "tool-input-start", "toolCallId": "c", "toolName": "a"},
    ]
    message = folded([*opening, {"type": type_, "errorText": "why", "reason": "why"}])
    assert message.status == status
    assert message.open == {"text": {}, "reasoning": {}, "tools": {}}


def test_a_parts_serials_name_the_events_that_created_and_last_changed_it() -> None:
    message = folded(
        [
            {"type": "start"},
            {"type": "text-start", "id": "t"},
            {"type": "tool-input-start", "toolCallId": "c", "toolName": "a"},
            {"type": "text-delta", "id": "t", "delta": "x"},
            {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{"},
        ]
    )
    assert message.marks == [[2, 4], [3, 3]]


def test_folding_does_not_change_the_chunks() -> None:
    for seed in range(50):
        chunks = response(seed)
        logged = copy.deepcopy(chunks)
        folded(chunks)
        assert chunks == logged


@given(seed=SEEDS, length=LENGTHS)
def test_a_message_continues_to_fold_after_serialization(seed: int, length: int) -> None:
    chunks = response(seed, length)
    cut = Random(seed).randint(1, len(chunks))
    message = from_wire(json.loads(json.dumps(to_wire(folded(chunks[:cut])))))
    for event in events(chunks)[cut:]:
        apply(message, event["serial"], event["chunk"])
    assert to_wire(message) == to_wire(folded(chunks))


@given(seed=SEEDS, length=LENGTHS, other=SEEDS)
def test_a_refused_chunk_changes_nothing(seed: int, length: int, other: int) -> None:
    message = folded(response(seed, length))
    refused = 0
    for chunk in response(other, length=30):
        before = copy.deepcopy(message)
        try:
            apply(message, message.last_serial + 1, chunk)
        except HoldfastError as refusal:
            refused += 1
            assert refusal.code in ("unknown_part", "message_exists", "message_ended")
            assert message == before
    assert refused > 0  # another response's start at least
