"""The one writer of the log: group commit of everything that is published, in a thread of its own.

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
from typing import Any, TypeVar

from django.db import DatabaseError, DataError, IntegrityError, connection, reset_queries, transaction

from sessions_app.core.attachment import Frame
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import sql
from sessions_app.event_log.commands import Append, AppendResult, Chunk, DatabaseJob, SessionChange, Write
from sessions_app.event_log.open_messages import OpenMessages
from sessions_app.event_log.transaction import Transaction
from sessions_app.runs import lifecycle
from sessions_app.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

GROUP = 512  # writes in one transaction: bounds how long the next ones wait

T = TypeVar("T")


class LogWriter:
    """The writer of one process. `deliver` is called in the loop with each commit's frames."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[list[Frame]], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._waiting: list[Write] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._open_messages = OpenMessages()
        self._thread = threading.Thread(target=self._work, name="log_writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many writes wait for the next transaction."""
        return len(self._waiting)

    def submit(self, item: Write) -> None:
        """Queue a write; its `on_result` is called in the loop with its outcome."""
        with self._changed:
            if not self._stopping:
                self._waiting.append(item)
                self._changed.notify()
                return
        self._loop.call_soon(item.on_result, HoldfastError("going_away"))

    async def append(
        self, session: str, uid: str, chunks: list[Chunk], *, run: str = "", worker: str = ""
    ) -> AppendResult:
        """Submit an append and wait until it is committed. Raises HoldfastError."""
        stored: AppendResult = await self._outcome(
            lambda on_result: Append(session, uid, chunks, on_result, run=run, worker=worker)
        )
        if stored.refusal:
            raise stored.refusal
        return stored

    def change(self, session: str, work: Callable[..., T], *args: Any) -> Coroutine[Any, Any, T]:
        """Have `work(log, *args)` change a session's log in the next transaction; await it until it is committed.

        It is queued at once, before it is awaited. Raises HoldfastError.
        """
        return self._outcome(lambda on_result: SessionChange(session, lambda log: work(log, *args), on_result))

    async def do(self, work: Callable[..., T], *args: Any, order: str = "") -> T:
        """Have a function write in the next transaction, and wait until it is committed. Raises HoldfastError."""
        result: T = await self._outcome(lambda on_result: DatabaseJob(partial(work, *args), on_result, order))
        return result

    def _outcome(self, make: Callable[[Callable[[Any], None]], Write]) -> Coroutine[Any, Any, Any]:
        outcome: asyncio.Future[Any] = self._loop.create_future()

        def on_result(result: Any) -> None:
            if not outcome.done():  # its waiter may have been cancelled; what it asked for is done all the same
                outcome.set_result(result)

        self.submit(make(on_result))
        return self._result(outcome)

    async def _result(self, outcome: asyncio.Future[Any]) -> Any:
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
            reset_queries()  # with DEBUG, Django keeps a thread's last 9,000, with all that was said
            began, at = time.perf_counter(), time.time_ns()
            outcomes, committed = self._commit_or_split(group)
            ended = time.perf_counter()
            metrics.commit_seconds.observe(ended - began)
            metrics.commit_writes.observe(len(group))
            tracing.commit(at, time.time_ns(), writes=len(group), sessions=len(committed))
            settled = list(zip(group, outcomes, strict=True))
            try:
                self._loop.call_soon_threadsafe(self._publish, committed, settled, ended)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                logger.warning("stopped with %d outcomes untold", len(settled))
        connection.close()

    def _next_group(self) -> list[Write]:
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            return group

    def _publish(self, committed: list[Frame], settled: list[tuple[Write, Any]], at: float) -> None:
        try:
            if committed:
                self._deliver(committed)
                metrics.stored(committed)
                self._loop.call_soon(metrics.lag_since, at)  # after the pump, which the frames have woken
        except Exception:
            logger.exception("%d frames were not delivered: the tail check finds them", len(committed))
        for item, outcome in settled:
            item.on_result(outcome)

    def _commit_or_split(self, group: list[Write]) -> tuple[list[Any], list[Frame]]:
        """Commit a group; when it fails for a reason of our own, one by one, so that one item fails alone."""
        problem: Exception
        try:
            return self._commit(group)
        except (DataError, IntegrityError) as error:  # the database is well: something in the group isn't
            problem = error
        except DatabaseError as error:
            logger.error("%d writes were not stored: %s", len(group), error)
            connection.close()  # whatever state it is in; the next transaction opens a new one
            metrics.commits_failed.inc()
            self._forget(group)
            return [HoldfastError("storage_unavailable")] * len(group), []  # its words are for the log, not for people
        except Exception as error:
            problem = error
        metrics.commits_failed.inc()
        self._forget(group)
        if len(group) == 1:
            logger.error("a write failed", exc_info=problem)
            return [HoldfastError("internal", type(problem).__name__)], []
        alone = [self._commit_or_split([item]) for item in group]
        return [outcome for outcomes, _ in alone for outcome in outcomes], [
            frame for _, committed in alone for frame in committed
        ]

    def _forget(self, group: list[Write]) -> None:
        # The folds in memory are ahead of what was stored: what follows from an append may have folded anything of its
        # session, as the turns that a run's end makes of unread steers.
        sessions = {item.session for item in group if not isinstance(item, DatabaseJob)}
        self._open_messages.forget([key for key in self._open_messages.open if key[0] in sessions])

    def _commit(self, group: list[Write]) -> tuple[list[Any], list[Frame]]:
        appends = [item for item in group if isinstance(item, Append)]
        with ExitStack() as last, transaction.atomic():
            work = Transaction(
                self._open_messages, appends, {item.session for item in group if isinstance(item, SessionChange)}
            )
            # A dictionary by identity: the outcomes are in the group's order, the appends are made first.
            outcomes = {id(append): work.stage(append) for append in appends}
            for session, also in work.take_also():
                also(work.log(session))
            lifecycle.follow(work)
            for item in group:
                if isinstance(item, SessionChange):
                    outcomes[id(item)] = self._change(item, work)
            for job in sorted((item for item in group if isinstance(item, DatabaseJob)), key=attrgetter("order")):
                work.write()
                outcomes[id(job)] = job.work()
            last.enter_context(sql.pipelined())  # nothing is asked from here to the end of COMMIT
            committed = work.finish()
        work.settle()
        return [outcomes[id(item)] for item in group], committed

    def _change(self, change: SessionChange, work: Transaction) -> Any:
        try:
            log = work.log(change.session)
            with log.undone_by_refusal():
                result = change.work(log)
                lifecycle.follow(work)
        except HoldfastError as problem:
            return problem
        return result


def change_here(session: str, work: Callable[..., T], *args: Any) -> T:
    """Make a change of a session's log in a transaction of the caller's own: for the admin, which has no process.

    Readers learn of it when their feeds compare tails, agents at work by the next look into their inboxes.
    Raises HoldfastError.
    """
    with transaction.atomic():
        staged = Transaction(OpenMessages(), [], {session})
        result = work(staged.log(session), *args)
        lifecycle.follow(staged)
        staged.finish()
    return result
