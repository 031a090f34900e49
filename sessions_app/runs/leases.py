"""Who is alive: a worker counts up in the database, and whoever sees a count stand still ends its responses.

No clock is compared with another's. A worker is dead when its count has not changed for a whole lease as measured
by the observer's own monotonic clock, so neither a wall clock that jumps nor one that differs between machines can
end a response or keep a dead one open.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time

from django.db.models import F, Q
from django.utils import timezone

from sessions_app import conf, models
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk
from sessions_app.database import locking, threads
from sessions_app.event_log.writer import LogWriter
from sessions_app.runs import lifecycle

logger = logging.getLogger(__name__)

DEAD = "The agent's process stopped before it finished."
STOPPED_LATE = "Its agent did not stop in time, and was cut off: what it still writes is not taken."
STOPPED_DEAD = "Its agent's process had stopped already."
PATIENCE_S = 3.0  # for an agent to stop before it is cut off
AWAY = 2 / 3  # of a lease without a look or a beat of one's own: twice the time between two of them


class Lease:
    """This process's own lease."""

    def __init__(self, log_writer: LogWriter) -> None:
        self.worker = ""
        self.beaten_at = 0.0  # when the database last took a beat, on the monotonic clock
        self._log_writer = log_writer

    async def beat(self) -> None:
        """Show that this process lives. One that was declared dead starts over as a new worker.

        Its old responses have been ended, and what it still writes to them is refused as fenced.
        """
        lives: bool = await self._log_writer.do(_beat, self.worker)
        if not lives:
            if self.worker:
                logger.warning("this process was taken for dead: its responses were ended")
            self.worker = await self._log_writer.do(_register)
        self.beaten_at = time.monotonic()

    async def release(self) -> None:
        """Leave nothing for others to wait for."""
        await self._log_writer.do(_release, self.worker)


def _register() -> str:
    return models.Worker.objects.create(name=f"{socket.gethostname()}:{os.getpid()}").pk


def _beat(worker: str) -> bool:
    alive = models.Worker.objects.alive().filter(pk=worker)
    return bool(alive.update(beats=F("beats") + 1, seen_at=timezone.now()))


def _release(worker: str) -> None:
    models.Worker.objects.filter(pk=worker).update(alive=False, seen_at=timezone.now())


class Reaper:
    """Watches all other workers, and ends what the dead ones left open."""

    def __init__(self, log_writer: LogWriter, own: Lease) -> None:
        self._log_writer = log_writer
        self._own = own
        self._seen: dict[str, tuple[int, float]] = {}  # worker → its count, and when it was first seen at that
        self._looked_at = 0.0
        self._late: dict[str, Chunk] = {}  # runs of this process that it couldn't end → the chunk to end with
        self._stops: dict[str, float] = {}  # runs that are to stop → when that was first seen

    async def look(self) -> None:
        """Look once. Call it a few times per lease."""
        now = time.monotonic()
        self._forget_if_away(now)
        beats = await threads.run(_beats, self._own.worker)
        self._looked_at = now
        self._seen = {
            worker: self._seen[worker] if worker in self._seen and self._seen[worker][0] == count else (count, now)
            for worker, count in beats.items()
        }
        for worker, (count, since) in self._seen.items():
            if now - since > conf.settings.lease_ms / 1000:
                await self._log_writer.do(_declare_dead, worker, count)
        overdue = await self._overdue(now)
        orphans = await threads.run(_orphans, [*self._late, *overdue])
        # All at once, so that one transaction ends them.
        await asyncio.gather(*map(self._end, orphans))
        self._late = {run.pk: self._late[run.pk] for run in orphans if run.pk in self._late}

    async def _overdue(self, now: float) -> list[str]:
        """Runs that were to stop and haven't for PATIENCE_S, as this process has seen it."""
        stops = await threads.run(_stops)
        self._stops = {run: self._stops.get(run, now) for run in stops}
        return [run for run, since in self._stops.items() if now - since > PATIENCE_S]

    def end_later(self, run: models.Run, chunk: Chunk) -> None:
        """End a run of this process's own that it could not end."""
        self._late[run.pk] = chunk

    def _forget_if_away(self, now: float) -> None:
        """An observer that was frozen, or couldn't write, can't tell who else could: it starts to watch anew."""
        away = now - min(self._looked_at, self._own.beaten_at)
        if away > conf.settings.lease_ms / 1000 * AWAY:
            self._seen = {}

    async def _end(self, run: models.Run) -> None:
        end = self._late.get(run.pk) or _end_of(run)
        logger.info("run %s: ending what its worker left open", run.pk)
        try:
            await self._append(run, [*await threads.run(lifecycle.last_words, run.pk), end])
        except HoldfastError as problem:
            if problem.code == "unknown_part":
                await self._append(run, [end])  # the call of which nothing is known isn't in the response
            elif problem.code == "no_such_message":
                await self._end_unbegun(run, end)
            elif problem.code in ("message_ended", "not_found"):
                await self._log_writer.do(_end_run, run.pk)
            elif problem.code != "fenced":  # which says that another process was faster
                logger.warning("run %s can't be ended yet: %s", run.pk, problem.message)

    async def _end_unbegun(self, run: models.Run, end: Chunk) -> None:
        """People wait for an answer of which nothing was stored: show them that it won't come."""
        try:
            await self._append(run, [{"type": "start", "messageId": run.uid}, end])
        except HoldfastError as problem:
            logger.warning("run %s can't be ended yet: %s", run.pk, problem.message)

    async def _append(self, run: models.Run, chunks: list[Chunk]) -> None:
        await self._log_writer.append(run.session_id, run.uid, chunks, run=run.pk, worker=run.worker_id or "")


def _beats(own: str) -> dict[str, int]:
    return dict(models.Worker.objects.alive().exclude(pk=own).values_list("pk", "beats"))


def _declare_dead(worker: str, beats: int) -> None:
    # Only if it has not moved since: it may have come back between the look and now, or be about to.
    unmoved = models.Worker.objects.alive().filter(pk=worker, beats=beats)
    models.Worker.objects.filter(pk__in=locking.skip_locked(unmoved)).update(alive=False)


def _orphans(late: list[str]) -> list[models.Run]:
    running = models.Run.objects.running().select_related("worker")
    return list(running.filter(Q(worker__alive=False) | Q(pk__in=late)))


def _stops() -> list[str]:
    return list(models.Run.objects.running().exclude(cancel=None).values_list("pk", flat=True))


def _end_of(run: models.Run) -> Chunk:
    """How a run ends whose worker doesn't end it: who asked for a stop gets one."""
    alive = run.worker is not None and run.worker.alive
    if run.cancel_id is None:
        return {"type": "interrupt", "reason": DEAD}
    return {"type": "abort", "reason": STOPPED_LATE if alive else STOPPED_DEAD}


def _end_run(run: str) -> None:
    running = locking.skip_locked(models.Run.objects.running().filter(pk=run))
    models.Run.objects.filter(pk__in=running).update(status=models.Run.Status.ENDED, ended_at=timezone.now())
