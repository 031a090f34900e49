"""Claims: how a process claims waiting runs and hands them back."""

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
    """Claims of one process, as the worker of its lease."""

    def __init__(self, log_writer: LogWriter, lease: Lease) -> None:
        self.waiting = asyncio.Event()  # hint that a run is waiting
        self.claim_next: Callable[[str], None] | None = None  # set by this process's agent runner, while it has one
        self._log_writer = log_writer
        self._lease = lease
        self._unsure: set[str] = set()  # sessions whose claim has an unknown outcome

    def claim_at_once(self, session: str) -> None:
        """Let a free agent of this process claim the run that a signal creates, in the signal's transaction."""
        if self.claim_next is not None:
            self.claim_next(session)

    async def claimable(self, most: int) -> list[str]:
        """Return up to `most` sessions with a run to claim.

        Includes all sessions whose claim has an unknown outcome, because the database connection broke at COMMIT.
        """
        return [*self._unsure, *await threads.run(claimable_sessions, most)]

    def claim(self, session: str, held: Container[str]) -> Coroutine[None, None, models.Run | None]:
        """Claim a session's waiting run, in the same transaction as the write queued just before.

        Claims of one session must not overlap. `held` has the runs claimed earlier. Without a lease nothing is claimed.
        """
        if not self._lease.worker:
            return _nothing()
        self._unsure.discard(session)
        return self._claimed(session, self._log_writer.change(session, claim_run, self._lease.worker, held))

    async def _claimed(self, session: str, claim: Awaitable[models.Run | None]) -> models.Run | None:
        try:
            return await claim
        except HoldfastError as problem:  # for example, the session was deleted meanwhile
            if problem.kind.retryable:
                self._unsure.add(session)
            logger.debug("no run of %s was claimed: %s", session, problem.message)
            return None

    async def hand_back(self, run: models.Run) -> bool:
        """Return a run to the queue if nothing was written for it. Return False if it is left to be ended here."""
        return await self._log_writer.change_with_retry(run.session_id, hand_back_run, run.pk, self._lease.worker)


async def _nothing() -> None:
    """The outcome of a claim without a lease."""


# In the database


def claimable_sessions(most: int) -> list[str]:
    """Return sessions with a waiting run and no running one, the longest waiting first. Needs no lock."""
    at_work = models.Run.objects.running().filter(session=OuterRef("session"))
    waiting = models.Run.objects.waiting().filter(~Exists(at_work)).order_by("created_at")
    return list(dict.fromkeys(waiting.values_list("session", flat=True)[: 4 * most]))[:most]


def claim_run(log: SessionLog, worker: str, held: Container[str] = ()) -> models.Run | None:
    """Claim the session's oldest waiting run for a worker, unless another run is running.

    A running run of the worker that isn't in `held`, the runs it knows of, is returned again: its claim was lost.
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
    """Release a run that this worker has claimed and not begun to answer. Repeatable: one without it is released."""
    held = models.Run.objects.running().filter(pk=run, worker=worker)
    if any(each.cancel_id is not None or _has_begun(each) for each in held):
        return False
    held.update(status=models.Run.Status.WAITING, worker=None, started_at=None)
    return True


def _has_begun(run: models.Run) -> bool:
    return models.Message.objects.filter(session=run.session_id, uid=run.uid).exists()
