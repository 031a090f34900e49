"""Run inboxes: the signals sent to this process's active agents, each delivered once and in order.

A signal stored by this process, or announced by another one through the channel layer, starts a poll at once. Any other
is found by the next periodic poll.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import orjson
from django.db import connection

from sessions_app import conf, models
from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import AgentSignal
from sessions_app.database import threads
from sessions_app.event_log.commands import SessionLog
from sessions_app.event_log.writer import LogWriter
from sessions_app.runs import lifecycle
from sessions_app.runs.agent_inbox import AgentInbox

logger = logging.getLogger(__name__)

CHECK_S = 1.0  # between two checks for runs that were ended elsewhere

APPROVALS, RUNS, SIGNALS = (model._meta.db_table for model in (models.Approval, models.Run, models.Signal))
# Plain SQL for the queries of every poll: the ORM takes longer to build them than the database to answer. They cover
# all runs of the workers, since naming hundreds of runs would cost more than finding the few with signals. The subquery
# is one index look-up per run, which no planner can turn into a join; with stale statistics about open signals,
# PostgreSQL would otherwise compare all with all. The signal that caused a run is its prompt and is excluded; the
# one that cancels it is in `cancel_id`.
SELECT_OPEN = (
    f"SELECT id, cancel_id, newest FROM (SELECT id, cancel_id, (SELECT max(s.id) FROM {SIGNALS} s WHERE s.run_id ="
    f" {RUNS}.id AND s.status IN ('accepted', 'delivered') AND s.id <> coalesce({RUNS}.cause_id, 0)) AS newest"
    f" FROM {RUNS} WHERE worker_id IN (%s) AND status = 'running') AS found"
    " WHERE cancel_id IS NOT NULL OR newest IS NOT NULL"
)
SELECT_EXPIRED = (
    f"SELECT a.run_id, a.uid FROM {RUNS} r JOIN {APPROVALS} a ON a.run_id = r.id AND a.status = 'expired'"
    " WHERE r.worker_id IN (%s) AND r.status = 'running'"
)
# One row, by database vendor; `event_log.sql` says why.
SELECT_RUNNING = {
    "sqlite": f"SELECT group_concat(id, ',') FROM {RUNS} WHERE worker_id IN (%s) AND status = 'running'",
    "postgresql": f"SELECT string_agg(id, ',') FROM {RUNS} WHERE worker_id IN (%s) AND status = 'running'",
}


class RunSignals(NamedTuple):
    """Keys of a run's open signals: the one that stops it and the newest one for its agent, either of them None.

    A run's signals have ascending keys, since each is stored under the session's lock. So an inbox with the newest key
    has them all.
    """

    run: str
    cancel: int | None
    newest: int | None


class OpenInbox(Protocol):
    """An inbox as the process fills it."""

    run: models.Run

    @property
    def awaits(self) -> bool:
        """True while the agent waits for a decision or a result."""

    @property
    def stopping(self) -> bool:
        """True once the agent was told to stop."""

    def has(self, key: int) -> bool:
        """Return True if the signal with this key was already added."""

    def put(self, signal: AgentSignal) -> bool:
        """Add a signal. Return False if it was already added."""

    def expire(self, approval: str) -> None:
        """Resolve an approval as expired."""

    def halt(self, *, cancelled: bool) -> None:
        """Tell the agent to stop: its run was cancelled, or it has been ended elsewhere."""


class RunInbox(AgentInbox):
    """Inbox of one run in this process."""

    def __init__(self, run: models.Run) -> None:
        super().__init__()
        self.run = run


class RunInboxes:
    """All inboxes of a process. `run` is a background task of the process."""

    def __init__(self, log_writer: LogWriter) -> None:
        self._log_writer = log_writer
        self._inboxes: dict[str, OpenInbox] = {}
        self._wake = asyncio.Event()
        self._check_at = 0.0  # time of the next check, in the loop's time
        self._missing: set[str] = set()  # runs missing at the last check

    def open(self, run: models.Run) -> RunInbox:
        """Open the inbox of a run."""
        inbox = RunInbox(run)
        self.add(inbox)
        return inbox

    def add(self, inbox: OpenInbox) -> None:
        """Fill this inbox of a run from now on, instead of an earlier one."""
        self._inboxes[inbox.run.pk] = inbox
        self.poll_soon()  # it may have received signals while it waited

    def close(self, inbox: OpenInbox) -> None:
        """Stop filling an inbox, unless another one has taken its place."""
        if self._inboxes.get(inbox.run.pk) is inbox:
            del self._inboxes[inbox.run.pk]

    def poll_soon(self) -> None:
        """Start a poll: a signal was stored."""
        self._wake.set()

    async def run(self) -> None:
        """Poll until cancelled: at once after `poll_soon`, and every INBOX_POLL_MS while there are runs."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):  # `wait_for` may swallow a cancellation in Python 3.11
                async with asyncio.timeout(conf.settings.inbox_poll_ms / 1000 if self._inboxes else None):
                    await self._wake.wait()
            self._wake.clear()
            if self._inboxes:
                await self.poll()
            if self._inboxes and loop.time() >= self._check_at:
                self._check_at = loop.time() + CHECK_S
                await self.check()

    async def poll(self) -> None:
        """Read new signals into the inboxes."""
        sent = []
        for run, cancel, newest in await threads.run_with_retry(_find, self._workers()):
            inbox = self._inboxes.get(run)
            if inbox is None:
                continue
            if cancel is not None and not inbox.stopping:
                self._deliver(inbox, cancel)
                inbox.halt(cancelled=True)
            if newest is not None and not inbox.has(newest):
                sent.append(run)
        for run, signal in await threads.run_with_retry(_read, sent) if sent else ():
            inbox = self._inboxes.get(run)
            if inbox is not None and inbox.put(signal):
                self._deliver(inbox, signal.key)
        if any(inbox.awaits for inbox in self._inboxes.values()):
            for run, approval in await threads.run_with_retry(_expired, self._workers()):
                if run in self._inboxes:
                    self._inboxes[run].expire(approval)

    async def check(self) -> None:
        """Stop runs that were ended elsewhere or deleted with their session.

        Anything such a run still writes is refused, but its agent may be waiting for a signal.
        """
        held = {run for run, inbox in self._inboxes.items() if not inbox.run._state.adding}  # stored ones
        self._stop_missing(held - await threads.run_with_retry(_running, self._workers()))

    def _workers(self) -> list[str]:
        """Return this process's worker, and its earlier ones that were declared dead while their runs last."""
        return list({inbox.run.worker_id or "" for inbox in self._inboxes.values()})

    def _stop_missing(self, missing: set[str]) -> None:
        # Only runs that were also missing at the last check: a run being stored now isn't visible yet.
        for run in missing & self._missing:
            if run in self._inboxes:
                self._inboxes[run].halt(cancelled=False)
        self._missing = missing

    def _deliver(self, inbox: OpenInbox, key: int) -> None:
        # Not awaited: if it is lost, the signal's final receipt makes up for it.
        receipt = self._log_writer.change_with_retry(inbox.run.session_id, _delivered, key)
        task = asyncio.get_running_loop().create_task(receipt)
        task.add_done_callback(_log_failure)


def _delivered(log: SessionLog, key: int) -> None:
    lifecycle.settle_by_key(log, key, signals.DELIVERED)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and isinstance(task.exception(), HoldfastError):
        logger.warning("a receipt was not stored: %s", task.exception())


def _find(workers: Sequence[str]) -> list[RunSignals]:
    """Return the open signals of the workers' runs; nearly always none."""
    return [RunSignals(*row) for row in _query(SELECT_OPEN, workers)]


def _read(runs: Collection[str]) -> list[tuple[str, AgentSignal]]:
    """Return the open signals of these runs, in order."""
    sent = models.Signal.objects.open().filter(run__in=runs, caused=None)
    return [
        (
            row.run_id or "",
            AgentSignal(
                row.pk, row.uid, row.kind, row.actor, row.target, orjson.loads(row.payload), row.issued_by or ""
            ),
        )
        for row in sent.order_by("serial")
    ]


def _expired(workers: Sequence[str]) -> list[tuple[str, str]]:
    """Return expired approvals of the workers' runs, as (run, approval)."""
    return [(run, approval) for run, approval in _query(SELECT_EXPIRED, workers)]


def _running(workers: Sequence[str]) -> set[str]:
    [(found,)] = _query(SELECT_RUNNING[connection.vendor], workers)
    return set((found or "").split(","))


def _query(query: str, workers: Sequence[str]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query % ",".join(["%s"] * len(workers)), workers)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
