"""Claims: how this process takes runs that wait, and gives them back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Coroutine

from sessions_app import models
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.event_log.writer import LogWriter
from sessions_app.runs import lifecycle
from sessions_app.runs.leases import Lease

logger = logging.getLogger(__name__)


class Claims:
    """The runs that one process claims, as its lease's worker."""

    def __init__(self, log_writer: LogWriter, lease: Lease) -> None:
        self.waiting = asyncio.Event()  # a hint that a run waits
        self.claim_next: Callable[[str], None] | None = None  # set by the runner of agents here, while it has one
        self._log_writer = log_writer
        self._lease = lease
        self._unsure: set[str] = set()  # sessions in which a run may have been claimed

    def claim_at_once(self, session: str) -> None:
        """Let a free agent here claim the run that a signal is about to cause, in that signal's transaction."""
        if self.claim_next is not None:
            self.claim_next(session)

    async def claimable(self, most: int) -> list[str]:
        """Return sessions to claim runs of, up to so many.

        With those where it isn't known whether one was claimed, because the connection to the database broke at COMMIT.
        """
        return [*self._unsure, *await threads.run(lifecycle.claimable, most)]

    def claim(self, session: str, held: Container[str]) -> Coroutine[None, None, models.Run | None]:
        """Take the run of a session that waits, in the transaction of what was handed over just before.

        One at a time of a session; `held`: the runs that were taken before.
        """
        self._unsure.discard(session)
        return self._claimed(session, self._log_writer.change(session, lifecycle.claim, self._lease.worker, held))

    async def _claimed(self, session: str, claim: Awaitable[models.Run | None]) -> models.Run | None:
        try:
            return await claim
        except HoldfastError as problem:  # the session may have been deleted since
            if problem.kind.retryable:
                self._unsure.add(session)
            logger.debug("no run of %s was claimed: %s", session, problem.message)
            return None

    async def hand_back(self, run: models.Run) -> bool:
        """Let another worker have a run that nothing was written for. False when something was."""
        return await self._log_writer.change(run.session_id, lifecycle.hand_back, run.pk, self._lease.worker)
