"""Producer batches: the fences and the last batches of remote producers, as one transaction knows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sessions_app.core import fold
from sessions_app.core.errors import HoldfastError
from sessions_app.core.text import SurrogateJoiner
from sessions_app.core.wire_types import Chunk
from sessions_app.event_log import sql
from sessions_app.event_log.commands import Append
from sessions_app.event_log.sql import Published

REPEATS = 64  # last batches of a run whose repeats are compared: as many may be unanswered on one connection


class ProducerBatches:
    """The batches of one transaction: appends with a `sequence`."""

    def __init__(self) -> None:
        self._fenced: set[str] = set()  # workers
        self._runs: dict[str, Published] = {}  # with the last batch of each, as it is by now
        self._staged: dict[str, Published] = {}  # those of them that have a new one
        self._joiners: dict[str, SurrogateJoiner] = {}  # of the batch that is being staged, by its run
        self._taken: dict[str, int] = {}  # chunks taken of that batch, by its run

    def look_up(self, appends: Iterable[Append]) -> None:
        """Read the batches' workers and runs; count a beat of their producers."""
        batches = [append for append in appends if append.sequence]
        self._fenced |= sql.beat_producers({batch.worker for batch in batches})
        self._runs |= sql.published_runs({batch.run for batch in batches})

    def has_begun(self, append: Append) -> bool:
        """Return whether a batch of its run is stored; a run that its worker has claimed waits for the first."""
        last = self._runs.get(append.run)
        return last is not None and last.sequence > 0

    def taken(self, batch: Append) -> int:
        """Return how many of a staged batch's chunks were taken: less than its events, where halves were joined."""
        return self._taken[batch.run]

    def stored(self, batch: Append, *, exists: bool) -> int | None:
        """Return the serial of a batch that is stored already; None if it is the next one. Raises what refuses it.

        `exists`: there is a message of its id.
        """
        if batch.worker in self._fenced:
            raise HoldfastError("fenced", "this producer has begun a later epoch")
        last = self._runs.get(batch.run)
        if last is None:
            if batch.sequence != 1:
                raise HoldfastError("out_of_order", "1 is expected")
            if exists:
                raise HoldfastError("message_exists")
            if batch.starts is None:  # the run that it was claimed with is gone
                raise HoldfastError("fenced")
            return None
        if last.worker != batch.worker:
            raise HoldfastError("fenced" if batch.starts is None else "message_exists")
        if batch.sequence <= last.sequence:
            _check_repeat(batch, last)
            if batch.sequence == last.sequence and last.refusal:
                raise HoldfastError(last.refusal)
            return last.serial
        if not last.running:
            raise HoldfastError("fenced")
        if batch.sequence != last.sequence + 1:
            raise HoldfastError("out_of_order", f"{last.sequence + 1} is expected")
        return None

    def is_current(self, batch: Append, message: fold.MessageState) -> bool:
        """Return whether a fold in memory is as stored: the producer may have continued at another process."""
        last = self._runs.get(batch.run)
        return last is not None and last.serial == message.last_serial

    def chunks(self, batch: Append) -> Iterator[Chunk]:
        """Yield a batch's chunks, the halves of characters joined with those of the batches before it."""
        last = self._runs.get(batch.run)
        joiner = self._joiners[batch.run] = SurrogateJoiner.load(last.halves if last else None)
        for position, chunk in enumerate(batch.chunks):
            self._taken[batch.run] = position
            yield from joiner.join(chunk)
        self._taken[batch.run] = len(batch.chunks)

    def note(self, batch: Append, message: fold.MessageState, refusal: HoldfastError | None) -> None:
        """Record a staged batch. One that was cut short counts too: its repeat gets the same answer."""
        earlier = self._runs.get(batch.run)
        last = Published(
            batch.worker,
            running=not fold.ended(message),
            sequence=batch.sequence,
            serial=message.last_serial,
            refusal=refusal.code if refusal else "",
            digests=(((earlier and earlier.digests) or "") + batch.digest)[-REPEATS * len(batch.digest) :],
            halves=self._joiners.pop(batch.run).dump(message.open),
        )
        self._runs[batch.run] = self._staged[batch.run] = last

    def write(self) -> None:
        """Write the staged batches; their runs exist by now."""
        sql.note_batches(self._staged)
        self._staged.clear()


def _check_repeat(batch: Append, last: Published) -> None:
    """Raise conflict for a batch that has the number of a stored one and other content."""
    size, age = len(batch.digest), last.sequence - batch.sequence
    digests = last.digests or ""  # of a run that began before they were kept, or of its newest batches alone
    stored = digests[len(digests) - (age + 1) * size :][:size] if (age + 1) * size <= len(digests) else batch.digest
    if stored != batch.digest:
        raise HoldfastError("conflict", f"batch {batch.sequence} of this message was stored with other chunks")
