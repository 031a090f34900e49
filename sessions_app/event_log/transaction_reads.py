"""Transaction reads: what a transaction reads before it stages anything, and which appends that refuses."""

from __future__ import annotations

from sessions_app import models
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import sql
from sessions_app.event_log.commands import Append
from sessions_app.event_log.open_messages import OpenMessage
from sessions_app.event_log.producer_batches import ProducerBatches
from sessions_app.event_log.sql import Key


class AlreadyStored(Exception):
    """Raised for an append that was stored before."""

    def __init__(self, serial: int) -> None:
        self.serial = serial


class TransactionReads:
    """Sessions locked, runs fenced, messages that exist, and producers' batches, as one transaction has read them."""

    def __init__(self, sessions: set[str]) -> None:
        """Lock the rows of the sessions."""
        locked = sql.lock_sessions(sessions)
        self.sessions = locked.sessions
        self.journal = locked.journal  # the id before the rows that are added to the journal
        self.now = locked.now  # by the database's clock, if it has one
        self.batches = ProducerBatches()
        self._known: dict[int, Append] = {}  # by identity, which is theirs while they are here
        self._fenced: set[Key] = set()  # (run, worker) where the run is no longer that worker's
        self._existing: dict[Key, tuple[str, int, int]] = {}  # role, first and last serial of messages to begin
        self._runs: dict[Key, set[str]] = {}  # of messages that are to begin with a run of their own

    def look_up(self, appends: list[Append]) -> None:
        """Read what refuses these appends, if anything does, unless it was read before."""
        new = [append for append in appends if id(append) not in self._known]
        if not new:
            return
        self._known |= {id(append): append for append in new}
        self._fenced |= sql.fenced_runs(_owned(new))
        self._existing |= sql.existing_messages({(append.session, append.uid) for append in new if append.begins})
        self._runs |= sql.runs_of_messages({(append.session, append.uid) for append in new if append.starts})
        self.batches.look_up(new)

    def check_fence(self, append: Append) -> None:
        """Raise fenced if the append's run is no longer its worker's, AlreadyStored if the append has ended it."""
        if self._fenced and (append.run, append.worker) in self._fenced:
            raise _stored_end(append) or HoldfastError("fenced")

    def begins(self, append: Append, key: Key, staged: OpenMessage | None) -> bool:
        """Return whether an append is to begin its message. Raises AlreadyStored, and HoldfastError to refuse it.

        `staged`: its message, if this transaction has begun it.
        """
        taken = key in self._existing or staged is not None or bool(self._runs.get(key, set()) - {append.run})
        if append.sequence:
            serial = self.batches.stored(append, exists=taken)
            if serial is not None:
                raise AlreadyStored(serial)
            return not self.batches.has_begun(append)
        if append.run and append.starts is not None and taken and append.run not in self._runs.get(key, set()):
            raise HoldfastError("message_exists")  # another run's: only its own run repeats an append
        if append.begins and key in self._existing:
            role, first, last = self._existing[key]
            if role != ("assistant" if append.run else "user"):
                raise HoldfastError("message_exists")
            raise AlreadyStored(last if append.run else first)
        if append.begins and staged is not None:  # the same signal twice in one group
            raise AlreadyStored(staged.message.first_serial)
        return append.begins


def _owned(appends: list[Append]) -> set[tuple[str, str]]:
    """Return the (run, worker) of appends whose fence is checked here; producers' batches are checked by their own."""
    return {(append.run, append.worker) for append in appends if append.run and not (append.starts or append.sequence)}


def _stored_end(append: Append) -> AlreadyStored | None:
    """Return AlreadyStored if the append ends its message and is what ended it."""
    status = vocabulary.ENDS.get(append.chunks[-1]["type"])
    if status is None or append.after is None:
        return None
    ended = models.Message.objects.filter(session=append.session, uid=append.uid, status=status)
    serial = ended.filter(last_serial__gt=append.after).values_list("last_serial", flat=True).first()
    return None if serial is None else AlreadyStored(serial)
