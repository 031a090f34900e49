"""One transaction of the log: what it has read, what it folds, what it writes. Made by `LogWriter`, in its thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone

from sessions_app import models
from sessions_app.core import fold, frames, vocabulary
from sessions_app.core.attachment import Frame
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import queries, sql
from sessions_app.event_log.commands import Also, Append, AppendResult, Chunk
from sessions_app.event_log.open_messages import OpenMessage, OpenMessages, load
from sessions_app.event_log.producer_batches import ProducerBatches
from sessions_app.event_log.sql import Key
from sessions_app.telemetry import metrics

CONFLATED = 16  # messages that a transaction conflates before they have ended; the others wait for the next ones
TITLE_LENGTH = 60  # characters of a first message that become its session's title


@dataclass(slots=True)
class _Changed:
    """A session in the transaction."""

    epoch: str
    tail: int
    first: int
    texts: list[str] = field(default_factory=list)  # every new event's JSON, in order


class Transaction:
    """The transaction under way. Locks the rows of its sessions when it is made."""

    def __init__(self, folds: OpenMessages, appends: list[Append], sessions: set[str]) -> None:
        self.now = timezone.now()
        self._open_messages = folds
        locked = sql.lock_sessions({append.session for append in appends} | sessions, _held(appends))
        self._sessions = {id_: _Changed(epoch, tail, first=tail + 1) for id_, epoch, tail in locked.sessions}
        self._fenced = locked.fenced  # run and worker, where the run is not, or no longer, that worker's
        self._known: dict[Key, tuple[str, int, int]] = {}  # that were to begin and exist: role, first and last serial
        self._batches = ProducerBatches()
        self._current: set[Key] = set()  # messages whose folds are known to be as stored
        self._look_up(appends)
        self._begun: list[str] = []
        self._ended: list[tuple[str, fold.Message]] = []
        self._also: list[tuple[str, Also]] = []
        self._touched: set[Key] = set()  # messages whose rows were written
        self._refused: set[Key] = set()  # messages of which this process has to know no more
        self._new_rows: dict[Key, OpenMessage] = {}
        self._conflated: dict[Key, OpenMessage] = {}
        self._journal: list[sql.JournalRow] = []
        self._active: set[str] = set()
        self._titles: dict[str, str] = {}
        self._new_runs: list[models.Run] = []
        self._ended_runs: set[str] = set()

    def _look_up(self, appends: list[Append]) -> None:
        self._known |= sql.existing_messages({(append.session, append.uid) for append in appends if append.begins})
        self._batches.look_up(appends)

    def take_runs(self) -> tuple[list[str], list[tuple[str, fold.Message]]]:
        """Runs whose response has begun, and those whose response has ended, with it, since this was last asked."""
        begun, ended = self._begun, self._ended
        self._begun, self._ended = [], []
        if begun or ended:
            self.write()
        return begun, ended

    def take_also(self) -> list[tuple[str, Also]]:
        """What else is to be done for the chunks that were taken, each with its session, since this was last asked."""
        also, self._also = self._also, []
        return also

    def log(self, session: str) -> StagedLog:
        """Return the log of a session that is locked here, with all that was staged. Raises not_found."""
        self.write()
        changed = self._sessions.get(session)
        if changed is None:
            raise HoldfastError("not_found", "It was deleted or has expired.")
        return StagedLog(self, session, changed)

    def stage(self, append: Append) -> AppendResult | HoldfastError:
        """Fold an append into its message and note what to write."""
        key = append.session, append.uid
        try:
            changed, opened = self._find(append, key)
        except HoldfastError as problem:
            self._refused.add(key)
            return problem
        except _Repeated as repeated:
            return AppendResult(repeated.serial, repeated=True)
        refusal = None
        serial = changed.tail
        staged: list[tuple[int, str]] = []  # serial, event
        for chunk in append.chunks:
            try:
                text = self._fold(opened, changed.tail + 1, chunk, key)
            except HoldfastError as problem:
                refusal = problem
                break
            changed.tail = serial = changed.tail + 1
            changed.texts.append(text)
            staged.append((serial, text))
        if append.sequence and (staged or self._batches.has_begun(append)):
            self._open_messages.open[key].shared = True
            self._batches.note(append, self._open_messages.open[key].message, refusal)
        if not staged:
            return refusal or AppendResult(serial)
        if append.also:
            self._also += [(append.session, also) for position, also in append.also if position < len(staged)]
        self._note(append, key, opened or self._open_messages.open[key], staged)
        return AppendResult(serial, refusal=refusal)

    def stage_now(self, append: Append) -> AppendResult:
        """Stage an append that isn't one of the transaction's own, and write it. Raises what refuses it."""
        self._fenced |= sql.fenced_runs(_held([append]))
        self._look_up([append])
        outcome = self.stage(append)
        self.write()
        if isinstance(outcome, HoldfastError):
            raise outcome
        if outcome.refusal:
            raise outcome.refusal
        return outcome

    def _find(self, append: Append, key: Key) -> tuple[_Changed, OpenMessage | None]:
        """Return the append's session and message (None: it is to begin), or raise why it can't be stored."""
        changed = self._sessions.get(append.session)
        if changed is None:
            raise HoldfastError("not_found", "It was deleted or has expired.")
        if self._fenced and (append.run, append.worker) in self._fenced:
            raise _repeated_end(append) or HoldfastError("fenced")
        begins = append.begins
        if append.sequence:
            serial = self._batches.stored(append, exists=key in self._known or key in self._new_rows)
            if serial is not None:
                raise _Repeated(serial)
            begins = not self._batches.has_begun(append)
        elif key in self._known:
            role, first, last = self._known[key]
            if role != ("assistant" if append.run else "user"):
                raise HoldfastError("message_exists")
            raise _Repeated(last if append.run else first)
        elif begins and key in self._new_rows:  # the same signal twice in one group
            raise _Repeated(self._new_rows[key].message.first_serial)
        opened = self._opened(append, key)
        if opened is None and not begins:
            opened = self._open_messages.open[key] = load(key)
        self._current.add(key)
        if opened is not None and append.after is not None and opened.message.last_serial != append.after:
            if opened.message.last_serial < append.after:
                raise HoldfastError("storage_unavailable", "What was published before this was not stored.")
            raise _Repeated(opened.message.last_serial)
        return changed, opened

    def _opened(self, append: Append, key: Key) -> OpenMessage | None:
        """Return the fold in memory of an append's message, if it is what is stored."""
        opened = self._open_messages.open.get(key)
        if opened is None or key in self._current:
            return opened
        if self._batches.is_current(append, opened.message) if append.sequence else not opened.shared:
            return opened
        self._open_messages.forget([key])
        return None

    def _fold(self, opened: OpenMessage | None, serial: int, chunk: Chunk, key: Key) -> str:
        """Apply one chunk; return its event's JSON. Raises HoldfastError, and then nothing has changed."""
        json = orjson.dumps(chunk).decode()
        opened = opened or self._open_messages.open.get(key)
        if opened is None:
            if not frames.MESSAGE_UID.match(key[1]):
                raise HoldfastError("bad_chunk", "A message's id is 1 to 64 characters of A-Z a-z 0-9 _ . : -.")
            at = queries.milliseconds(self.now)
            event = {"serial": serial, "message": key[1], "at": at, "chunk": chunk}
            self._open_messages.open[key] = OpenMessage(fold.begin(event), key=0, is_new=True, size=len(json))
            return frames.event_text(serial=serial, uid=key[1], chunk=json, at=at)
        if opened.size + len(json) > self._open_messages.response_bytes and chunk["type"] not in vocabulary.ENDS:
            raise HoldfastError(
                "response_too_large", f"A response has at most {self._open_messages.response_bytes} bytes."
            )
        fold.apply(opened.message, serial, chunk)
        opened.size += len(json)
        return frames.event_text(serial=serial, uid=key[1], chunk=json)

    def _note(self, append: Append, key: Key, opened: OpenMessage, staged: list[tuple[int, str]]) -> None:
        ended = fold.ended(opened.message)
        opened.journal_events += len(staged)
        if opened.is_new:
            opened.is_new, opened.journal_events = False, 0
            self._new_rows[key] = opened
        elif key in self._new_rows:
            opened.journal_events = 0  # its row is written with this in it
        elif ended or key in self._conflated or self._is_due(opened):
            opened.journal_events = 0
            self._conflated[key] = opened
        else:
            self._journal += [(opened.key, serial, text) for serial, text in staged]
        if key in self._new_rows:
            self._note_beginning(append, opened.message)
        if ended:
            self._active.add(append.session)
            if append.run:
                self._ended_runs.add(append.run)
                self._ended.append((append.run, opened.message))

    def _note_beginning(self, append: Append, message: fold.Message) -> None:
        self._active.add(append.session)
        if append.run:
            self._begun.append(append.run)
        if append.starts is not None:
            self._new_runs.append(append.starts)
        if message.role == "user":
            self._titles[append.session] = _title(message)

    def _is_due(self, opened: OpenMessage) -> bool:
        # Answers that began together are due together: a commit that conflates them all would hold up everybody.
        return opened.journal_events >= self._open_messages.journal_events and len(self._conflated) < CONFLATED

    def write(self) -> None:
        """Write what was staged, so that queries see it."""
        if self._new_rows or self._conflated or self._journal:
            self._write_events()
        self._batches.write()

    def _write_events(self) -> None:
        new = self._new_rows.values()
        rows = sql.insert_messages([(key, opened.message) for key, opened in self._new_rows.items()], self.now)
        for opened, row in zip(new, rows, strict=True):
            opened.key = row
        conflated = {opened.key: opened.message for opened in self._conflated.values()}
        sql.conflate(list(conflated.items()), self.now)
        sql.insert_journal([entry for entry in self._journal if entry[0] not in conflated])
        sql.note_activity(self._active, self._titles, self.now)
        sql.note_runs(self._new_runs, self._ended_runs)
        self._touched |= self._conflated.keys() | self._new_rows.keys()
        for staged in (
            self._new_rows, self._conflated, self._journal, self._active, self._titles, self._new_runs,
            self._ended_runs,
        ):  # fmt: skip
            staged.clear()

    def abandon(self, session: str) -> None:
        """What was folded of a session was taken back: read it anew when it is needed."""
        self._open_messages.forget([key for key in self._open_messages.open if key[0] == session])
        self.take_runs()

    def finish(self) -> list[Frame]:
        """Write what is left, and the tails; return the frames for readers, to be shown once all of it is committed."""
        self.write()
        changed = {session: changed for session, changed in self._sessions.items() if changed.texts}
        if changed:
            sql.advance_tails([(session, changed.tail) for session, changed in changed.items()])
        return [_frame(session, changed) for session, changed in changed.items()]

    def settle(self) -> None:
        """It is committed: let go of the folds of what has ended, or was refused."""
        ended = [
            key
            for key in self._touched
            if key in self._open_messages.open and fold.ended(self._open_messages.open[key].message)
        ]
        # The refused not before: another append of this transaction may have changed its fold.
        self._open_messages.forget([*ended, *self._refused])


class StagedLog:
    """One session's log within a transaction: what a signal or a run's end adds to it."""

    def __init__(self, work: Transaction, session: str, changed: _Changed) -> None:
        self.session = session
        self.now = work.now
        self._work = work
        self._changed = changed

    @property
    def next_serial(self) -> int:
        return self._changed.tail + 1

    @contextmanager
    def undone_by_refusal(self) -> Iterator[None]:
        """Take back all that is done within when it raises a HoldfastError."""
        tail, events = self._changed.tail, len(self._changed.texts)
        try:
            with transaction.atomic():
                yield
        except HoldfastError:
            self._changed.tail = tail
            del self._changed.texts[events:]
            self._work.abandon(self.session)
            raise

    def append(self, uid: str, chunks: list[Chunk], *, run: str = "", worker: str = "") -> AppendResult:
        """Add chunks to a message, at once. Raises what refuses them."""
        return self._work.stage_now(Append(self.session, uid, chunks, run=run, worker=worker))

    def say(self, signal: dict[str, Any]) -> None:
        """Add an event: a signal's record as it is from now on."""
        self._changed.tail += 1
        self._changed.texts.append(frames.signal_event(serial=self._changed.tail, record=signal))
        transaction.on_commit(metrics.receipts.labels(signal["kind"], signal["status"]).inc)


class _Repeated(Exception):
    """The append is stored already."""

    def __init__(self, serial: int) -> None:
        self.serial = serial


def _repeated_end(append: Append) -> _Repeated | None:
    """Whether the append is an end that is stored already, and has ended its run with it."""
    status = vocabulary.ENDS.get(append.chunks[-1]["type"])
    if status is None or append.after is None:
        return None
    ended = models.Message.objects.filter(session=append.session, uid=append.uid, status=status)
    serial = ended.filter(last_serial__gt=append.after).values_list("last_serial", flat=True).first()
    return None if serial is None else _Repeated(serial)


def _held(appends: list[Append]) -> set[tuple[str, str]]:
    """Runs and workers by which appends are to be checked; batches of producers elsewhere are by their own."""
    return {(append.run, append.worker) for append in appends if append.run and not (append.starts or append.sequence)}


def _frame(session: str, changed: _Changed) -> Frame:
    return frames.events(
        session=session, epoch=changed.epoch, first=changed.first, last=changed.tail, texts=changed.texts
    )


def _title(message: fold.Message) -> str:
    text = " ".join(" ".join(part.get("text", "") for part in message.parts).replace("\0", "").split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1].rstrip() + "…"
