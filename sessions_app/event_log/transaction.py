"""One transaction of the log: it reads, stages appends, does what follows from them, and writes.

Made by `LogWriter`, in its thread. An append's way through it: `stage` finds its message, folds its chunks and stages
its rows; `follow_up` does what its chunks, and the beginnings and ends of runs, cause; `finish` writes what is left and
returns the frames for readers; `settle` lets go of ended messages once all is committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from sessions_app.core import fold, frames
from sessions_app.core.attachment import Frame
from sessions_app.core.branches import Place, Standing
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk, SignalRecord
from sessions_app.event_log import branch_queries, sql
from sessions_app.event_log.commands import Also, Append, AppendResult, Follow, RunChanges, SessionLog
from sessions_app.event_log.open_messages import OpenMessage, OpenMessages
from sessions_app.event_log.sql import Key
from sessions_app.event_log.staged_writes import StagedActivity, StagedMessages
from sessions_app.event_log.transaction_reads import AlreadyStored, TransactionReads
from sessions_app.telemetry import metrics

Events = list[tuple[int, str]]  # each with its serial: JSON


@dataclass(slots=True)
class StagedSession:
    """A locked session with what is staged: its epoch, tail, first new serial and leaf, and every new event's JSON.

    `bytes_grown`: those by which its rows have grown.
    """

    epoch: str
    tail: int
    first: int
    leaf: str | None
    texts: list[str] = field(default_factory=list)
    has_grown: bool = False  # the leaf is another one
    bytes_grown: int = 0


class FollowUps:
    """Work that follows from staged appends, within their transaction."""

    def __init__(self) -> None:
        self._also: list[tuple[str, Also]] = []
        self._begun: list[str] = []
        self._ended: list[tuple[str, fold.MessageState]] = []

    def add_also(self, append: Append, stored: int) -> None:
        """Add the append's own work for those of its chunks that were taken."""
        self._also += [(append.session, also) for position, also in append.also if position < stored]

    def add_beginning(self, run: str) -> None:
        self._begun.append(run)

    def add_end(self, run: str, message: fold.MessageState) -> None:
        self._ended.append((run, message))

    def take_also(self) -> list[tuple[str, Also]]:
        """Return the work added since the last call, each with its session."""
        also, self._also = self._also, []
        return also

    def take_runs(self) -> RunChanges | None:
        """Return the runs whose responses began or ended since the last call; None if there are none."""
        if not (self._begun or self._ended):
            return None
        runs = RunChanges(self._begun, self._ended)
        self._begun, self._ended = [], []
        return runs


class Transaction:
    """The transaction under way. Locks the rows of its sessions when it is made."""

    def __init__(self, open_messages: OpenMessages, appends: list[Append], sessions: set[str]) -> None:
        self._open_messages = open_messages
        self._reads = TransactionReads({append.session for append in appends} | sessions)
        self.now = self._reads.now or timezone.now()
        self._sessions = {
            id_: StagedSession(epoch, tail, tail + 1, leaf) for id_, epoch, tail, leaf, _ in self._reads.sessions
        }
        self._next = {id(append): found for append in appends if (found := self._next_of(append))}
        if len(self._next) < len(appends):
            self._reads.look_up([append for append in appends if id(append) not in self._next])
        self._journal = {id_: last for id_, *_, last in self._reads.sessions}
        self._messages = StagedMessages(self._reads.journal, self._journal)
        self._activity = StagedActivity()
        self._follow_ups = FollowUps()
        self._current: set[Key] = set()  # messages whose folds are known to be as stored
        self._refused: set[Key] = set()  # messages that this process need not keep in memory

    # Staging an append

    def stage(self, append: Append) -> AppendResult | HoldfastError:
        """Fold an append into its message and stage what to write."""
        key = append.session, append.uid
        try:
            session, opened = self._still_next(append) or self._find(append, key)
        except HoldfastError as problem:
            self._refused.add(key)
            return problem
        except AlreadyStored as stored:
            return AppendResult(stored.serial, repeated=True)
        opened, events, refusal = self._fold(append, session, key, opened)
        if opened is not None and append.sequence and (events or self._reads.batches.has_begun(append)):
            opened.shared = True
            self._reads.batches.note(append, opened.message, refusal)
        if opened is not None and events:
            self._stage_rows(append, key, opened, events)
            return AppendResult(session.tail, refusal=refusal)
        return refusal or AppendResult(session.tail)

    def stage_now(self, append: Append) -> AppendResult:
        """Stage an append that joins the transaction later, and write it. Raises HoldfastError if it is refused."""
        outcome = self.stage(append)
        self.write()
        if isinstance(outcome, HoldfastError):
            raise outcome
        if outcome.refusal:
            raise outcome.refusal
        return outcome

    def _next_of(self, append: Append) -> tuple[StagedSession, OpenMessage] | None:
        """Return the session and message of an append that follows the session's last event; None of any other.

        Such an append needs no look-up: as that event is its own message's, the fold in memory is as stored, and nobody
        has ended the message, which is how a run is fenced.
        """
        session = self._sessions.get(append.session)
        opened = self._open_messages.open.get((append.session, append.uid))
        if session is None or opened is None or append.after != session.tail or append.starts is not None:
            return None
        return (session, opened) if opened.message.last_serial == session.tail else None

    def _still_next(self, append: Append) -> tuple[StagedSession, OpenMessage] | None:
        found = self._next.get(id(append))
        return found if found is not None and found[0].tail == append.after else None

    def _find(self, append: Append, key: Key) -> tuple[StagedSession, OpenMessage | None]:
        """Return the append's session and its message; None if it is to begin. Raises what refuses the append."""
        session = self._session(append.session)
        self._reads.look_up([append])
        self._reads.check_fence(append)
        begins = self._reads.begins(append, key, self._messages.new(key))
        opened = self._fresh(append, key)
        if opened is None and not begins:
            opened = self._open_messages.load(key)
        self._current.add(key)
        if opened is not None and append.after is not None and opened.message.last_serial != append.after:
            if opened.message.last_serial < append.after:
                raise HoldfastError("storage_unavailable", "what was published before this was not stored")
            raise AlreadyStored(opened.message.last_serial)
        return session, opened

    def _session(self, session: str) -> StagedSession:
        staged = self._sessions.get(session)
        if staged is None:
            raise HoldfastError("not_found", "it was deleted or has expired")
        return staged

    def _fresh(self, append: Append, key: Key) -> OpenMessage | None:
        """Return an append's message if it is open and as stored; another process may have written to it since."""
        opened = self._open_messages.open.get(key)
        if opened is None or key in self._current:
            return opened
        batches = self._reads.batches
        if batches.is_current(append, opened.message) if append.sequence else not opened.shared:
            return opened
        self._open_messages.forget([key])
        return None

    def _fold(
        self, append: Append, session: StagedSession, key: Key, opened: OpenMessage | None
    ) -> tuple[OpenMessage | None, Events, HoldfastError | None]:
        """Fold chunks up to the first that is refused; return the message, their events, and the refusal."""
        events: Events = []
        for chunk in self._reads.batches.chunks(append) if append.sequence else append.chunks:
            serial = session.tail + 1
            try:
                if opened is None:
                    opened, text = self._begin(append, session, key, chunk)
                else:
                    text = self._open_messages.apply(opened, key[1], serial, chunk)
            except HoldfastError as problem:
                return opened, events, problem
            session.tail = serial
            session.texts.append(text)
            events.append((serial, text))
        return opened, events, None

    def _begin(self, append: Append, session: StagedSession, key: Key, chunk: Chunk) -> tuple[OpenMessage, str]:
        """Begin a message at its place; return it and its event's JSON. Raises HoldfastError."""
        if append.place is None:
            standing = Standing(branch_queries.leaf(key[0]) if session.leaf is None and session.tail else session.leaf)
        else:
            standing = branch_queries.standing(key[0], append.place, is_empty=append.is_empty)
        if standing.replaces:
            self.write()
        opened, text = self._open_messages.begin(key, session.tail + 1, chunk, self.now, standing)
        if append.place is None:
            session.leaf, session.has_grown = append.uid, True
        if standing.replaces:
            self._messages.replace(key[0], standing.replaces, opened.message, self.now)
        return opened, text

    def _stage_rows(self, append: Append, key: Key, opened: OpenMessage, events: Events) -> None:
        begins = opened.is_new
        self._messages.add(key, opened, events)
        if append.also:
            self._follow_ups.add_also(append, self._reads.batches.taken(append) if append.sequence else len(events))
        if begins:
            self._activity.add_beginning(append, opened.message)
            if append.run:
                self._follow_ups.add_beginning(append.run)
        if fold.ended(opened.message):
            self._activity.add_end(append)
            if append.run:
                self._follow_ups.add_end(append.run, opened.message)

    # What follows

    def follow_up(self, follow: Follow) -> None:
        """Do what follows from the appends staged since the last call."""
        for session, also in self._follow_ups.take_also():
            also(self.log(session))
        runs = self._follow_ups.take_runs()
        if runs is not None:
            self.write()
            follow(runs, self.log)

    def log(self, session: str) -> StagedLog:
        """Return a locked session's log, with all that is staged. Raises not_found."""
        self.write()
        return StagedLog(self, session, self._session(session))

    def journal(self, session: str) -> int:
        """Return the id of the journal's last row of a session."""
        return self._journal[session]

    def abandon(self, session: str, journal: int) -> None:
        """Drop what was folded of a session whose changes were rolled back to this row of the journal."""
        self._journal[session] = journal
        self._open_messages.forget_sessions({session})
        self._follow_ups.take_runs()

    # Writing

    def write(self) -> None:
        """Write what is staged, so that queries see it."""
        if self._messages.write(self.now):
            self._activity.write(self.now)
            for id_, bytes_ in self._messages.take_growth().items():
                self._sessions[id_].bytes_grown += bytes_
        self._reads.batches.write()

    def finish(self) -> list[Frame]:
        """Write what is left, and the tails; return the frames for readers, to be shown once all of it is committed."""
        self.write()
        changed = {id_: session for id_, session in self._sessions.items() if session.texts}
        if changed:
            sql.advance_tails(
                [(id_, session.tail, self._journal[id_], session.bytes_grown) for id_, session in changed.items()]
            )
            sql.move_leaves(
                {id_: session.leaf for id_, session in changed.items() if session.has_grown and session.leaf}
            )
        return [_frame(id_, session) for id_, session in changed.items()]

    def settle(self) -> None:
        """Let go of messages that have ended or were refused. Call it after COMMIT."""
        opened = self._open_messages.open
        ended = [key for key in self._messages.written if key in opened and fold.ended(opened[key].message)]
        # The refused not before: another append of this transaction may have changed its fold.
        self._open_messages.forget([*ended, *self._refused])


class StagedLog(SessionLog):
    """One session's log within a transaction, for what a signal or a run's end adds to it."""

    def __init__(self, work: Transaction, session: str, staged: StagedSession) -> None:
        self._work = work
        self._id = session
        self._staged = staged

    @property
    def session(self) -> str:
        return self._id

    @property
    def now(self) -> datetime:
        return self._work.now

    @property
    def next_serial(self) -> int:
        return self._staged.tail + 1

    @contextmanager
    def undone_by_refusal(self) -> Iterator[None]:
        """Undo all that is done within if it raises a HoldfastError."""
        tail, events, bytes_grown = self._staged.tail, len(self._staged.texts), self._staged.bytes_grown
        leaf, has_grown = self._staged.leaf, self._staged.has_grown
        journal = self._work.journal(self._id)
        try:
            with transaction.atomic():
                yield
        except HoldfastError:
            self._staged.tail, self._staged.bytes_grown = tail, bytes_grown
            self._staged.leaf, self._staged.has_grown = leaf, has_grown
            del self._staged.texts[events:]
            self._work.abandon(self._id, journal)
            raise

    @property
    def leaf(self) -> str | None:
        if self._staged.leaf is None and self._staged.tail:
            return branch_queries.leaf(self._id)
        return self._staged.leaf

    def grow(self, uid: str) -> None:
        self._staged.leaf, self._staged.has_grown = uid, True

    def append(
        self, uid: str, chunks: list[Chunk], *, run: str = "", worker: str = "", place: Place | None = None
    ) -> AppendResult:
        return self._work.stage_now(Append(self._id, uid, chunks, run=run, worker=worker, place=place))

    def add_bytes(self, size: int) -> None:
        self._staged.bytes_grown += size

    def say(self, signal: SignalRecord) -> None:
        self._staged.tail += 1
        self._staged.texts.append(frames.signal_event(serial=self._staged.tail, record=signal))
        transaction.on_commit(metrics.receipts.labels(signal["kind"], signal["status"]).inc)


def _frame(id_: str, session: StagedSession) -> Frame:
    return frames.events(session=id_, epoch=session.epoch, first=session.first, last=session.tail, texts=session.texts)
