"""The inboxes of the agents at work in this process: what people sent to each, handed over once, in order.

A signal that was stored by this process wakes a look at once; so does one that another process stored where the channel
layer tells of it, and otherwise the next look finds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

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

logger = logging.getLogger(__name__)

CHECK_S = 1.0  # between two looks at whether the runs at work here were ended elsewhere

APPROVALS, RUNS, SIGNALS = (model._meta.db_table for model in (models.Approval, models.Run, models.Signal))
# Plain SQL for what every look asks: the ORM takes longer to write it than the database to answer. All runs of the
# workers: to name hundreds of them would cost more than to find what few have been sent. One look at an index for each,
# which no planner can turn into a join: PostgreSQL's, told of the open signals too late, would compare all with all.
# What caused a run is its prompt, and what cancels one is told of by its run.
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
# One row, per kind of database: see `statements` for why.
SELECT_RUNNING = {
    "sqlite": f"SELECT group_concat(id, ',') FROM {RUNS} WHERE worker_id IN (%s) AND status = 'running'",
    "postgresql": f"SELECT string_agg(id, ',') FROM {RUNS} WHERE worker_id IN (%s) AND status = 'running'",
}


class RunSignals(NamedTuple):
    """A run for which there is something: the key of the signal that stops it, or of the newest for its agent, or both.

    Keys of one run's signals go up, since each is stored under the lock of its session: who has the newest has all.
    """

    run: str
    cancel: int | None
    newest: int | None


class RunInbox:
    """What is there for one run. `stop` is set when it is to stop; it keeps what nobody has asked for yet."""

    def __init__(self, run: models.Run) -> None:
        self.run = run
        self.stop = asyncio.Event()
        self._seen: set[int] = set()
        self._steers: list[AgentSignal] = []
        self._about: dict[str, asyncio.Future[AgentSignal | None]] = {}

    @property
    def awaits(self) -> bool:
        """Whether its agent waits for a decision or a result."""
        return not all(told.done() for told in self._about.values())

    def has(self, key: int) -> bool:
        """Whether the signal with this key was put here."""
        return key in self._seen

    def put(self, signal: AgentSignal) -> bool:
        """Take a signal; return whether it is a new one."""
        if self.has(signal.key):
            return False
        self._seen.add(signal.key)
        if signal.kind == "steer":
            self._steers.append(signal)
        elif not self._awaited(signal.target).done():
            self._awaited(signal.target).set_result(signal)
        return True

    def expire(self, approval: str) -> None:
        """Nobody can decide about it any more."""
        if not self._awaited(approval).done():
            self._awaited(approval).set_result(None)

    def take_steers(self) -> list[AgentSignal]:
        """Return the steers that have come since this was last asked."""
        steers, self._steers = self._steers, []
        return steers

    async def about(self, target: str, timeout_s: float | None) -> AgentSignal | None:
        """Wait for the decision about an approval, or the result of a tool call; None when it won't come in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._awaited(target))
        return None

    def _awaited(self, target: str) -> asyncio.Future[AgentSignal | None]:
        return self._about.setdefault(target, asyncio.get_running_loop().create_future())


class RunInboxes:
    """All inboxes of a process. `run` is a task of it."""

    def __init__(self, log_writer: LogWriter) -> None:
        self._log_writer = log_writer
        self._inboxes: dict[str, RunInbox] = {}
        self._wake = asyncio.Event()
        self._check_at = 0.0  # in the loop's time
        self._missing: set[str] = set()  # at the last check

    def open(self, run: models.Run) -> RunInbox:
        """Begin to collect what is sent to a run."""
        inbox = self._inboxes[run.pk] = RunInbox(run)
        self.look_soon()  # it may have been sent something while it waited
        return inbox

    def close(self, inbox: RunInbox) -> None:
        self._inboxes.pop(inbox.run.pk, None)

    def look_soon(self) -> None:
        """A signal was stored."""
        self._wake.set()

    async def run(self) -> None:
        """Look until cancelled: at once when a signal was stored here, and every INBOX_POLL_MS while there are runs."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):  # not `wait_for`, which in Python 3.11 may swallow a cancellation
                async with asyncio.timeout(conf.settings.inbox_poll_ms / 1000 if self._inboxes else None):
                    await self._wake.wait()
            self._wake.clear()
            if self._inboxes:
                await self.look()
            if self._inboxes and loop.time() >= self._check_at:
                self._check_at = loop.time() + CHECK_S
                await self.check()

    async def look(self) -> None:
        """Hand over what is new."""
        sent = []
        for run, cancel, newest in await threads.run(_find, self._workers()):
            inbox = self._inboxes.get(run)
            if inbox is None:
                continue
            if cancel is not None and not inbox.stop.is_set():
                self._deliver(inbox, cancel)
                inbox.stop.set()
            if newest is not None and not inbox.has(newest):
                sent.append(run)
        for run, signal in await threads.run(_read, sent) if sent else ():
            inbox = self._inboxes.get(run)
            if inbox is not None and inbox.put(signal):
                self._deliver(inbox, signal.key)
        if any(inbox.awaits for inbox in self._inboxes.values()):
            for run, approval in await threads.run(_expired, self._workers()):
                if run in self._inboxes:
                    self._inboxes[run].expire(approval)

    async def check(self) -> None:
        """Stop what was ended elsewhere, or deleted with its session.

        What such a run still writes isn't taken, and its agent may wait for something.
        """
        held = {run for run, inbox in self._inboxes.items() if not inbox.run._state.adding}  # those that are stored
        self._stop_missing(held - await threads.run(_running, self._workers()))

    def _workers(self) -> list[str]:
        """This process; and what it was before it was taken for dead, while that has runs."""
        return list({inbox.run.worker_id or "" for inbox in self._inboxes.values()})

    def _stop_missing(self, missing: set[str]) -> None:
        # Those that were missing at the last check too: one that is being stored now isn't there yet.
        for run in missing & self._missing:
            if run in self._inboxes:
                self._inboxes[run].stop.set()
        self._missing = missing

    def _deliver(self, inbox: RunInbox, key: int) -> None:
        # Nobody waits for it: what is lost of it, the signal's final receipt makes up for.
        told = self._log_writer.change(inbox.run.session_id, _delivered, key)
        task = asyncio.get_running_loop().create_task(told)
        task.add_done_callback(_log_failure)


def _delivered(log: SessionLog, key: int) -> None:
    lifecycle.settle_by_key(log, key, signals.DELIVERED)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and isinstance(task.exception(), HoldfastError):
        logger.warning("a receipt was not stored: %s", task.exception())


def _find(workers: Sequence[str]) -> list[RunSignals]:
    """What there is for the workers' runs; nearly always nothing."""
    return [RunSignals(*row) for row in _ask(SELECT_OPEN, workers)]


def _read(runs: Collection[str]) -> list[tuple[str, AgentSignal]]:
    """Return what is open for these runs, in order."""
    sent = models.Signal.objects.open().filter(run__in=runs, caused=None)
    return [
        (row.run_id or "", AgentSignal(row.pk, row.uid, row.kind, row.actor, row.target, orjson.loads(row.payload)))
        for row in sent.order_by("serial")
    ]


def _expired(workers: Sequence[str]) -> list[tuple[str, str]]:
    """Return the (run, approval) about which nobody can decide any more."""
    return [(run, approval) for run, approval in _ask(SELECT_EXPIRED, workers)]


def _running(workers: Sequence[str]) -> set[str]:
    [(found,)] = _ask(SELECT_RUNNING[connection.vendor], workers)
    return set((found or "").split(","))


def _ask(query: str, workers: Sequence[str]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query % ",".join(["%s"] * len(workers)), workers)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
