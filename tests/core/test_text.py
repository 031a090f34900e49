"""Texts of streams: surrogate pairs that come in halves, pieces of a limited size, lenient JSON."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core import json_text
from sessions_app.core.fold import apply, begin
from sessions_app.core.text import SurrogateJoiner, mend, mend_json, split
from tests.core.sequences import MESSAGE, events

UTF16 = st.lists(st.sampled_from(["a", "é", "日", "\ud83d", "\ude00", "😀", "\0"])).map("".join)
GRAPHEMES = [
    "a",
    "日",
    "e\u0301",
    "👩‍👩‍👧",
    "👍🏽",
    "🇩🇪",
    "\r\n",
    "각",
    "\u1112\u1161\u11ab",
    "क्षि",
    "❤️",
    "🏴\U000e0067\U000e007f",
]


def delta(text: str, part: str = "t", type: str = "text-delta") -> dict[str, Any]:
    names = {"tool-input-delta": ("toolCallId", "inputTextDelta")}.get(type, ("id", "delta"))
    return {"type": type, names[0]: part, names[1]: text}


def joined(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    joiner = SurrogateJoiner()
    return [out for chunk in chunks for out in joiner.join(chunk)]


def as_utf16(text: str) -> str:
    """What a reader of UTF-16 makes of it: an independent oracle, Python's own decoder."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("plain", "plain"), ("\ud83d\ude00", "😀"), ("\ud83d", "\ufffd"), ("\ude00", "\ufffd"),
        ("a\ud83db\ude00c", "a\ufffdb\ufffdc"), ("\ud83d\ud83d\ude00", "\ufffd😀"), ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
    ids=ascii,
)  # fmt: skip
def test_halves_are_joined_and_a_lone_one_is_one_replacement_character(text: str, mended: str) -> None:
    assert mend(text) == mended
    assert mend_json({text: [text, 1, None]}) == {mended: [mended, 1, None]}


@given(text=UTF16, cuts=st.lists(st.integers(0, 40), max_size=8))
def test_text_cut_anywhere_is_the_same_text(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [delta(text[a:b]) for a, b in zip(places, places[1:], strict=False)]
    out = joined(*pieces, {"type": "text-end", "id": "t"})
    assert out[-1]["type"] == "text-end"
    assert "".join(chunk["delta"] for chunk in out[:-1]) == as_utf16(text)


def test_each_part_waits_for_its_own_half() -> None:
    out = joined(
        delta("\ud83d", "a"), delta("\ud83c", "b"), delta("\ud83e", "a", "reasoning-delta"),
        delta("\udf08", "b"), delta("\udd14", "a", "reasoning-delta"), delta("\ude00", "a"),
    )  # fmt: skip
    assert [chunk["delta"] for chunk in out] == ["", "", "", "🌈", "🤔", "😀"]


@pytest.mark.parametrize(
    "end",
    [{"type": "text-end", "id": "t"}, {"type": "text-start", "id": "t"}, {"type": "finish"}, {"type": "abort"},
     {"type": "error", "errorText": "x"}, {"type": "interrupt", "reason": "x"}, {"type": "reset-step"}],
    ids=lambda end: end["type"],
)  # fmt: skip
def test_a_half_without_its_other_one_is_replaced_at_the_end_of_its_part(end: dict[str, Any]) -> None:
    assert joined(delta("a\ud83d"), end, delta("b")) == [delta("a"), delta("\ufffd"), end, delta("b")]


@pytest.mark.parametrize("end", ["tool-input-available", "tool-input-error", "tool-input-start"])
def test_likewise_in_the_arguments_of_a_call(end: str) -> None:
    half, last = delta('{"a": "\ud83d', "c", "tool-input-delta"), {"type": end, "toolCallId": "c", "toolName": "x"}
    assert joined(half, last)[1:] == [delta("\ufffd", "c", "tool-input-delta"), last]
    assert joined(half, {**last, "toolCallId": "other"})[1:] == [{**last, "toolCallId": "other"}]


def test_waiting_halves_survive_as_text() -> None:
    joiner = SurrogateJoiner()
    chunks = [{"type": "start"}, {"type": "text-start", "id": "é\0"}]
    message = begin(events(chunks)[0])
    apply(message, 2, chunks[1])
    joiner.join(delta("\ud83d", "é\0"))
    joiner.join(delta("\ud83d", "not open"))
    kept = joiner.dump(message.open)
    assert kept is not None and kept.isascii() and "\0" not in kept
    assert SurrogateJoiner.load(kept).join(delta("\ude00", "é\0")) == [delta("😀", "é\0")]
    assert "not open" not in kept and message.id == MESSAGE
    assert SurrogateJoiner.load(None).dump(message.open) is None


@given(graphemes=st.lists(st.sampled_from(GRAPHEMES), max_size=60), most=st.integers(48, 90))
def test_no_piece_is_too_long_or_cuts_a_grapheme(graphemes: list[str], most: int) -> None:
    text = unicodedata.normalize("NFC", "".join(graphemes)) if most % 2 else "".join(graphemes)
    pieces = list(split(text, most))
    assert "".join(pieces) == text
    assert all(0 < len(piece.encode()) <= most for piece in pieces)
    if most % 2 == 0:
        # Each piece is made of whole graphemes.
        left = list(graphemes)
        for piece in pieces:
            while piece:
                grapheme = left.pop(0)
                assert piece.startswith(grapheme), (ascii(piece), ascii(grapheme))
                piece = piece[len(grapheme) :]


def test_a_grapheme_longer_than_a_piece_is_cut_between_code_points() -> None:
    text = "e" + "\u0301" * 10_000
    assert "".join(split(text, 1000)) == text
    assert list(split("😀" * 3, 4)) == ["😀"] * 3
    assert list(split("", 4)) == []


def test_json_may_hold_halves_and_nothing_else_that_is_wrong() -> None:
    assert json_text.read('{"a": "\\ud83d"}', halves=True) == ({"a": "\ud83d"}, False, True)
    assert json_text.read('["\\ud83d", 1' + "0" * 5000 + "]", halves=True).excess
    for text in (
        '{"a": "\\ud83d", }',
        '["\\ud83d", NaN]',
        '["\\ud83d"' + "[" * 10**5,
        "{",
    ):
        with pytest.raises(ValueError, match=".+"):
            json_text.read(text, halves=True)
