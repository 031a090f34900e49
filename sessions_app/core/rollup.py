"""Roll-up: joins adjacent appends to the same part; the fold is the same."""

from collections.abc import Iterable, Iterator

from sessions_app.core.vocabulary import APPENDS, PartName, json_bytes, utf8_bytes
from sessions_app.core.wire_types import Chunk, MessageEvent

PLAIN_BYTES = 64  # of an append beside its text, about


class Rollup:
    """The chunks of one message that wait to be published together, in order.

    `size`: bytes of their UTF-8 JSON; `added`: how many were added since the last `take`.
    """

    __slots__ = ("_chunks", "_texts", "added", "size")

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._texts: list[str] = []  # appended by the last chunk, an append
        self.added = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, chunk: Chunk) -> None:
        self.added += 1
        append = APPENDS.get(chunk["type"])
        if append is None:
            self._join()
            self._chunks.append(chunk)
            self.size += json_bytes(chunk)
            return
        part, text = append
        more = chunk[text]
        plain = len(chunk) == 3
        if self._texts and self._continues(chunk, part):
            if not plain:
                self._chunks[-1] |= chunk
            self.size += len(more) if more.isascii() else utf8_bytes(more)
        else:
            self._join()
            self._chunks.append(chunk.copy())
            self.size += PLAIN_BYTES + utf8_bytes(more) if plain else json_bytes(chunk)
        self._texts.append(more)

    def take(self) -> list[Chunk]:
        """Remove the chunks and return them, joined."""
        self._join()
        chunks, self._chunks, self.added, self.size = self._chunks, [], 0, 0
        return chunks

    def _continues(self, chunk: Chunk, part: PartName) -> bool:
        last = self._chunks[-1]
        return bool(last["type"] == chunk["type"] and last[part] == chunk[part])

    def _join(self) -> None:
        if self._texts:
            last = self._chunks[-1]
            text = APPENDS[last["type"]][1]
            last[text] = "".join(self._texts)
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
