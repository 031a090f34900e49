"""The one writer of the log: group commit of everything that is published, in a thread of its own.

All that arrives while one transaction is under way goes into the next one, whatever sessions it is for. What is
committed is then handed to the event loop, in commit order: first the frames for readers, then each publisher's
outcome. Nothing is shown or acknowledged before.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

import orjson
from django.db import DatabaseError, DataError, IntegrityError, connection, transaction
from django.utils import timezone

from sessions_app import conf, models, statements, store
from sessions_app.core import fold, frames, vocabulary
from sessions_app.core.attachment import Frame
from sessions_app.core.errors import HoldfastError

logger = logging.getLogger(__name__)

CONFLATED = 16  # messages that a transaction conflates before they have ended; the others wait for the next ones
GROUP = 512  # appends in one transaction: bounds how long the next ones wait
TITLE_LENGTH = 60  # characters of a first message that become its session's title

Chunk = dict[str, Any]
T = TypeVar("T")


class Stored(NamedTuple):
    """An append's outcome: the serial of its last chunk. `repeated`: it had been stored before.

    `refusal`: why the chunks after that one were not stored.
    """

    serial: int
    repeated: bool = False
    refusal: HoldfastError | None = None


Settle = Callable[[Stored | HoldfastError], None]


@dataclass(slots=True)
class Append:
    """What a publisher adds to one message. Chunks are taken in order; the first that is refused ends it.

    `run` and `worker`: whose response it is; refused as fenced when the run is no longer that worker's.
    `after`: the message's last serial that the publisher knows of, 0 for none. A message that is further has
    the append already (its publisher was not told, because the connection to the database broke at COMMIT).
    `starts`: a run to create in the same transaction. `sequence`: of a producer elsewhere, instead of `after`: the
    number of this append among the message's, from 1 on.
    """

    session: str
    uid: str
    chunks: list[Chunk]
    settle: Settle
    run: str = ""
    worker: str = ""
    after: int | None = None
    starts: models.Run | None = None
    sequence: int = 0


@dataclass(slots=True)
class Job:
    """Another small write of this process, done in the same transaction as what is published meanwhile.

    SQLite has one write lock and no queue for it: a process that competes with itself can starve its own lease.
    """

    work: Callable[[], Any]
    settle: Callable[[Any], None]


@dataclass(slots=True)
class _Open:
    """A message that this process is writing: its fold, and how much of it is in the journal only."""

    message: fold.Message
    is_new: bool  # has no row yet
    size: int = 0  # bytes of all its events
    journal_events: int = 0
    shared: bool = False  # of a producer elsewhere, who may have gone on at another process


@dataclass(slots=True)
class _Changed:
    """A session in the transaction under way."""

    epoch: str
    tail: int
    first: int
    texts: list[str] = field(default_factory=list)  # every new event's JSON, in order


@dataclass(slots=True)
class _Transaction:
    """What the transaction under way has read and will write."""

    sessions: dict[str, _Changed]
    fenced: set[tuple[str, str]]  # run and worker, where the run is not, or no longer, that worker's
    known: dict[tuple[str, str], tuple[str, int, int]]  # that were to begin and exist: role, first and last serial
    now: Any
    producers_fenced: set[str]  # workers that are producers elsewhere and have a later epoch
    published: dict[str, statements.Published]  # their runs, with the last batch of each, as it is by now
    batches: dict[str, statements.Published] = field(default_factory=dict)  # of them, those that have a new one
    current: set[tuple[str, str]] = field(default_factory=set)  # messages whose folds are known to be as stored
    new_rows: dict[tuple[str, str], _Open] = field(default_factory=dict)
    conflated: dict[tuple[str, str], _Open] = field(default_factory=dict)
    journal: list[statements.JournalRow] = field(default_factory=list)
    active: set[str] = field(default_factory=set)
    titles: dict[str, str] = field(default_factory=dict)
    new_runs: list[models.Run] = field(default_factory=list)
    ended_runs: set[str] = field(default_factory=set)
    refused: set[tuple[str, str]] = field(default_factory=set)  # messages of which this process has to know no more


class Ingest:
    """The writer of one process. `deliver` is called in the loop with each commit's frames."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[list[Frame]], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._waiting: list[Append | Job] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._open: dict[tuple[str, str], _Open] = {}
        self._journal_events = conf.JOURNAL_EVENTS  # read once: looking up a setting costs more than a fold
        self._response_bytes = conf.RESPONSE_BYTES
        self._thread = threading.Thread(target=self._work, name="ingest", daemon=True)
        self._thread.start()

    def submit(self, item: Append | Job) -> None:
        """Queue an append or a job; its `settle` is called in the loop with its outcome."""
        with self._changed:
            if not self._stopping:
                self._waiting.append(item)
                self._changed.notify()
                return
        self._loop.call_soon(item.settle, HoldfastError("going_away"))

    async def append(self, **fields: Any) -> Stored:
        """Submit an append and wait until it is committed. Raises HoldfastError."""
        stored: Stored = await self._outcome(lambda settle: Append(settle=settle, **fields))
        if stored.refusal:
            raise stored.refusal
        return stored

    async def do(self, work: Callable[..., T], *args: Any) -> T:
        """Have a function write in the next transaction, and wait until it is committed. Raises HoldfastError."""
        result: T = await self._outcome(lambda settle: Job(partial(work, *args), settle))
        return result

    async def _outcome(self, make: Callable[[Callable[[Any], None]], Append | Job]) -> Any:
        outcome: asyncio.Future[Any] = self._loop.create_future()

        def settle(result: Any) -> None:
            if not outcome.done():  # its waiter may have been cancelled; what it asked for is done all the same
                outcome.set_result(result)

        self.submit(make(settle))
        result = await outcome
        if isinstance(result, HoldfastError):
            raise result
        return result

    async def stop(self) -> None:
        """Commit what is queued, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        await self._loop.run_in_executor(None, self._thread.join)

    # The thread

    def _work(self) -> None:
        while group := self._next_group():
            outcomes, committed = self._commit_or_split(group)
            settled = list(zip(group, outcomes, strict=True))
            try:
                self._loop.call_soon_threadsafe(self._publish, committed, settled)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                logger.warning("stopped with %d outcomes untold", len(settled))
        connection.close()

    def _next_group(self) -> list[Append | Job]:
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            return group

    def _publish(self, committed: list[Frame], settled: list[tuple[Append | Job, Any]]) -> None:
        try:
            if committed:
                self._deliver(committed)
        except Exception:
            logger.exception("%d frames were not delivered: the tail check finds them", len(committed))
        for item, outcome in settled:
            item.settle(outcome)

    def _commit_or_split(self, group: list[Append | Job]) -> tuple[list[Any], list[Frame]]:
        """Commit a group; when it fails for a reason of our own, one by one, so that one item fails alone."""
        problem: Exception
        try:
            return self._commit(group)
        except (DataError, IntegrityError) as error:  # the database is well: something in the group isn't
            problem = error
        except DatabaseError as error:
            logger.error("%d writes were not stored: %s", len(group), error)
            connection.close()  # whatever state it is in; the next transaction opens a new one
            self._forget(group)
            return [HoldfastError("storage_unavailable", str(error))] * len(group), []
        except Exception as error:
            problem = error
        self._forget(group)
        if len(group) == 1:
            logger.error("a write failed", exc_info=problem)
            return [HoldfastError("internal", type(problem).__name__)], []
        alone = [self._commit_or_split([item]) for item in group]
        return [outcome for outcomes, _ in alone for outcome in outcomes], [
            frame for _, committed in alone for frame in committed
        ]

    def _forget(self, group: list[Append | Job]) -> None:
        # The folds in memory are ahead of what was stored: read them anew when they are needed.
        for item in group:
            if isinstance(item, Append):
                self._open.pop((item.session, item.uid), None)

    def _commit(self, group: list[Append | Job]) -> tuple[list[Any], list[Frame]]:
        with transaction.atomic():
            work = self._read([item for item in group if isinstance(item, Append)])
            outcomes = [self._stage(item, work) if isinstance(item, Append) else item.work() for item in group]
            self._write(work)
        for key in work.conflated.keys() | work.new_rows.keys():
            if key in self._open and fold.ended(self._open[key].message):
                del self._open[key]
        for key in work.refused:  # not before: another append of this transaction may have changed its fold
            self._open.pop(key, None)
        return outcomes, [_frame(session, changed) for session, changed in work.sessions.items() if changed.texts]

    # Within the transaction

    def _read(self, group: list[Append]) -> _Transaction:
        return _Transaction(
            sessions={
                id_: _Changed(epoch, tail, first=tail + 1)
                for id_, epoch, tail in statements.lock_sessions({append.session for append in group})
            },
            fenced=statements.fenced_runs(
                {
                    (append.run, append.worker)
                    for append in group
                    if append.run and not append.starts and not append.sequence
                }
            ),
            known=statements.existing_messages(
                {(append.session, append.uid) for append in group if _begins(append.chunks[0])}
            ),
            now=timezone.now(),
            producers_fenced=statements.beat_producers({append.worker for append in group if append.sequence}),
            published=statements.published_runs({append.run for append in group if append.sequence}),
        )

    def _stage(self, append: Append, work: _Transaction) -> Stored | HoldfastError:
        """Fold an append into its message and note what to write."""
        key = append.session, append.uid
        try:
            changed, opened = self._find(append, work)
        except HoldfastError as problem:
            work.refused.add(key)
            return problem
        except _Repeated as repeated:
            return Stored(repeated.serial, repeated=True)
        refusal = None
        serial = changed.tail
        staged: list[statements.JournalRow] = []
        for chunk in append.chunks:
            try:
                text = self._fold(opened, changed.tail + 1, chunk, key, work)
            except HoldfastError as problem:
                refusal = problem
                break
            changed.tail = serial = changed.tail + 1
            changed.texts.append(text)
            staged.append((append.session, serial, append.uid, text))
        if append.sequence and (staged or append.run in work.published):
            self._note_batch(append, self._open[key], refusal, work)
        if not staged:
            return refusal or Stored(serial)
        self._note(append, self._open[key], staged, work)
        return Stored(serial, refusal=refusal)

    def _find(self, append: Append, work: _Transaction) -> tuple[_Changed, _Open | None]:
        """Return the append's session and message (None: it is to begin), or raise why it can't be stored."""
        key = append.session, append.uid
        changed = work.sessions.get(append.session)
        if changed is None:
            raise HoldfastError("not_found", "It was deleted or has expired.")
        if (append.run, append.worker) in work.fenced:
            raise _repeated_end(append) or HoldfastError("fenced")
        if append.sequence:
            _check_batch(append, work)
        elif key in work.known:
            role, first, last = work.known[key]
            if role != ("assistant" if append.run else "user"):
                raise HoldfastError("message_exists")
            raise _Repeated(last if append.run else first)
        elif _begins(append.chunks[0]) and key in work.new_rows:  # the same signal twice in one group
            raise _Repeated(work.new_rows[key].message.first_serial)
        opened = self._open.get(key)
        if opened is not None and key not in work.current and not _is_current(opened, append, work):
            del self._open[key]
            opened = None
        if opened is None and (append.run in work.published if append.sequence else not _begins(append.chunks[0])):
            opened = self._open[key] = _load(key)
        work.current.add(key)
        if opened is not None and append.after is not None and opened.message.last_serial != append.after:
            if opened.message.last_serial < append.after:
                raise HoldfastError("storage_unavailable", "What was published before this was not stored.")
            raise _Repeated(opened.message.last_serial)
        return changed, opened

    def _fold(self, opened: _Open | None, serial: int, chunk: Chunk, key: tuple[str, str], work: _Transaction) -> str:
        """Apply one chunk; return its event's JSON. Raises HoldfastError, and then nothing has changed."""
        json = orjson.dumps(chunk).decode()
        opened = opened or self._open.get(key)
        if opened is None:
            if not frames.MESSAGE_UID.match(key[1]):
                raise HoldfastError("bad_chunk", "A message's id is 1 to 64 characters of A-Z a-z 0-9 _ . : -.")
            at = store.milliseconds(work.now)
            event = {"serial": serial, "message": key[1], "at": at, "chunk": chunk}
            self._open[key] = _Open(fold.begin(event), is_new=True, size=len(json))
            return frames.event_text(serial=serial, uid=key[1], chunk=json, at=at)
        if opened.size + len(json) > self._response_bytes and chunk["type"] not in vocabulary.ENDS:
            raise HoldfastError("response_too_large", f"A response has at most {self._response_bytes} bytes.")
        fold.apply(opened.message, serial, chunk)
        opened.size += len(json)
        return frames.event_text(serial=serial, uid=key[1], chunk=json)

    def _note(self, append: Append, opened: _Open, staged: list[statements.JournalRow], work: _Transaction) -> None:
        key = append.session, append.uid
        ended = fold.ended(opened.message)
        opened.journal_events += len(staged)
        if opened.is_new:
            opened.is_new, opened.journal_events = False, 0
            work.new_rows[key] = opened
        elif key in work.new_rows:
            opened.journal_events = 0  # its row is written with this in it
        elif ended or key in work.conflated or self._is_due(opened, work):
            opened.journal_events = 0
            work.conflated[key] = opened
        else:
            work.journal += staged
        if ended or key in work.new_rows:
            work.active.add(append.session)
        if ended and append.run:
            work.ended_runs.add(append.run)
        if append.starts is not None:
            work.new_runs.append(append.starts)
        if opened.message.role == "user" and key in work.new_rows:
            work.titles[append.session] = _title(opened.message)

    def _note_batch(self, append: Append, opened: _Open, refusal: HoldfastError | None, work: _Transaction) -> None:
        # One that was cut short counts, too: what comes again is answered as the first time.
        code = refusal.code if refusal else ""
        running = not fold.ended(opened.message)
        last = statements.Published(append.worker, running, append.sequence, opened.message.last_serial, code)
        opened.shared = True
        work.published[append.run] = work.batches[append.run] = last

    def _is_due(self, opened: _Open, work: _Transaction) -> bool:
        # Answers that began together are due together: a commit that conflates them all would hold up everybody.
        return opened.journal_events >= self._journal_events and len(work.conflated) < CONFLATED

    def _write(self, work: _Transaction) -> None:
        if any(changed.texts for changed in work.sessions.values()):
            self._write_events(work)
        statements.note_batches(work.batches)

    def _write_events(self, work: _Transaction) -> None:
        statements.insert_messages([(key, opened.message) for key, opened in work.new_rows.items()], work.now)
        statements.conflate([(key, opened.message) for key, opened in work.conflated.items()], work.now)
        statements.insert_journal([row for row in work.journal if (row[0], row[2]) not in work.conflated])
        statements.advance_tails([(id_, changed.tail) for id_, changed in work.sessions.items() if changed.texts])
        statements.note_activity(work.active, work.titles, work.now)
        statements.note_runs(work.new_runs, work.ended_runs)


class _Repeated(Exception):
    """The append is stored already."""

    def __init__(self, serial: int) -> None:
        self.serial = serial


def _check_batch(append: Append, work: _Transaction) -> None:
    """Raise what refuses the batch of a producer elsewhere, and _Repeated if it is stored."""
    if append.worker in work.producers_fenced:
        raise HoldfastError("fenced", "This producer has begun a later epoch.")
    last = work.published.get(append.run)
    if last is None:
        if append.sequence != 1:
            raise HoldfastError("out_of_order", "1 is expected.")
        if (append.session, append.uid) in work.known.keys() | work.new_rows.keys():
            raise HoldfastError("message_exists")
        return
    if last.worker != append.worker:
        raise HoldfastError("message_exists" if append.sequence == 1 else "fenced")
    if append.sequence <= last.sequence:
        if append.sequence == last.sequence and last.refusal:
            raise HoldfastError(last.refusal)
        raise _Repeated(last.serial)
    if not last.running:
        raise HoldfastError("fenced")
    if append.sequence != last.sequence + 1:
        raise HoldfastError("out_of_order", f"{last.sequence + 1} is expected.")


def _is_current(opened: _Open, append: Append, work: _Transaction) -> bool:
    """Whether a fold in memory is what is stored."""
    if append.sequence:
        return append.run in work.published and opened.message.last_serial == work.published[append.run].serial
    return not opened.shared


def _repeated_end(append: Append) -> _Repeated | None:
    """Whether the append is an end that is stored already, and has ended its run with it."""
    status = vocabulary.ENDS.get(append.chunks[-1]["type"])
    if status is None or append.after is None:
        return None
    ended = models.Message.objects.filter(session=append.session, uid=append.uid, status=status)
    serial = ended.filter(last_serial__gt=append.after).values_list("last_serial", flat=True).first()
    return None if serial is None else _Repeated(serial)


def _begins(chunk: Chunk) -> bool:
    return chunk["type"] in vocabulary.BEGINS


def _frame(session: str, changed: _Changed) -> Frame:
    return frames.events(
        session=session, epoch=changed.epoch, first=changed.first, last=changed.tail, texts=changed.texts
    )


def _title(message: fold.Message) -> str:
    text = " ".join(" ".join(part.get("text", "") for part in message.parts).replace("\0", "").split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1].rstrip() + "…"


def _load(key: tuple[str, str]) -> _Open:
    message = store.message(*key)
    if message is None:
        raise HoldfastError("no_such_message")
    # Its size and journal are bounded again from here: they are limits, not accounts.
    size = len(orjson.dumps(message.parts))
    return _Open(message, is_new=False, size=size, journal_events=conf.JOURNAL_EVENTS)
