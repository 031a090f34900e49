"""Worker leases. A worker increments a counter; a process that sees it stop for a full lease ends its responses.

Clocks of different machines are never compared. The lease is measured by the observer's own monotonic clock, so a wall
clock that jumps, or differs between machines, can neither end a live response nor keep a dead one open.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from functools import partial

from django.db.models import F, Q
from django.utils import timezone

from sessions_app import conf, models
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk
from sessions_app.database import locking, threads
from sessions_app.event_log.commands import DatabaseJob
from sessions_app.event_log.writer import LogWriter
from sessions_app.runs import lifecycle

logger = logging.getLogger(__name__)

DEAD = "The agent's process stopped before it finished."
STOPPED_LATE = "The agent did not stop in time and was cut off. Anything it still writes is refused."
STOPPED_DEAD = "The agent's process had already stopped."
STOP_S = 3.0  # time for an agent to stop before it is cut off
RETRY_S = 1.0  # after a beat that could not be stored
AWAY = 2 / 3  # of a lease without an own scan or beat, which is twice their interval


class Lease:
    """Lease of this process."""

    def __init__(self, log_writer: LogWriter) -> None:
        self.worker = ""
        self.beaten_at = 0.0  # monotonic time of the last successful beat
        self._log_writer = log_writer
        self._is_beating = False  # a beat waits for its commit
        self._due_at = 0.0  # of the next beat, monotonic

    async def beat(self) -> None:
        """Renew the lease. If this process was declared dead, register it as a new worker.

        The old worker's responses have been ended, and further writes to them are refused as fenced.
        """
        self._beaten(await self._log_writer.do(_beat, self.worker))

    def renew(self, now: float) -> None:
        """As `beat`, from another thread: submit a beat if one is due, and none is under way. Doesn't wait for it."""
        if now >= self._due_at and not self._is_beating:
            self._is_beating = True
            self._log_writer.submit(DatabaseJob(partial(_beat, self.worker), self._renewed, at_once=True))

    def _renewed(self, outcome: str | HoldfastError) -> None:
        if isinstance(outcome, HoldfastError):
            self._due_at = time.monotonic() + RETRY_S
        else:
            self._beaten(outcome)
        self._is_beating = False

    def _beaten(self, worker: str) -> None:
        if self.worker and worker != self.worker:
            logger.warning("this process was declared dead and its responses were ended")
        self.worker = worker
        self.beaten_at = time.monotonic()
        self._due_at = self.beaten_at + conf.settings.lease_ms / 3000

    async def release(self) -> None:
        """End the lease, so that other processes need not wait for it to run out."""
        try:
            await self._log_writer.do(_release, self.worker)
        except HoldfastError as problem:  # a process must stop without its database, too
            logger.warning("the lease was not released and will run out: %s", problem.message)


def _beat(worker: str) -> str:
    """Count up; return the worker, or a new one if it is dead."""
    alive = models.Worker.objects.alive().filter(pk=worker)
    if alive.update(beats=F("beats") + 1, seen_at=timezone.now()):
        return worker
    return models.Worker.objects.create(name=f"{socket.gethostname()}:{os.getpid()}").pk


def _release(worker: str) -> None:
    models.Worker.objects.filter(pk=worker).update(alive=False, seen_at=timezone.now())


class Reaper:
    """Watches all other workers and ends the responses of dead ones."""

    def __init__(self, log_writer: LogWriter, own: Lease) -> None:
        self._log_writer = log_writer
        self._own = own
        self._seen: dict[str, tuple[int, float]] = {}  # worker → counter, and when it was first seen at that value
        self._scanned_at = 0.0
        self._late: dict[str, Chunk] = {}  # own runs that couldn't be ended → chunk to end them with
        self._stops: dict[str, float] = {}  # runs with a stop request → when it was first seen

    async def scan(self) -> None:
        """Scan all workers and runs once. Call it a few times per lease."""
        now = time.monotonic()
        self._reset_if_away(now)
        beats = await threads.run(_beats, self._own.worker)
        self._scanned_at = now
        self._seen = {
            worker: self._seen[worker] if worker in self._seen and self._seen[worker][0] == count else (count, now)
            for worker, count in beats.items()
        }
        for worker, (count, since) in self._seen.items():
            if now - since > conf.settings.lease_ms / 1000:
                await self._log_writer.do(_declare_dead, worker, count)
        overdue = await self._overdue(now)
        orphans = await threads.run(_orphans, [*self._late, *overdue])
        # Concurrently, so that one transaction ends them all.
        await asyncio.gather(*map(self._end_orphan, orphans))
        self._late = {run.pk: self._late[run.pk] for run in orphans if run.pk in self._late}

    async def _overdue(self, now: float) -> list[str]:
        """Return runs that haven't stopped within STOP_S of this process seeing the request."""
        stops = await threads.run(_stops)
        self._stops = {run: self._stops.get(run, now) for run in stops}
        return [run for run, since in self._stops.items() if now - since > STOP_S]

    def end_later(self, run: models.Run, chunk: Chunk) -> None:
        """Retry in `scan` to end a run of this process."""
        self._late[run.pk] = chunk

    def _reset_if_away(self, now: float) -> None:
        """Restart all observations if this process was frozen or couldn't write: the others may not be dead."""
        away = now - min(self._scanned_at, self._own.beaten_at)
        if away > conf.settings.lease_ms / 1000 * AWAY:
            self._seen = {}

    async def _end_orphan(self, run: models.Run) -> None:
        end = self._late.get(run.pk) or _end_chunk(run)
        logger.info("run %s: ending it for its worker", run.pk)
        try:
            await self._log_writer.change(run.session_id, lifecycle.end_orphan, run.pk, end)
        except HoldfastError as problem:
            if problem.code == "not_found":  # the session is being deleted
                await self._log_writer.do(_mark_ended, run.pk)
            else:
                logger.warning("run %s can't be ended yet: %s", run.pk, problem.message)


def _beats(own: str) -> dict[str, int]:
    return dict(models.Worker.objects.alive().exclude(pk=own).values_list("pk", "beats"))


def _declare_dead(worker: str, beats: int) -> None:
    # Only if the counter hasn't changed: the worker may have come back since the scan.
    unmoved = models.Worker.objects.alive().filter(pk=worker, beats=beats)
    models.Worker.objects.filter(pk__in=locking.skip_locked(unmoved)).update(alive=False)


def _orphans(late: list[str]) -> list[models.Run]:
    running = models.Run.objects.running().select_related("worker")
    return list(running.filter(Q(worker__alive=False) | Q(pk__in=late)))


def _stops() -> list[str]:
    return list(models.Run.objects.running().exclude(cancel=None).values_list("pk", flat=True))


def _end_chunk(run: models.Run) -> Chunk:
    """Return the chunk that ends a run instead of its worker: an abort if a stop was requested."""
    alive = run.worker is not None and run.worker.alive
    if run.cancel_id is None:
        return {"type": "interrupt", "reason": DEAD}
    return {"type": "abort", "reason": STOPPED_LATE if alive else STOPPED_DEAD}


def _mark_ended(run: str) -> None:
    running = locking.skip_locked(models.Run.objects.running().filter(pk=run))
    models.Run.objects.filter(pk__in=running).update(status=models.Run.Status.ENDED, ended_at=timezone.now())
