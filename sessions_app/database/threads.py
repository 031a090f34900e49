"""Database threads: async code reads the database in them.

The ORM's own async methods and `database_sync_to_async` share one thread per process, so that one slow query
would delay every socket; and with CONN_MAX_AGE=0 they reconnect for every call.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Generic, NamedTuple, ParamSpec, Protocol, TypeVar

from django.db import Error, InterfaceError, OperationalError, connection, reset_queries

from sessions_app.core.errors import HoldfastError
from sessions_app.database import sqlite_file
from sessions_app.database.retries import Retries

P = ParamSpec("P")
T = TypeVar("T")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

THREADS = 4  # SQLite and PostgreSQL clients release the interpreter while they wait; more gain nothing on few cores
AT_ONCE = 100  # questions of a batch that one thread answers
OF_A_LANE = 8  # calls of a lane that a thread makes before those that have waited for longer

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="database")


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that reads or writes the database in one of the threads."""
    result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    _jobs.put(_Job(partial(_call, function, *args, **kwargs), result))
    return await result


class _Job(NamedTuple):
    """A call for a thread, and the future that is given its result in the event loop."""

    call: Callable[[], object]
    result: asyncio.Future[Any]

    def run(self) -> None:
        if self.result.cancelled():  # nobody waits for it any more
            return
        outcome: object = None
        problem: BaseException | None = None
        try:
            outcome = self.call()
        except BaseException as error:
            problem = error
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self.result.get_loop().call_soon_threadsafe(_give, self.result, outcome, problem)


def _give(result: asyncio.Future[Any], outcome: object, problem: BaseException | None) -> None:
    if result.done():  # cancelled meanwhile
        return
    if problem is None:
        result.set_result(outcome)
    else:
        result.set_exception(problem)


class _Work(Protocol):
    """What a thread does next."""

    def run(self) -> None: ...


class _Queue:
    """Work in the order in which it came, done by at most so many threads. `wake` sets one more to it."""

    def __init__(self, most: int, wake: Callable[[], object]) -> None:
        self._most = most
        self._wake = wake
        self._waiting: deque[_Work] = deque()
        self._at_work = 0
        self._lock = threading.Lock()

    def put(self, work: _Work) -> None:
        with self._lock:
            self._waiting.append(work)
            if self._at_work == self._most:
                return
            self._at_work += 1
        self._wake()

    def next(self) -> _Work | None:
        """Return what a thread does next; None if nothing is left, and the thread is free."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._at_work -= 1
            return None


class _Jobs:
    """Jobs in the order in which they came. A thread takes the next one as long as there is one.

    `run_in_executor` makes two futures and a lock for each job, and wakes a thread even if one is about to be free.
    """

    def __init__(self) -> None:
        self._queue = _Queue(THREADS, lambda: _threads.submit(self._work))
        self.put = self._queue.put

    def _work(self) -> None:
        while (job := self._queue.next()) is not None:
            job.run()
            del job  # its result may be large, and the thread may wait for long


_jobs = _Jobs()


class _Lane:
    """Calls of one key, in the order in which they came. `users`: those who wait for one."""

    def __init__(self, most: int) -> None:
        self.users = 0
        self._queue = _Queue(most, lambda: _jobs.put(self))
        self.put = self._queue.put

    def run(self) -> None:
        for _ in range(OF_A_LANE):
            job = self._queue.next()
            if job is None:
                return
            job.run()
            del job  # see above
        _jobs.put(self)  # behind what others have asked for


class Lanes:
    """Calls by key: `run` for which those of one key take up at most so many threads.

    A thread makes one call after the other. To wait for a place before each would wake a thread, and the event loop,
    for each: a hundred readers who return at once are most often one household, office or proxy.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lanes: dict[str, _Lane] = {}

    async def run(self, key: str, function: Callable[[], T]) -> T:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self._most)
        lane.users += 1
        try:
            result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            lane.put(_Job(partial(_call, function), result))
            return await result
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[key]


async def run_with_retry(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `run`, for a function that only reads: it is retried while the database is unavailable."""
    loop = asyncio.get_running_loop()
    retries = Retries(loop.time())
    while True:
        try:
            return await run(function, *args, **kwargs)
        except (OperationalError, InterfaceError):  # the latter: the connection was found closed
            pause_s = retries.next_pause_s(loop.time())
            if pause_s is None:
                raise
        await asyncio.sleep(pause_s)


class Batch(Generic[Asked, Answer]):
    """Questions to the database that are asked in one turn of the event loop, answered together in one thread.

    `answer_all` returns one answer for each question, in order: a HoldfastError for one that is refused. What it raises
    is raised for all of them.
    """

    def __init__(self, answer_all: Callable[[list[Asked]], list[Answer | HoldfastError]]) -> None:
        self._answer_all = answer_all
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []

    async def answer(self, question: Asked) -> Answer:
        """Return the answer to one question. Raises HoldfastError and DatabaseError."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()
        if not self._waiting or self._waiting[0][1].get_loop() is not loop:  # another loop, which was closed
            self._waiting = []
            loop.call_soon(self._send)
        self._waiting.append((question, answered))
        return await answered

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), AT_ONCE):
            some = waiting[first : first + AT_ONCE]
            result: asyncio.Future[list[Answer | HoldfastError]] = some[0][1].get_loop().create_future()
            result.add_done_callback(partial(_give_each, [answered for _, answered in some]))
            _jobs.put(_Job(partial(_call, self._answer_all, [question for question, _ in some]), result))


def _give_each(waiting: list[asyncio.Future[Any]], result: asyncio.Future[list[Any]]) -> None:
    problem = result.exception()
    answers = [problem] * len(waiting) if problem is not None else result.result()
    for answered, answer in zip(waiting, answers, strict=True):
        is_refusal = isinstance(answer, BaseException)
        _give(answered, None if is_refusal else answer, answer if is_refusal else None)


def _call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    reset_queries()  # with DEBUG, Django keeps a thread's last 9,000 until a request begins in it
    try:
        return function(*args, **kwargs)
    except Error:
        connection.close()  # it may be broken; the next call opens a new one
        raise
    finally:
        sqlite_file.leave_snapshot()
