"""Signal parsing: every payload is accepted or refused with a named error, and final statuses are final."""

import json
from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import (
    KINDS,
    METADATA_BYTES,
    OPEN,
    TEXT_FIELDS,
    TRANSITIONS,
    Limits,
    Sent,
    input_hash,
    may_follow,
    read,
    shown,
)

LIMITS = Limits(message_bytes=200, chunk_bytes=300)
TEXT = {"type": "text", "text": "Hello"}
REFUSALS = {"bad_signal", "message_too_large"}

# What a JSON parser may give: Python's own lets halves of surrogate pairs through, and numbers that JSON hasn't.
text = st.text(st.characters(), max_size=20) | st.sampled_from(["\ud800", "a\udfff", "\0", "m_1", "x" * 300])
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
parts = st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "file"]) | anything}, optional={"text": text}))
nearly_right = st.fixed_dictionaries(
    {},
    optional={
        "parts": parts | anything,
        "metadata": st.dictionaries(text, anything, max_size=3) | anything,
        "message": text | anything,
        "approval": text | anything,
        "input_hash": text | anything,
        "input": st.dictionaries(text, anything, max_size=3) | anything,
        "input_text": st.dictionaries(text, anything, max_size=3).map(json.dumps) | anything,
        "reason": st.text(max_size=1100) | anything,
        "call": text | anything,
        "output": anything,
        "error": text | anything,
        "mode": st.sampled_from(["continue", "regenerate", ""]) | anything,
    },
)


def sent(kind: str, payload: Any) -> Sent | None:
    try:
        return read("signal-1", kind, payload, actor="guest:1", limits=LIMITS)
    except HoldfastError as problem:
        assert problem.code in REFUSALS
        return None


@pytest.mark.parametrize("kind", KINDS)
@given(payload=nearly_right)
def test_every_payload_is_accepted_or_refused_with_a_named_error(kind: str, payload: Any) -> None:
    if kind in ("message", "steer"):  # which refuse the fields of other kinds
        payload = {name: value for name, value in payload.items() if name in TEXT_FIELDS}
    taken = sent(kind, payload)
    if taken:
        stored = orjson.loads(orjson.dumps(taken.payload))
        assert sent(kind, stored) == taken  # what is stored is what was taken
        assert set(shown(kind, stored)) <= {*payload, "edited"}


@given(st.text(max_size=20).filter(lambda kind: kind not in KINDS))
def test_unknown_kinds_are_refused(kind: str) -> None:
    with pytest.raises(HoldfastError, match="unknown_kind"):
        read("signal-1", kind, {}, actor="guest:1", limits=LIMITS)


def problem_of(**payload: Any) -> HoldfastError:
    with pytest.raises(HoldfastError) as refused:
        read("signal-1", "message", {"parts": [TEXT], **payload}, actor="guest:1", limits=LIMITS)
    return refused.value


@pytest.mark.parametrize("kind", ["message", "steer"])
def test_metadata_is_kept(kind: str) -> None:
    metadata = {"reply_to": "m_1", "n": 2**63, "deep": {"list": [1.5, None, True, "\0"]}}
    taken = sent(kind, {"parts": [TEXT], "metadata": metadata})
    assert taken and taken.payload == {"parts": [TEXT], "metadata": metadata}
    for none in ({}, {"metadata": None}):
        taken = sent(kind, {"parts": [TEXT], **none})
        assert taken and taken.payload == {"parts": [TEXT]}


def test_metadata_is_bounded() -> None:
    fits = {"a": "x" * (METADATA_BYTES - 9)}
    taken = sent("message", {"parts": [TEXT], "metadata": fits})
    assert taken and taken.payload["metadata"] == fits
    assert problem_of(metadata={"a": "x" * METADATA_BYTES}).code == "message_too_large"


@pytest.mark.parametrize(
    "metadata", [[], "a", 7, False, {"a": 2**64}, {"a": float("nan")}, {"a": "\ud800"}, {"\ud800": 1}]
)
def test_invalid_metadata_is_refused(metadata: Any) -> None:
    refused = problem_of(metadata=metadata)
    assert refused.code == "bad_signal" and "`metadata`" in refused.message


def test_fields_that_would_be_dropped_are_refused_by_name() -> None:
    for field in ("id", "state", "providerMetadata", "TEXT", "\ud800"):
        refused = problem_of(parts=[TEXT, TEXT | {field: "x"}])
        assert refused.code == "bad_signal" and f"a text part has no field {field!a}" in refused.message
    assert "a message has no field 'attachments': its fields are parts, metadata" in problem_of(attachments=[]).message


def test_excessive_nesting_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert sent("tool-result", {"message": "m_1", "call": "call_1", "output": deep}) is None
    assert sent("approve", {"approval": "a", "input_hash": "h", "input": {"deep": deep}}) is None


@pytest.mark.parametrize("other", ['{"a":1.1}', '{"a": 1.10}', '{"a":1.10,"a":1.10}', '{"\\u0061":1.10}'])
def test_the_hash_of_arguments_is_of_their_text(other: str) -> None:
    assert input_hash('{"a":1.10}') != input_hash(other)
    assert input_hash({"a": 1, "b": 2}) == input_hash('{"a":1,"b":2}') != input_hash({"b": 2, "a": 1})


@pytest.mark.parametrize(
    "number", ["18446744073709551616", "-9223372036854775809", "1e400", "-1e400", "NaN", "Infinity"]
)
def test_edited_arguments_with_a_number_that_is_not_kept_are_refused(number: str) -> None:
    text = f'{{"amount": {number}}}'
    assert sent("approve", {"approval": "a", "input_hash": "h", "input_text": text}) is None


@pytest.mark.parametrize("text", ["[]", "1", "{", "", '{"a": "\\ud800"}', "[" * 5000, 7])
def test_edited_arguments_are_the_text_of_an_object(text: Any) -> None:
    assert sent("approve", {"approval": "a", "input_hash": "h", "input_text": text}) is None


@pytest.mark.parametrize("number", ["9007199254740993", "18446744073709551615", "-9223372036854775808", "1.10", "-0"])
def test_edited_arguments_keep_their_text(number: str) -> None:
    text = f'{{ "b": {number}, "a": "\\u00e9", "a": 1 }}'
    taken = sent("approve", {"approval": "a", "input_hash": "h", "input_text": text, "input": {"b": 1}})
    assert taken is not None and taken.payload["input_text"] == text
    assert taken.payload["input"]["b"] == (float if "." in number else int)(number)


def test_a_final_status_never_changes() -> None:
    for status, next in product(TRANSITIONS, TRANSITIONS):
        if status not in OPEN:
            assert not may_follow(status, next)
        assert not (may_follow(status, next) and may_follow(next, status))
    assert set(signals._SHOWN) == set(KINDS)
