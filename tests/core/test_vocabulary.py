"""The vocabulary: which chunks are valid."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.errors import HoldfastError
from sessions_app.core.vocabulary import APPENDS, CHUNKS, ENDS, MAX_DEPTH, check

DELTA = {"type": "text-delta", "id": "t", "delta": "x"}
CALL = {"toolCallId": "c", "toolName": "a"}


def code(chunk: object, max_bytes: int = 1000) -> str:
    with pytest.raises(HoldfastError) as refusal:
        check(chunk, max_bytes=max_bytes)
    return refusal.value.code


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_the_vocabulary_is_the_ai_sdks_30_types_and_two_of_ours() -> None:
    assert len(CHUNKS) == 32
    assert {"message", "interrupt", "data-*", "steering-message"} <= set(CHUNKS)
    assert set(APPENDS) | set(ENDS) <= set(CHUNKS)


@pytest.mark.parametrize(
    "chunk",
    [
        None, [], "text-delta", 7, {}, {"type": None}, {"type": 1},
        {"type": "text-delta", "id": "t"},
        {"type": "text-delta", "id": 1, "delta": "x"},
        {"type": "text-delta", "id": "t", "delta": None},
        {**DELTA, "providerMetadata": None},
        {**DELTA, "providerMetadata": {"p": 1}},
        {"type": "tool-input-start", "toolCallId": "c"},
        {"type": "tool-input-start", **CALL, "dynamic": "yes"},
        {"type": "tool-input-start", **CALL, "inputEncoding": "xml"},
        {"type": "tool-output-error", "toolCallId": "c"},
        {"type": "tool-approval-response", "approvalId": "x", "approved": 1},
        {"type": "start", "messageMetadata": "text"},
        {"type": "finish", "finishReason": "tired"},
        {"type": "interrupt"},
        {"type": "data-x", "id": 1},
        {"type": "message", "role": "robot", "parts": []},
        {"type": "message", "role": "user", "parts": {}},
        {"type": "message", "role": "user", "parts": [{"type": "text"}]},
        {"type": "message", "role": "user", "parts": ["text"]},
        {"type": "steering-message", "id": "s", "parts": [{"type": "data-x"}]},
        {"type": "text-end", "id": "t", "citations": [{"source": {"type": "source", "sourceType": "url"}}]},
        {"type": "text-end", "id": "t", "citations": [1]},
    ],
)  # fmt: skip
def test_a_malformed_chunk_is_refused(chunk: object) -> None:
    assert code(chunk) == "bad_chunk"


@pytest.mark.parametrize("type_", ["", "text", "text_delta", "dynamic-tool", "TEXT-DELTA", "data", "finish "])
def test_an_unknown_type_is_refused(type_: str) -> None:
    assert code({"type": type_}) == "unknown_chunk"


def test_a_refusal_explains_the_fault() -> None:
    with pytest.raises(HoldfastError, match='tool-output-error needs "errorText", a string'):
        check({"type": "tool-output-error", "toolCallId": "c"}, max_bytes=1000)


@pytest.mark.parametrize("half", ["\ud83d", "\ude42", "a\ud83d"])
def test_a_lone_surrogate_is_refused(half: str) -> None:
    assert code({**DELTA, "delta": half}) == "bad_chunk"
    assert code({**DELTA, "id": half}) == "bad_chunk"
    assert code({"type": "data-x", "data": {"deep": [half]}}) == "bad_chunk"
    assert code({"type": "data-x", "data": {half: 1}}) == "bad_chunk"
    assert code({f"type{half}": 1, **DELTA}) == "bad_chunk"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**64, -(2**63) - 1, b"x", (1,), {1}, {1: 2}, object()])
def test_values_without_a_json_form_are_refused(value: object) -> None:
    assert code({"type": "data-x", "data": value}) == "bad_chunk"


def test_unknown_fields_pass() -> None:
    check({**DELTA, "new": {"a": [1, None, 0.5, True]}}, max_bytes=1000)


def test_omitted_optional_values_pass() -> None:
    for type_ in ("tool-input-available", "tool-output-available"):
        check({"type": type_, **CALL}, max_bytes=1000)
    check({"type": "data-x"}, max_bytes=1000)


@pytest.mark.parametrize("delta", ["x" * 100, "é" * 50, "🙂" * 25])
def test_a_chunks_size_is_bounded_in_bytes(delta: str) -> None:
    size = len(json.dumps({**DELTA, "delta": delta}, ensure_ascii=False, separators=(",", ":")).encode())
    check({**DELTA, "delta": delta}, max_bytes=size + 5)
    assert code({**DELTA, "delta": delta}, max_bytes=size - 5) == "bad_chunk"
    assert code({"type": "data-x", "data": [delta]}, max_bytes=100) == "bad_chunk"


def test_a_chunks_depth_is_bounded() -> None:
    check({"type": "data-x", "data": nested(MAX_DEPTH - 1)}, max_bytes=1000)
    assert code({"type": "data-x", "data": nested(MAX_DEPTH)}) == "bad_chunk"
    assert code({"type": "data-x", "data": nested(900)}, max_bytes=10_000) == "bad_chunk"


LEAVES = st.sampled_from(
    [None, True, 0, -1, 2**63, 2**64, 0.5, 1e300, float("nan"), float("-inf"), "", "é🙂\0", "\udc00", b"", ()]
)
KEYS = st.sampled_from(["", "id", "type", "__proto__", "\ud800", "日"])
JSON_LIKE = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5
)


@given(data=JSON_LIKE)
def test_an_accepted_chunk_round_trips_through_json(data: Any) -> None:
    chunk = {"type": "data-x", "data": data}
    try:
        check(chunk, max_bytes=1000)
    except HoldfastError as refusal:
        assert refusal.code == "bad_chunk"
    else:
        assert orjson.loads(orjson.dumps(chunk)) == chunk


@pytest.mark.parametrize("type_", CHUNKS)
@given(value=JSON_LIKE)
def test_arbitrary_field_values_pass_or_are_refused_with_a_named_error(type_: str, value: Any) -> None:
    for name in [*CHUNKS[type_].required, *CHUNKS[type_].optional]:
        try:
            check({"type": type_, **dict.fromkeys(CHUNKS[type_].required, "x"), name: value}, max_bytes=1000)
        except HoldfastError as refusal:
            assert refusal.code in ("bad_chunk", "unknown_chunk")
