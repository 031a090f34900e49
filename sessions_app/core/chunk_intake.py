"""Chunk intake: checks what the writer of a response writes, and divides it into chunks that can be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import orjson

from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.text import SurrogateJoiner, split
from sessions_app.core.wire_types import Chunk


class ChunkIntake:
    """The intake of one response. Texts may come in any pieces: of half a character, or longer than a chunk.

    `check` raises bad_chunk or unknown_chunk for what can't be stored; `chunk_bytes` is the limit by which it does.
    """

    def __init__(self, check: Callable[[Chunk], None], chunk_bytes: int) -> None:
        self._check = check
        self._chunk_bytes = chunk_bytes
        self._longest = chunk_bytes // 8  # characters of a text that is stored undivided: half a chunk at most
        self._joiner = SurrogateJoiner()
        self._kind = self._part = ""  # of the last append that `measure` took

    def take(self, chunk: Chunk) -> Iterable[Chunk]:
        """Return the chunks to store for this one. Raises HoldfastError if it is refused; then nothing has changed."""
        text = _appended_text(chunk)
        if text is None:
            self._check(chunk)
            # A copy: what its writer changes in it later is not in the answer.
            return self._joiner.join(orjson.loads(orjson.dumps(chunk)))
        if len(text) > self._longest or self._joiner.concerns(text):
            return self._divided(chunk)
        self._check(chunk)
        return (chunk,)

    def measure(self, kind: str, part: str, text: str) -> int:
        """Return the bytes in UTF-8 of a text for which `take` would return the append as it is; -1 of any other."""
        if type(text) is not str or len(text) > self._longest or self._joiner.pending:
            return -1
        if (part != self._part or kind != self._kind) and not self._fits(kind, part):
            return -1
        if text.isascii():
            return len(text)
        try:
            return len(text.encode())
        except UnicodeEncodeError:  # half of a surrogate pair
            return -1

    def _fits(self, kind: str, part: str) -> bool:
        """Return whether the longest undivided text may be appended to a part of text or reasoning: then any may."""
        if kind not in vocabulary.TEXT_APPENDS:
            return False
        try:
            self._check({"type": kind, "id": part, "delta": "#" * (4 * self._longest)})
        except HoldfastError:
            return False
        self._kind, self._part = kind, part
        return True

    def _divided(self, chunk: Chunk) -> Iterator[Chunk]:
        """Return an append with its surrogate pairs joined, in pieces that are no larger than a chunk may be."""
        field = vocabulary.APPENDS[chunk["type"]][1]
        empty = chunk.copy()
        empty[field] = ""
        longest = chunk.copy()
        longest[field] = "####"  # the bytes of the longest code point
        self._check(longest)
        [joined] = self._joiner.join(chunk)
        return self._pieces(empty, field, joined[field])

    def _pieces(self, empty: Chunk, field: vocabulary.TextName, text: str) -> Iterator[Chunk]:
        for part in split(text, self._chunk_bytes - vocabulary.json_bytes(empty)):
            piece = empty.copy()
            piece[field] = part
            yield piece


def _appended_text(chunk: object) -> str | None:
    """Return the text that a chunk appends; None if it is no append, or not a well-formed one."""
    kind = chunk.get("type") if isinstance(chunk, dict) else None
    append = vocabulary.APPENDS.get(kind) if isinstance(kind, str) else None
    text = chunk.get(append[1]) if append and isinstance(chunk, dict) else None
    return text if isinstance(text, str) else None
