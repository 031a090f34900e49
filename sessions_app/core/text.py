"""Text as streams send it: halves of surrogate pairs that come in two pieces, and pieces no longer than a limit."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Literal

from sessions_app.core.vocabulary import APPENDS, ENDS
from sessions_app.core.wire_types import Chunk, OpenParts

REPLACEMENT = "\ufffd"
GRAPHEME = 64  # code points that a cut looks back: longer graphemes are cut, between two of their code points

_HALF = re.compile("[\ud800-\udfff]")
_LEADING_HALVES = "\ud800", "\udbff"

# Chunks that begin or end a part: its field, and the appends that it takes.
_AROUND = {
    "text-start": ("id", "text-delta"),
    "text-end": ("id", "text-delta"),
    "reasoning-start": ("id", "reasoning-delta"),
    "reasoning-end": ("id", "reasoning-delta"),
    "tool-input-start": ("toolCallId", "tool-input-delta"),
    "tool-input-available": ("toolCallId", "tool-input-delta"),
    "tool-input-error": ("toolCallId", "tool-input-delta"),
}
_OPEN: dict[str, Literal["text", "reasoning", "tools"]] = {
    "text-delta": "text",
    "reasoning-delta": "reasoning",
    "tool-input-delta": "tools",
}
_AROUND_ALL = {"reset-step", *ENDS}


def mend(text: str) -> str:
    """Return a text with the halves of surrogate pairs joined, and U+FFFD for each half without its other one."""
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def without_nul(text: str) -> str:
    """Return a text for a column that people read: PostgreSQL's can't hold NUL. JSON in a column escapes it."""
    return text.replace("\0", REPLACEMENT)


def mend_json(value: Any) -> Any:
    """Return a JSON value with all of its texts and keys mended."""
    if isinstance(value, str):
        return mend(value)
    if isinstance(value, dict):
        return {mend_json(key): mend_json(item) for key, item in value.items()}
    return [mend_json(item) for item in value] if isinstance(value, list) else value


class SurrogateJoiner:
    """Joins surrogate pairs whose halves come in two appends to one part, as gateways that cut UTF-16 send them.

    `pending`: the leading halves that wait, by the type of the append and the id of its part.
    """

    __slots__ = ("pending",)

    def __init__(self, pending: dict[tuple[str, str], str] | None = None) -> None:
        self.pending = pending or {}

    @classmethod
    def load(cls, text: str | None) -> SurrogateJoiner:
        """Return a joiner with the halves that `dump` has kept."""
        return cls({(append, part): half for append, part, half in json.loads(text or "[]")})

    def dump(self, opened: OpenParts) -> str | None:
        """Return the halves that wait in open parts, as text of ASCII characters; None if there are none."""
        halves = [[*key, half] for key, half in self.pending.items() if key[1] in opened[_OPEN[key[0]]]]
        return json.dumps(halves) if halves else None

    def concerns(self, text: str) -> bool:
        """Return whether a text has a half of a pair, or may be the other half of one that waits."""
        return bool(self.pending or (not text.isascii() and _HALF.search(text)))

    def join(self, chunk: Chunk) -> list[Chunk]:
        """Return the chunks to store for this one, all of them valid Unicode where they append.

        A half that never gets its other one becomes U+FFFD at the end of its part. For any other chunk than an append,
        what isn't Unicode is left to `vocabulary.check`.
        """
        kind = chunk["type"]
        append = APPENDS.get(kind)
        if append is None:
            return [*self._ends(kind, chunk), chunk] if self.pending else [chunk]
        name, field = append
        text, part = chunk.get(field), chunk.get(name)
        if not isinstance(text, str) or not isinstance(part, str):
            return [chunk]
        if not self.concerns(text):
            return [chunk]
        joined = chunk.copy()
        joined[field] = self._continue((kind, part), text)
        return [joined]

    def _continue(self, key: tuple[str, str], text: str) -> str:
        whole = self.pending.pop(key, "") + text
        if whole and _LEADING_HALVES[0] <= whole[-1] <= _LEADING_HALVES[1]:
            self.pending[key] = whole[-1]
            whole = whole[:-1]
        return mend(whole)

    def _ends(self, kind: str, chunk: Chunk) -> Iterator[Chunk]:
        """Yield an append of U+FFFD to each part that ends with a half."""
        around = _AROUND.get(kind)
        for append, part in list(self.pending):
            if kind in _AROUND_ALL or (around and (append, part) == (around[1], chunk.get(around[0]))):
                del self.pending[append, part]
                name, field = APPENDS[append]
                last: Chunk = {"type": append}
                last[name], last[field] = part, REPLACEMENT
                yield last


def whole_text(chunk: Any) -> Any:
    """Return an append as it may be stored: its text mended. Any other value is returned as it is."""
    kind = chunk.get("type") if isinstance(chunk, dict) else None
    append = APPENDS.get(kind) if isinstance(kind, str) else None
    if append is None or not isinstance(chunk.get(append[1]), str):
        return chunk
    text = chunk[append[1]]
    mended = mend(text)
    return chunk if mended is text else {**chunk, append[1]: mended}


def split(text: str, most: int) -> Iterator[str]:
    """Yield a text in pieces of at most so many bytes of UTF-8, cut between graphemes where possible.

    `most` is 4 at least: what the longest code point takes.
    """
    start = 0
    while start < len(text):
        end = _fits(text, start, most)
        if end < len(text):
            end = _boundary(text, start, end)
        yield text[start:end]
        start = end


def _fits(text: str, start: int, most: int) -> int:
    """Return the end of the longest piece from `start` that has at most so many bytes."""
    piece = text[start : start + most]
    if piece.isascii():
        return start + len(piece)
    # A code point that the limit cuts is left out.
    return start + len(piece.encode()[:most].decode(errors="ignore"))


def _boundary(text: str, start: int, end: int) -> int:
    """Return the last place between two graphemes at or before `end`, or `end` if none is near."""
    for place in range(end, max(start, end - GRAPHEME), -1):
        if not _joins(text[place - 1], text[place]) and not _splits_flag(text, start, place):
            return place
    return end


def _joins(before: str, after: str) -> bool:
    """Return whether two adjacent code points belong to one grapheme: a close reading of UAX 29, without its tables."""
    if before == "\r" and after == "\n":
        return True
    if before == "\u200d" or after in "\u200c\u200d" or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if "\U000e0020" <= after <= "\U000e007f" or unicodedata.category(after) in ("Mn", "Mc", "Me"):
        return True
    # Hangul: a leading consonant before what may follow it, vowels and trailing consonants before any.
    return "\u1160" <= after <= "\u11ff" or ("\u1100" <= before <= "\u115f" and "\uac00" <= after <= "\ud7a3")


def _splits_flag(text: str, start: int, place: int) -> bool:
    """Return whether a cut is between the two letters of a flag."""
    letters = place
    while letters > start and "\U0001f1e6" <= text[letters - 1] <= "\U0001f1ff":
        letters -= 1
    return (place - letters) % 2 == 1 and "\U0001f1e6" <= text[place] <= "\U0001f1ff"
