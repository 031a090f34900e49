"""Roll-up: joins adjacent appends to the same part; the fold is the same."""

from collections.abc import Iterable, Iterator

from sessions_app.core.vocabulary import APPENDS, json_bytes, utf8_bytes
from sessions_app.core.wire_types import Chunk, MessageEvent

PLAIN_BYTES = 64  # of an append beside its text, about


class Rollup:
    """The chunks of one message that wait to be published together, in order.

    `chunks`: themselves; the text of the last one is set when they are taken. `size`: bytes of their UTF-8 JSON;
    `added`: how many were added since the last `take`.
    """

    __slots__ = ("_kind", "_part", "_texts", "added", "chunks", "size")

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self._kind = self._part = ""  # of the last chunk, if it is an append
        self._texts: list[str] = []  # that it appends; empty if it is none
        self.added = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self.chunks)

    def add(self, chunk: Chunk) -> None:
        """Add any chunk."""
        kind = chunk["type"]
        append = APPENDS.get(kind)
        if append is None:
            self.added += 1
            self._join()
            self.chunks.append(chunk)
            self.size += json_bytes(chunk)
            return
        part, text = append
        if len(chunk) == 3:
            self.append(kind, chunk[part], chunk[text], utf8_bytes(chunk[text]))
            return
        self.added += 1
        if self._texts and chunk[part] == self._part and kind == self._kind:
            self.chunks[-1] |= chunk
            self.size += utf8_bytes(chunk[text])
        else:
            self._join()
            self._kind, self._part = kind, chunk[part]
            self.chunks.append(chunk.copy())
            self.size += json_bytes(chunk)
        self._texts.append(chunk[text])

    def append(self, kind: str, part: str, text: str, size: int) -> None:
        """Add an append that has no other fields. `size`: its text's bytes in UTF-8."""
        self.added += 1
        texts = self._texts
        if texts and part == self._part and kind == self._kind:
            self.size += size
            texts.append(text)
            return
        if texts:
            self._join()
        self._kind, self._part, self._texts = kind, part, [text]
        chunk: Chunk = {"type": kind}
        chunk[APPENDS[kind][0]] = part
        self.chunks.append(chunk)
        self.size += PLAIN_BYTES + size

    def take(self) -> list[Chunk]:
        """Remove the chunks and return them, joined."""
        self._join()
        chunks, self.chunks = self.chunks, []
        self.added = self.size = 0
        return chunks

    def _join(self) -> None:
        if self._texts:
            self.chunks[-1][APPENDS[self._kind][1]] = "".join(self._texts)
            self._texts = []


def rollup(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Return the same changes to one message in as few chunks as possible."""
    rolled = Rollup()
    for chunk in chunks:
        rolled.add(chunk)
    return rolled.take()


def rollup_events(events: Iterable[MessageEvent]) -> Iterator[MessageEvent]:
    """Yield the same changes in as few events as possible. A joined event has the serial of its last."""
    group: list[MessageEvent] = []
    for event in events:
        if group and _continue(group[-1], event):
            group.append(event)
            continue
        if group:
            yield _joined(group)
        group = [event]
    if group:
        yield _joined(group)


def _continue(before: MessageEvent, event: MessageEvent) -> bool:
    chunk, last = event["chunk"], before["chunk"]
    append = APPENDS.get(chunk["type"])
    return bool(
        append
        and event["message"] == before["message"]
        and chunk["type"] == last["type"]
        and chunk[append[0]] == last[append[0]]
    )


def _joined(group: list[MessageEvent]) -> MessageEvent:
    if len(group) == 1:
        return group[0]
    last = group[-1].copy()
    text = APPENDS[last["chunk"]["type"]][1]
    chunk = group[0]["chunk"].copy()
    for event in group[1:]:
        chunk |= event["chunk"]
    chunk[text] = "".join(event["chunk"][text] for event in group)
    last["chunk"] = chunk
    return last
