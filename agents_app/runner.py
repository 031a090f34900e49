"""Runs agents in this process: claims runs that wait, one at a time per session, and sees each to its end."""

from __future__ import annotations

import asyncio
import logging

from django.db.models import QuerySet
from django.utils import timezone

from agents_app import registry
from agents_app.turn import AgentFailed, Turn
from sessions_app import conf, executor, models, store
from sessions_app.core import fold
from sessions_app.core.errors import HoldfastError
from sessions_app.process import Process
from sessions_app.responses import Response

logger = logging.getLogger(__name__)

LOOK_S = 1.0  # how often to look for runs whose hint was lost or that another process committed
HISTORY = 50  # messages that an agent is given
STOPPED = "The server was stopped before the agent finished."
FAILED = "The agent failed. What it had written is kept; ask again, or see the server's log."


class Runner:
    """All agents of one process. `run` is a part of the process; see `Process.start`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Claim and run until cancelled; then stop the agents and wait until what they wrote is stored."""
        try:
            while True:
                await self._claim()
                await self._wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _claim(self) -> None:
        free = conf.RUNS_PER_PROCESS - len(self._tasks)
        if free > 0:
            for run in await self._process.ingest.do(_claim, self._process.lease.worker, free):
                task = asyncio.create_task(self._answer(run))
                self._tasks.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._process.run_waits()  # the next one of its session may

    async def _wait(self) -> None:
        waiting = self._process.runs_waiting
        try:
            await asyncio.wait_for(waiting.wait(), LOOK_S)
        except TimeoutError:
            pass
        waiting.clear()

    async def _answer(self, run: models.Run) -> None:
        response = self._process.response(run)
        try:
            await self._speak(run, response)
        except asyncio.CancelledError:
            await self._end(run, response, {"type": "interrupt", "reason": STOPPED})
            raise
        except HoldfastError as problem:
            # The log wouldn't take it: fenced, deleted, or the database is away.
            logger.warning("run %s: %s", run.pk, problem.message)
            await self._end(run, response, {"type": "error", "errorText": problem.message})
        except AgentFailed as failure:
            await self._end(run, response, {"type": "error", "errorText": str(failure)})
        except Exception:
            logger.exception("agent %s failed in run %s", run.agent, run.pk)
            await self._end(run, response, {"type": "error", "errorText": FAILED})

    async def _speak(self, run: models.Run, response: Response) -> None:
        page = await executor.run(store.history, run.session_id, limit=HISTORY)
        turn = Turn(response, _asked(page.messages, run.prompt))
        await turn.begin()
        agent = registry.find(run.agent)
        if agent is None:
            raise LookupError(f"there is no agent named {run.agent!r}")
        await agent(turn)
        await turn.finish()

    async def _end(self, run: models.Run, response: Response, chunk: dict[str, str]) -> None:
        try:
            await response.close(chunk)
        except HoldfastError as problem:
            logger.warning("run %s could not be ended: %s", run.pk, problem.message)
            self._process.end_later(run, chunk)


def _asked(history: list[fold.Message], prompt: str) -> list[fold.Message]:
    """Return the history up to the prompt: people may have asked more since."""
    ids = [message.id for message in history]
    return history[: ids.index(prompt) + 1] if prompt in ids else history


def _claim(worker: str, most: int) -> list[models.Run]:
    """Take up to `most` runs that wait, the oldest of each session that has none running."""
    claimed: dict[str, models.Run] = {}
    for run in _claimable().order_by("created_at")[: 4 * most]:
        if run.session_id not in claimed and len(claimed) < most and _take(run, worker):
            claimed[run.session_id] = run
    return list(claimed.values())


def _claimable() -> QuerySet[models.Run]:
    running = models.Run.objects.filter(status=models.Run.Status.RUNNING)
    waiting = models.Run.objects.filter(status=models.Run.Status.WAITING)
    return waiting.exclude(session__in=running.values("session"))


def _take(run: models.Run, worker: str) -> bool:
    # Compare and set: another process may have been faster.
    run.status, run.worker_id, run.started_at = models.Run.Status.RUNNING, worker, timezone.now()
    free = _claimable().filter(pk=run.pk)
    return bool(free.update(status=run.status, worker=run.worker_id, started_at=run.started_at))
