"""Producer batches: the fences and the last batches of remote producers, as one transaction knows them."""

from __future__ import annotations

from collections.abc import Iterable

from sessions_app.core import fold
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import sql
from sessions_app.event_log.commands import Append
from sessions_app.event_log.sql import Published


class ProducerBatches:
    """The batches of one transaction: appends with a `sequence`."""

    def __init__(self) -> None:
        self._fenced: set[str] = set()  # workers
        self._runs: dict[str, Published] = {}  # with the last batch of each, as it is by now
        self._staged: dict[str, Published] = {}  # those of them that have a new one

    def look_up(self, appends: Iterable[Append]) -> None:
        """Read the batches' workers and runs; count a beat of their producers."""
        batches = [append for append in appends if append.sequence]
        self._fenced |= sql.beat_producers({batch.worker for batch in batches})
        self._runs |= sql.published_runs({batch.run for batch in batches})

    def has_begun(self, append: Append) -> bool:
        return append.run in self._runs

    def stored(self, batch: Append, *, exists: bool) -> int | None:
        """Return the serial of a batch that is stored already; None if it is the next one. Raises what refuses it.

        `exists`: there is a message of its id.
        """
        if batch.worker in self._fenced:
            raise HoldfastError("fenced", "This producer has begun a later epoch.")
        last = self._runs.get(batch.run)
        if last is None:
            if batch.sequence != 1:
                raise HoldfastError("out_of_order", "1 is expected.")
            if exists:
                raise HoldfastError("message_exists")
            return None
        if last.worker != batch.worker:
            raise HoldfastError("message_exists" if batch.sequence == 1 else "fenced")
        if batch.sequence <= last.sequence:
            if batch.sequence == last.sequence and last.refusal:
                raise HoldfastError(last.refusal)
            return last.serial
        if not last.running:
            raise HoldfastError("fenced")
        if batch.sequence != last.sequence + 1:
            raise HoldfastError("out_of_order", f"{last.sequence + 1} is expected.")
        return None

    def is_current(self, batch: Append, message: fold.MessageState) -> bool:
        """Return whether a fold in memory is as stored: the producer may have continued at another process."""
        last = self._runs.get(batch.run)
        return last is not None and last.serial == message.last_serial

    def note(self, batch: Append, message: fold.MessageState, refusal: HoldfastError | None) -> None:
        """Record a staged batch. One that was cut short counts too: its repeat gets the same answer."""
        running, code = not fold.ended(message), refusal.code if refusal else ""
        last = Published(batch.worker, running, batch.sequence, message.last_serial, code)
        self._runs[batch.run] = self._staged[batch.run] = last

    def write(self) -> None:
        """Write the staged batches; their runs exist by now."""
        sql.note_batches(self._staged)
        self._staged.clear()
