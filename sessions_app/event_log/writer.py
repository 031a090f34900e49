"""The log writer: group commit of everything that a process publishes, in a thread of its own.

All that arrives while one transaction is under way goes into the next one, whatever sessions it is for. What is
committed is then handed to the event loop, in commit order: first the frames for readers, then each publisher's
outcome. Nothing is shown or acknowledged before.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from operator import attrgetter
from typing import Concatenate, ParamSpec, TypeVar

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection, reset_queries, transaction

from sessions_app.core.attachment import Frame
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk
from sessions_app.database import sqlite_file
from sessions_app.database.connection_failures import describe
from sessions_app.database.retries import Retries
from sessions_app.event_log import sql
from sessions_app.event_log.commands import (
    Append,
    AppendResult,
    DatabaseJob,
    Follow,
    Outcome,
    SessionChange,
    SessionLog,
    Write,
)
from sessions_app.event_log.open_messages import OpenMessages
from sessions_app.event_log.transaction import Transaction
from sessions_app.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

# Too long, out of range, NUL or half a surrogate pair: by PostgreSQL, and by SQLite's client.
UNSTORABLE = (DataError, OverflowError, ValueError)
# In one transaction, which bounds how long the next ones wait: writes; among them ends of messages, of half a
# millisecond each, and session changes, of some ten statements and 1 to 5 ms.
GROUP = 512
ENDS = 64
CHANGES = 16

P = ParamSpec("P")
T = TypeVar("T")


class LogWriter:
    """The log writer of one process.

    `deliver` is called in the loop with each commit's frames, `follow` in the transaction in which runs began or ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[list[Frame]], None], follow: Follow) -> None:
        self._loop = loop
        self._deliver = deliver
        self._follow = follow
        self._waiting: list[Write] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._is_idle = False  # the thread waits for a write
        self._open_messages = OpenMessages()
        self._thread = threading.Thread(target=self._work, name="log_writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of writes that wait for the next transaction."""
        return len(self._waiting)

    def submit(self, item: Write) -> None:
        """Queue a write; its `on_result` is called with its outcome, in the loop or `at_once`."""
        with self._changed:
            if not self._stopping:
                self._waiting.append(item)
                if self._is_idle:
                    self._changed.notify()
                return
        if _is_told_at_once(item):
            item.on_result(HoldfastError("going_away"))
        else:
            self._loop.call_soon(item.on_result, HoldfastError("going_away"))

    async def append(
        self, session: str, uid: str, chunks: list[Chunk], *, run: str = "", worker: str = ""
    ) -> AppendResult:
        """Submit an append and wait until it is committed. Raises HoldfastError."""
        outcome: asyncio.Future[AppendResult | HoldfastError] = self._loop.create_future()
        self.submit(Append(session, uid, chunks, partial(_resolve, outcome), run=run, worker=worker))
        stored = await _result(outcome)
        if stored.refusal:
            raise stored.refusal
        return stored

    def change(
        self, session: str, work: Callable[Concatenate[SessionLog, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[None, None, T]:
        """Have `work(log, …)` change a session's log in the next transaction; await the result to wait for its commit.

        It is queued at once, before it is awaited. Raises HoldfastError.
        """
        outcome: asyncio.Future[T | HoldfastError] = self._loop.create_future()
        self.submit(SessionChange(session, lambda log: work(log, *args, **kwargs), partial(_resolve, outcome)))
        return _result(outcome)

    async def change_with_retry(
        self, session: str, work: Callable[Concatenate[SessionLog, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `change`, for what an agent at work needs: it is tried again while the database is unavailable.

        `work` must be repeatable: a connection that breaks at COMMIT leaves open whether it was done.
        """
        retries = Retries(self._loop.time())
        while True:
            try:
                return await self.change(session, work, *args, **kwargs)
            except HoldfastError as problem:
                is_passing = problem.kind.retryable and not self._stopping
                pause_s = retries.next_pause_s(self._loop.time()) if is_passing else None
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    async def do(self, work: Callable[..., T], *args: object, order: str = "") -> T:
        """Call a function that writes in the next transaction, and wait for its commit. Raises HoldfastError."""
        outcome: asyncio.Future[T | HoldfastError] = self._loop.create_future()
        self.submit(DatabaseJob(partial(work, *args), partial(_resolve, outcome), order))
        return await _result(outcome)

    async def stop(self) -> None:
        """Commit what is queued, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        await self._loop.run_in_executor(None, self._thread.join)

    # The thread

    def _work(self) -> None:
        while group := self._next_group():
            reset_queries()  # with DEBUG, Django keeps a thread's last 9,000, with all that was said
            began, at = time.perf_counter(), time.time_ns()
            outcomes, committed = self._commit_or_split(group)
            ended = time.perf_counter()
            metrics.commit_seconds.observe(ended - began)
            metrics.commit_writes.observe(len(group))
            tracing.commit(at, time.time_ns(), writes=len(group), sessions=len(committed))
            untold = _tell_at_once(group, outcomes)
            try:
                self._loop.call_soon_threadsafe(self._publish, committed, untold, ended)
            except RuntimeError:  # the loop is closed: its publishers are gone
                if untold:
                    logger.warning("%d outcomes were not reported: the event loop is closed", len(untold))
        connection.close()

    def _next_group(self) -> list[Write]:
        with self._changed:
            while not self._waiting and not self._stopping:
                self._is_idle = True
                self._changed.wait()
            self._is_idle = False
            group, self._waiting = _divide(self._waiting)
            return group

    def _publish(self, committed: list[Frame], untold: list[tuple[Write, Outcome]], at: float) -> None:
        try:
            if committed:
                self._deliver(committed)
                metrics.stored(committed)
                self._loop.call_soon(metrics.lag_since, at)  # after the flusher, which the frames have woken
        except Exception:
            logger.exception("%d frames were not delivered: the tail check finds them", len(committed))
        for item, outcome in untold:
            item.on_result(outcome)

    def _commit_or_split(self, group: list[Write]) -> tuple[list[Outcome], list[Frame]]:
        """Commit a group; if a write in it makes it fail, commit them one by one, so that it fails alone."""
        problem: Exception
        try:
            return self._commit(group)
        except (DataError, IntegrityError) as error:  # the database is well: something in the group isn't
            problem = error
        except (DatabaseError, InterfaceError) as error:  # the latter: the connection was found closed
            logger.error("%d writes were not stored: %s", len(group), describe(error))
            connection.close()  # it may be broken; the next transaction opens a new one
            metrics.commits_failed.inc()
            self._forget(group)
            return [HoldfastError("storage_unavailable")] * len(group), []  # the error's text is for the log alone
        except Exception as error:
            problem = error
            connection.close()  # after an error around COMMIT, Django could take it to be in a transaction for ever
        metrics.commits_failed.inc()
        self._forget(group)
        if len(group) == 1:
            logger.error("a write failed", exc_info=problem)
            # What a database can't hold now it can't hold later: such an error is never retried.
            code = "unstorable" if isinstance(problem, UNSTORABLE) else "internal"
            return [HoldfastError(code, type(problem).__name__)], []
        return self._commit_each(group)

    def _commit_each(self, group: list[Write]) -> tuple[list[Outcome], list[Frame]]:
        outcomes: list[Outcome] = []
        committed: list[Frame] = []
        for item in group:
            outcome, frames = self._commit_or_split([item])
            outcomes += outcome
            committed += frames
        return outcomes, committed

    def _forget(self, group: list[Write]) -> None:
        # The folds in memory are ahead of what was stored: what follows from an append may have folded anything of its
        # session, as the turns that a run's end makes of unread steers.
        self._open_messages.forget_sessions({item.session for item in group if not isinstance(item, DatabaseJob)})

    def _commit(self, group: list[Write]) -> tuple[list[Outcome], list[Frame]]:
        appends = [item for item in group if isinstance(item, Append)]
        changes = [item for item in group if isinstance(item, SessionChange)]
        jobs = [item for item in group if isinstance(item, DatabaseJob)]
        with ExitStack() as last, transaction.atomic(), sqlite_file.checked_at_both_ends():
            work = Transaction(self._open_messages, appends, {change.session for change in changes})
            # A dictionary by identity: the outcomes are in the group's order, the appends are made first.
            outcomes: dict[int, Outcome] = {id(append): work.stage(append) for append in appends}
            work.follow_up(self._follow)
            for change in changes:
                outcomes[id(change)] = self._change(change, work)
            for job in sorted(jobs, key=attrgetter("order")):
                work.write()
                outcomes[id(job)] = job.work()
            last.enter_context(sql.pipelined())  # nothing is asked from here to the end of COMMIT
            committed = work.finish()
        sqlite_file.require_in_place()  # or a restart would find none of it
        work.settle()
        return [outcomes[id(item)] for item in group], committed

    def _change(self, change: SessionChange[Outcome], work: Transaction) -> Outcome:
        try:
            log = work.log(change.session)
            with log.undone_by_refusal():
                result = change.work(log)
                work.follow_up(self._follow)
        except HoldfastError as problem:
            return problem
        return result


def _divide(waiting: list[Write]) -> tuple[list[Write], list[Write]]:
    """Return the writes that fit into one transaction, and those that are left for later ones.

    Hundreds of people who write at once, or of answers that end, keep neither other sessions' text waiting nor a
    lease's beats. What is of one session keeps its order, and a job follows what was written before it.
    """
    if len(waiting) <= CHANGES:
        return waiting, []
    group: list[Write] = []
    later: list[Write] = []
    held: set[str] = set()  # sessions of which something is left
    changes = ends = 0
    for item in waiting:
        if isinstance(item, DatabaseJob):
            fits = item.at_once or not later
        elif len(group) >= GROUP or item.session in held:
            fits = False
        elif isinstance(item, SessionChange):
            fits = changes < CHANGES
            changes += fits
        elif item.ends:
            fits = ends < ENDS
            ends += fits
        else:
            fits = True
        if fits:
            group.append(item)
        else:
            later.append(item)
            if not isinstance(item, DatabaseJob):
                held.add(item.session)
    return group, later


def _is_told_at_once(item: Write) -> bool:
    return isinstance(item, DatabaseJob) and item.at_once


def _tell_at_once(group: list[Write], outcomes: list[Outcome]) -> list[tuple[Write, Outcome]]:
    """Tell the outcomes that are to be told in this thread; return the others."""
    untold = []
    for item, outcome in zip(group, outcomes, strict=True):
        if _is_told_at_once(item):
            item.on_result(outcome)
        else:
            untold.append((item, outcome))
    return untold


def _resolve(outcome: asyncio.Future[T], result: T) -> None:
    if not outcome.done():  # its waiter may have been cancelled; what it asked for is done all the same
        outcome.set_result(result)


async def _result(outcome: asyncio.Future[T | HoldfastError]) -> T:
    result = await outcome
    if isinstance(result, HoldfastError):
        raise result
    return result
