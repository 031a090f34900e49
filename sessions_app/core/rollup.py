"""Roll-up: adjacent appends to the same part become one, and the fold doesn't notice."""

from collections.abc import Iterable, Iterator

from sessions_app.core.fold import Event
from sessions_app.core.vocabulary import APPENDS, Chunk, json_bytes, utf8_bytes

PLAIN_BYTES = 64  # what an append takes beside its text, about


class Rollup:
    """The chunks of one message that wait to be published together, in order.

    `size` is what they take, in bytes of UTF-8 JSON: 0 when there are none.
    """

    __slots__ = ("_chunks", "_texts", "size")

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._texts: list[str] = []  # what the last chunk, an append, appends
        self.size = 0

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, chunk: Chunk) -> None:
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
            self._chunks.append(dict(chunk))
            self.size += PLAIN_BYTES + utf8_bytes(more) if plain else json_bytes(chunk)
        self._texts.append(more)

    def take(self) -> list[Chunk]:
        """The chunks so far, joined; what is added from now on starts anew."""
        self._join()
        chunks, self._chunks, self.size = self._chunks, [], 0
        return chunks

    def _continues(self, chunk: Chunk, part: str) -> bool:
        last = self._chunks[-1]
        return bool(last["type"] == chunk["type"] and last[part] == chunk[part])

    def _join(self) -> None:
        if self._texts:
            last = self._chunks[-1]
            last[APPENDS[last["type"]][1]] = "".join(self._texts)
            self._texts = []


def rollup(chunks: Iterable[Chunk]) -> list[Chunk]:
    """The same changes to one message in as few chunks as possible."""
    rolled = Rollup()
    for chunk in chunks:
        rolled.add(chunk)
    return rolled.take()


def rollup_events(events: Iterable[Event]) -> Iterator[Event]:
    """The same changes to a session in as few events as possible: a joined one has the serial of its last."""
    group: list[Event] = []
    for event in events:
        if group and _continue(group[-1], event):
            group.append(event)
            continue
        if group:
            yield _joined(group)
        group = [event]
    if group:
        yield _joined(group)


def _continue(before: Event, event: Event) -> bool:
    chunk, last = event["chunk"], before["chunk"]
    append = APPENDS.get(chunk["type"])
    return bool(
        append
        and event["message"] == before["message"]
        and chunk["type"] == last["type"]
        and chunk[append[0]] == last[append[0]]
    )


def _joined(group: list[Event]) -> Event:
    if len(group) == 1:
        return group[0]
    last: Event = group[-1]
    text = APPENDS[last["chunk"]["type"]][1]
    chunk: Chunk = {}
    for event in group:
        chunk |= event["chunk"]
    return {**last, "chunk": {**chunk, text: "".join(event["chunk"][text] for event in group)}}
