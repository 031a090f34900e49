"""The intake of a response: long texts are divided, what can't be stored is refused, and neither disturbs the rest."""

import math
from functools import partial
from typing import Any

import orjson
import pytest

from sessions_app.core.chunk_intake import ChunkIntake
from sessions_app.core.errors import HoldfastError
from sessions_app.core.vocabulary import check, json_bytes

LIMIT = 1024


def intake() -> ChunkIntake:
    return ChunkIntake(partial(check, max_bytes=LIMIT), LIMIT)


def cyclic() -> Any:
    value: dict[str, Any] = {}
    value["self"] = [value, value]
    return value


class Number(float):
    pass


class Name(str):
    pass


@pytest.mark.parametrize("text", ["x" * 5000, "é" * 3000, "👩‍👩‍👧" * 300, "\0" * 3000], ids=ascii)
@pytest.mark.parametrize("kind", ["text-delta", "reasoning-delta", "tool-input-delta"])
def test_a_text_longer_than_a_chunk_is_divided(kind: str, text: str) -> None:
    part, field = ("toolCallId", "inputTextDelta") if kind == "tool-input-delta" else ("id", "delta")
    pieces = list(intake().take({"type": kind, part: "t", field: text}))
    assert "".join(piece[field] for piece in pieces) == text
    assert all(json_bytes(piece) <= LIMIT for piece in pieces)
    assert all(not piece[field].startswith("\u200d") for piece in pieces)
    assert len(pieces) <= 2 + len(text.encode()) // (LIMIT - 150)


def test_halves_are_joined_across_pieces() -> None:
    taking = intake()
    first = list(taking.take({"type": "text-delta", "id": "t", "delta": "x" * 2000 + "\ud83d"}))
    second = list(taking.take({"type": "text-delta", "id": "t", "delta": "\ude00"}))
    assert "".join(chunk["delta"] for chunk in [*first, *second]) == "x" * 2000 + "😀"


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {1: 2}, {Name("a"): 1}, cyclic(), b"bytes", {1}, object(), (1,), "\ud83d", {"\ud83d": 1},
     2**64, Number(1.5), "x" * 2000],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_output_that_cannot_be_stored_is_refused_and_others_follow(value: Any) -> None:
    taking = intake()
    list(taking.take({"type": "text-delta", "id": "t", "delta": "\ud83d"}))
    with pytest.raises(HoldfastError, match="bad_chunk"):
        taking.take({"type": "tool-output-available", "toolCallId": "c", "output": value})
    assert list(taking.take({"type": "text-delta", "id": "t", "delta": "\ude00"}))[0]["delta"] == "😀"


@pytest.mark.parametrize(
    "chunk",
    [None, "text", [], {}, {"type": None}, {"type": []}, {"type": "text-delta"}, {"type": "text-delta", "id": "t"},
     {"type": "text-delta", "id": "t", "delta": 7}, {"type": "text-delta", "id": 7, "delta": "x"},
     {"type": "text-delta", "id": "t", "delta": b"x"}, {"type": "text-delta", "id": "\ud83d", "delta": "x"},
     {"type": "text-delta", "id": "t" * 2000, "delta": "x" * 2000},
     {"type": "text-delta", "id": "t", "delta": "\ud83d", "providerMetadata": 7}],
    ids=repr,
)  # fmt: skip
def test_what_is_no_chunk_is_refused(chunk: Any) -> None:
    taking = intake()
    with pytest.raises(HoldfastError, match="bad_chunk"):
        list(taking.take(chunk))
    assert taking._joiner.pending == {}


def test_a_refusal_says_the_size_and_the_limit() -> None:
    with pytest.raises(HoldfastError) as refusal:
        intake().take({"type": "tool-output-available", "toolCallId": "c", "output": "x" * 2000})
    assert "has 2062 bytes of at most 1024" in refusal.value.message


def test_what_is_changed_later_is_stored_as_it_was_written() -> None:
    arguments: dict[str, Any] = {"to": ["a"]}
    [chunk] = intake().take({"type": "tool-input-available", "toolCallId": "c", "toolName": "pay", "input": arguments})
    arguments["to"].append(arguments)
    assert orjson.dumps(chunk["input"]) == b'{"to":["a"]}'
