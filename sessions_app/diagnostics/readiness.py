"""Readiness check: the process is running, and its database can be read and written."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from django.db import DatabaseError, connection, reset_queries, transaction

from sessions_app import conf
from sessions_app.database import sqlite_file
from sessions_app.database.connection_failures import describe
from sessions_app.models import Session, WriteProbe

logger = logging.getLogger(__name__)

DATABASE_S = 2.0  # timeout of the database check; load balancers wait for about five seconds
WRITE_EVERY_S = 3.0  # between two writes, however often the process is probed: each waits for the disk

# Why a write fails, by SQLite's primary error codes and PostgreSQL's states. The error itself is only in the log.
REASONS: dict[object, str] = {
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_IOERR: "its disk is full or fails",
    sqlite3.SQLITE_CANTOPEN: "its folder can't be written",
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
    "25006": "it is read-only, as a standby is",
    "53100": "its disk is full",
}


class Readiness(NamedTuple):
    """Result of a check. `problem`: why the process isn't ready, or empty. `remark`: a degradation, or empty."""

    problem: str
    remark: str = ""


class Health:
    """Health of one process. Concurrent callers share one check."""

    def __init__(self, *, not_running: Callable[[], str], layer_problem: Callable[[], str]) -> None:
        """Both functions return a reason, or an empty string if there is no problem."""
        self._not_running = not_running
        self._layer_problem = layer_problem
        self._check: asyncio.Task[Readiness] | None = None
        self._asking: asyncio.Future[str] | None = None
        self._writing = _Writing()
        # A separate thread: the others may all be busy while the database is fine.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="health")

    async def check(self) -> Readiness:
        """Check now, or wait for the check in progress. Takes at most DATABASE_S."""
        if problem := self._not_running():
            return Readiness(problem)
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._run_check())
        return await asyncio.shield(self._check)

    async def _run_check(self) -> Readiness:
        problem, layer = await self._database_problem(), self._layer_problem()
        # Not a problem: without hints the database is polled, so all clients are still served, but later.
        remark = (
            f"the channel layer does not answer, so updates from other processes are late: {layer}" if layer else ""
        )
        return Readiness(problem, remark)

    async def _database_problem(self) -> str:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().run_in_executor(self._thread, self._ask_database)
        done, _ = await asyncio.wait({self._asking}, timeout=DATABASE_S)
        return self._asking.result() if done else f"the database has not answered for {DATABASE_S:g} s"

    def _ask_database(self) -> str:
        try:
            return sqlite_file.problem() or _read() or self._writing.problem()
        finally:
            connection.close()
            reset_queries()  # as `database.threads` does


class _Writing:
    """The last attempt to write; a new one is made after WRITE_EVERY_S. Used in the health thread alone."""

    def __init__(self) -> None:
        self._tried_at = -WRITE_EVERY_S
        self._problem = ""

    def problem(self) -> str:
        """Return why the database can't be written, or an empty string."""
        now = time.monotonic()
        if now - self._tried_at >= WRITE_EVERY_S:
            self._tried_at, self._problem = now, _write()
        return self._problem


def _read() -> str:
    try:
        Session.objects.exists()
        return ""
    except DatabaseError as error:
        logger.warning("not ready: %s", describe(error))  # details only in the log: the check is public
        return "the database can't be read"


def _write() -> str:
    """Write as much as the largest chunk, so that there is room for one, and commit; nothing of it is kept."""
    try:
        with transaction.atomic():
            WriteProbe.objects.create(padding="x" * conf.settings.chunk_bytes).delete()
        return ""
    except DatabaseError as error:
        logger.warning("not ready: %s", describe(error))
        return f"the database can be read, but not written: {_reason(error)}"


def _reason(error: DatabaseError) -> str:
    if sqlite_file.is_snapshot():
        return "its disk is full or read-only"
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    state = getattr(error.__cause__, "sqlstate", None)
    return REASONS.get(state if code is None else code & 0xFF, "see the process's log")
