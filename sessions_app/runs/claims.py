"""Claims: how a process claims waiting runs and hands them back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Coroutine, Sequence
from typing import NamedTuple

from django.db import connection

from sessions_app import conf, models
from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.tokens import ALL
from sessions_app.database import rows, threads
from sessions_app.event_log.commands import SessionLog
from sessions_app.event_log.writer import LogWriter
from sessions_app.runs import lifecycle, run_rows
from sessions_app.runs.leases import Lease

logger = logging.getLogger(__name__)

Claim = asyncio.Task[models.Run | None]  # a claim under way, and the run that is claimed


class Claims:
    """Claims of one process, as the worker of its lease."""

    def __init__(self, log_writer: LogWriter, lease: Lease) -> None:
        self.waiting = asyncio.Event()  # hint that a run is waiting
        self.claim_next: Callable[[str], Claim | None] | None = None  # set while agents run here
        self.claim_elsewhere: Callable[[str, str], None] | None = None  # set while a remote worker is connected here
        self._log_writer = log_writer
        self._lease = lease
        self._unsure: set[str] = set()  # sessions whose claim has an unknown outcome

    def claim_at_once(self, session: str, agent: str) -> Claim | None:
        """Let a free agent claim the run that a signal creates, in the signal's transaction.

        `agent`: the session's. One of this process, whose claim is returned, or of a remote worker that is connected
        here.
        """
        if is_inside(agent):
            return None if self.claim_next is None else self.claim_next(session)
        if self.claim_elsewhere is not None:
            self.claim_elsewhere(session, agent)
        return None

    async def claimable(self, most: int) -> list[str]:
        """Return up to `most` sessions with a run to claim, as many as there are places free.

        Includes all sessions whose claim has an unknown outcome, because the database connection broke at COMMIT.
        """
        return [*self._unsure, *await threads.run(claimable_sessions, most, self._lease.worker)]

    def claim(self, session: str, held: Container[str], free: int) -> Coroutine[None, None, models.Run | None]:
        """Claim a session's waiting run, in the same transaction as the write queued just before.

        Claims of one session must not overlap. `held` has the runs claimed earlier, `free` is the number of places.
        Without a lease nothing is claimed.
        """
        if not self._lease.worker:
            return _nothing()
        self._unsure.discard(session)
        return self._claimed(session, self._log_writer.change(session, claim_run, self._lease.worker, held, free))

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


def is_inside(agent: str) -> bool:
    """Return whether an agent runs in the site's own processes."""
    return agent not in conf.settings.remote_agents


async def _nothing() -> None:
    """The outcome of a claim without a lease."""


# In the database

RUNS, SESSIONS = models.Run._meta.db_table, models.Session._meta.db_table
# An owner's k-th claim is made with n - (k - 1) places free, if nobody else claims, and with b + k - 1 agents at work
# for them; `_may_claim` is true of it if 2 k <= n - b + 1.
SELECT_CLAIMABLE = """
WITH busy(owner, agents) AS (
  SELECT s.owner, count(*) FROM {runs} r JOIN {sessions} s ON s.id = r.session_id
  WHERE r.status = 'running' AND r.worker_id = %s AND r.cause_id IS NOT NULL GROUP BY s.owner
), longest(session, owner, since) AS (
  SELECT r.session_id, s.owner, min(r.created_at) FROM {runs} r JOIN {sessions} s ON s.id = r.session_id
  WHERE r.status = 'waiting'{only} AND NOT EXISTS (
    SELECT 1 FROM {runs} at_work WHERE at_work.session_id = r.session_id AND at_work.status = 'running'
  ) GROUP BY r.session_id, s.owner
), queue(session, since, agents, place) AS (
  SELECT l.session, l.since, coalesce(b.agents, 0), row_number() OVER (PARTITION BY l.owner ORDER BY l.since)
  FROM longest l LEFT JOIN busy b ON b.owner = l.owner
)
SELECT session FROM queue WHERE 2 * place <= %s - agents + 1 AND place <= %s - agents
ORDER BY agents + place, since LIMIT %s
"""


class Only(NamedTuple):
    """The waiting runs `r` that a worker may claim, as SQL that follows a condition, with its parameters."""

    sql: str
    parameters: list[str | int]


def inside() -> Only:
    """Return the runs for the site's own processes."""
    elsewhere = conf.settings.remote_agents
    return Only(f" AND r.agent NOT IN ({_places(elsewhere)})" if elsewhere else "", list(elsewhere))


def elsewhere(agents: Sequence[str], sessions: Sequence[str]) -> Only:
    """Return the runs for a remote worker of these agents: of sessions whose ids fit one of the patterns."""
    if ALL in sessions:
        return Only(f" AND r.agent IN ({_places(agents)})", list(agents))
    # No LIKE: ids may hold `_`, one of its wildcards.
    fits = " OR ".join("substr(r.session_id, 1, %s) = %s" for _ in sessions)
    values: list[str | int] = [*agents]
    for prefix in (pattern.removesuffix(ALL) for pattern in sessions):
        values += [len(prefix), prefix]
    return Only(f" AND r.agent IN ({_places(agents)}) AND ({fits})", values)


def _places(values: Sequence[str]) -> str:
    return ",".join(["%s"] * len(values))


def claimable_sessions(most: int, worker: str, only: Only | None = None) -> list[str]:
    """Return sessions with a run that a worker with `most` places free may claim. Needs no lock.

    Owners take turns: first the longest waiting run of each owner with the fewest agents at work in this process.
    """
    allowed = inside() if only is None else only
    query = SELECT_CLAIMABLE.format(runs=RUNS, sessions=SESSIONS, only=allowed.sql)
    with connection.cursor() as cursor:
        cursor.execute(query, [worker, *allowed.parameters, most, conf.settings.runs_per_owner, most])
        return [session for (session,) in cursor.fetchall()]


def claim_run(
    log: SessionLog,
    worker: str,
    held: Container[str] = (),
    free: int = 1,
    *,
    takes: Callable[[str], bool] = is_inside,
) -> models.Run | None:
    """Claim the session's oldest waiting run for a worker, unless another run is running.

    `free`: the places that the worker has. `takes`: whether it has an agent of this name. A running run of the worker
    that isn't in `held`, the runs it knows of, is returned again: its claim was lost.
    """
    run = next(iter(lifecycle.at_work(log.session)), None)
    if run is None or not takes(run.agent):
        return None
    if run.status == models.Run.Status.RUNNING:
        is_lost = run.worker_id == worker and run.pk not in held and run.cause_id is not None
        return run if is_lost and not has_begun(run) else None
    if not _may_claim(run, worker, free):
        return None
    run.status, run.worker_id, run.started_at = models.Run.Status.RUNNING, worker, log.now
    rows.update(run, ("status", "worker_id", "started_at"))
    if run.cause:
        lifecycle.settle(log, run.cause, signals.DELIVERED)
    return run


def _may_claim(run: models.Run, worker: str, free: int) -> bool:
    """Return True if its owner has fewer agents at work in this process than RUNS_PER_OWNER, and than places are free.

    So one owner gets half of the places at most, two a third each, and so on, and the next one finds a place: the
    dynamic threshold of shared buffers (Choudhury and Hahne, 1998).
    """
    return run_rows.count_running(worker, run.session_id) < min(free, conf.settings.runs_per_owner)


def hand_back_run(log: SessionLog, run: str, worker: str) -> bool:
    """Release a run that this worker has claimed and not begun to answer. Repeatable: one without it is released."""
    held = models.Run.objects.running().filter(pk=run, worker=worker)
    if any(each.cancel_id is not None or has_begun(each) for each in held):
        return False
    held.update(status=models.Run.Status.WAITING, worker=None, started_at=None)
    return True


def has_begun(run: models.Run) -> bool:
    return models.Message.objects.filter(session=run.session_id, uid=run.uid).exists()
