"""Whether this process may be given work: it runs, and its database can be read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from django.db import DatabaseError, connection, reset_queries

from sessions_app.models import Session

logger = logging.getLogger(__name__)

DATABASE_S = 2.0  # in which the database has to answer: load balancers wait for some five


class Readiness(NamedTuple):
    """`problem`: why the process can't be given work, empty if it can. `remark`: what works less well."""

    problem: str
    remark: str = ""


class Health:
    """One process's. However often it is asked, one look at a time is under way."""

    def __init__(self, *, not_running: Callable[[], str], layer_problem: Callable[[], str]) -> None:
        """`not_running`: why the process doesn't run, empty if it does. `layer_problem`: likewise of channel layers."""
        self._not_running = not_running
        self._layer_problem = layer_problem
        self._look: asyncio.Task[Readiness] | None = None
        self._reading: asyncio.Future[str] | None = None
        # Its own: where all other threads are busy, the database may be well.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="health")

    async def look(self) -> Readiness:
        """Look now, or wait for the look under way. Takes DATABASE_S at most."""
        if problem := self._not_running():
            return Readiness(problem)
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._ask())
        return await asyncio.shield(self._look)

    async def _ask(self) -> Readiness:
        problem, layer = await self._database_problem(), self._layer_problem()
        # Hints come too late then, and the store is asked for what they would have told: that serves everybody.
        remark = f"the channel layer does not answer, so news of other processes come late: {layer}" if layer else ""
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
        logger.warning("not ready: %s", error)  # here alone: strangers may ask
        return "the database can't be read"
    finally:
        connection.close()
        reset_queries()  # as `executor` does
