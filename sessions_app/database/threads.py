"""Database threads: async code reads the database in them.

The ORM's own async methods and `database_sync_to_async` share one thread per process, so that one slow query
would delay every socket; and with CONN_MAX_AGE=0 they reconnect for every call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, ParamSpec, TypeVar

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

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="database")


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that reads or writes the database in one of the threads."""
    return await asyncio.get_running_loop().run_in_executor(_threads, lambda: _call(function, *args, **kwargs))


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
            loop.call_soon(self._send, loop)
        self._waiting.append((question, answered))
        return await answered

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), AT_ONCE):
            some = waiting[first : first + AT_ONCE]
            call = partial(_call, self._answer_all, [question for question, _ in some])
            loop.run_in_executor(_threads, call).add_done_callback(partial(_give, some))


def _give(
    asked: list[tuple[Asked, asyncio.Future[Answer]]], done: asyncio.Future[list[Answer | HoldfastError]]
) -> None:
    problem = asyncio.CancelledError() if done.cancelled() else done.exception()
    answers = [problem] * len(asked) if problem is not None else done.result()
    for (_, answered), answer in zip(asked, answers, strict=True):
        if answered.done():  # cancelled: its client has gone
            continue
        if isinstance(answer, asyncio.CancelledError):
            answered.cancel()
        elif isinstance(answer, BaseException):
            answered.set_exception(answer)
        else:
            answered.set_result(answer)


def _call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    reset_queries()  # with DEBUG, Django keeps a thread's last 9,000 until a request begins in it
    try:
        return function(*args, **kwargs)
    except Error:
        connection.close()  # it may be broken; the next call opens a new one
        raise
    finally:
        sqlite_file.leave_snapshot()
