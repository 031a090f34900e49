"""Database threads: async code reads the database in them.

The ORM's own async methods and `database_sync_to_async` share one thread per process, so that one slow query
would delay every socket; and with CONN_MAX_AGE=0 they reconnect for every call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import Error, InterfaceError, OperationalError, connection, reset_queries

from sessions_app.database import sqlite_file
from sessions_app.database.retries import Retries

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4  # SQLite and PostgreSQL clients release the interpreter while they wait; more gain nothing on few cores

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


def _call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    reset_queries()  # with DEBUG, Django keeps a thread's last 9,000 until a request begins in it
    try:
        return function(*args, **kwargs)
    except Error:
        connection.close()  # it may be broken; the next call opens a new one
        raise
    finally:
        sqlite_file.leave_snapshot()
