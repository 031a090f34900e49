"""Readiness check: the process is running and its database can be read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from django.db import DatabaseError, connection, reset_queries

from sessions_app.models import Session

logger = logging.getLogger(__name__)

DATABASE_S = 2.0  # timeout of the database check; load balancers wait for about five seconds


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
        self._reading: asyncio.Future[str] | None = None
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
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().run_in_executor(self._thread, _read)
        done, _ = await asyncio.wait({self._reading}, timeout=DATABASE_S)
        return self._reading.result() if done else f"the database has not answered for {DATABASE_S:g} s"


def _read() -> str:
    try:
        Session.objects.exists()
        return ""
    except DatabaseError as error:
        logger.warning("not ready: %s", error)  # details only in the log: the check is public
        return "the database can't be read"
    finally:
        connection.close()
        reset_queries()  # as `database.threads` does
