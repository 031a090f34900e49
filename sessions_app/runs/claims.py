"""Claims: how this process takes runs that wait, and gives them back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Coroutine

from django.db.models import Exists, OuterRef

from sessions_app import models
from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.event_log.commands import SessionLog
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
        return [*self._unsure, *await threads.run(claimable_sessions, most)]

    def claim(self, session: str, held: Container[str]) -> Coroutine[None, None, models.Run | None]:
        """Take the run of a session that waits, in the transaction of what was handed over just before.

        One at a time of a session; `held`: the runs that were taken before.
        """
        self._unsure.discard(session)
        return self._claimed(session, self._log_writer.change(session, claim_run, self._lease.worker, held))

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
        return await self._log_writer.change(run.session_id, hand_back_run, run.pk, self._lease.worker)


# In the database


def claimable_sessions(most: int) -> list[str]:
    """Return sessions in which a run waits and none is at work, the longest waiting first. Needs no lock."""
    at_work = models.Run.objects.running().filter(session=OuterRef("session"))
    waiting = models.Run.objects.waiting().filter(~Exists(at_work)).order_by("created_at")
    return list(dict.fromkeys(waiting.values_list("session", flat=True)[: 4 * most]))[:most]


def claim_run(log: SessionLog, worker: str, held: Container[str] = ()) -> models.Run | None:
    """Give a worker the session's oldest run that waits, unless another one is at work there.

    `held`: the runs that the worker knows of. One that is its own, and that it doesn't know of, it is given again.
    """
    run = next(iter(lifecycle.at_work(log.session)), None)
    if run is None:
        return None
    if run.status == models.Run.Status.RUNNING:
        is_lost = run.worker_id == worker and run.pk not in held and run.cause_id is not None
        return run if is_lost and not _has_begun(run) else None
    run.status, run.worker_id, run.started_at = models.Run.Status.RUNNING, worker, log.now
    run.save(update_fields=["status", "worker", "started_at"])
    if run.cause:
        lifecycle.settle(log, run.cause, signals.DELIVERED)
    return run


def hand_back_run(log: SessionLog, run: str, worker: str) -> bool:
    """Release a run that this worker has claimed and not begun to answer."""
    held = models.Run.objects.running().filter(pk=run, worker=worker, cancel=None)
    return not any(map(_has_begun, held)) and bool(
        held.update(status=models.Run.Status.WAITING, worker=None, started_at=None)
    )


def _has_begun(run: models.Run) -> bool:
    return models.Message.objects.filter(session=run.session_id, uid=run.uid).exists()
