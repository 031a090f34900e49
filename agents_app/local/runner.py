"""The agent runner of a process: claims waiting runs, one at a time per session, and ends each one's response."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import cast

from django.db import connections

from agents_app import registry, sync_turn
from agents_app.local.backend import LocalBackend
from agents_app.turn import AgentFailed, Mode, Turn
from sessions_app import conf, models
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk
from sessions_app.database import threads
from sessions_app.process import Process
from sessions_app.publishing.local_writer import LocalWriter
from sessions_app.runs import history
from sessions_app.runs.claims import Claim
from sessions_app.runs.inbox import RunInbox
from sessions_app.telemetry import log_context, metrics, tracing

logger = logging.getLogger(__name__)

HISTORY = 50  # messages that an agent receives
GRACE_S = 1.0  # for a stopped agent to tidy up; then its response ends without it
GONE = "The server was stopped before the agent finished."
FAILED = "The agent failed. What it had written is kept; ask again, or see the server's log."
STOPPED = "Stopped."
STOPPED_BUSY = "Stopped. The agent was still busy and was cut off: what it still does is not shown."


class Runner:
    """All agents of one process. `run` is a part of the process; see `Process.start`.

    `most`: how many may be at work at once, RUNS_PER_PROCESS by default. `drain_s`: how long they may go on once the
    process is told to stop.
    """

    def __init__(self, process: Process, *, most: int | None = None, drain_s: float = 0) -> None:
        self._process = process
        self._most = conf.settings.runs_per_process if most is None else most
        self._drain_s = drain_s
        self._claims: dict[str, Claim] = {}  # by session
        self._held: set[str] = set()  # claimed runs
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._unbegun: list[models.Run] = []  # claimed while stopping

    async def run(self) -> None:
        """Claim and run until cancelled; then stop the agents and wait until what they wrote is stored.

        An exception, such as the database's when it is asked which runs wait, leaves the agents at work alone.
        """
        self._process.claims.claim_next = self._claim
        try:
            while True:
                await self._claim_waiting()
                await self._wait()
        except asyncio.CancelledError:
            self._process.claims.claim_next = None
            self._stopping = True
            await self._claimed()
            await asyncio.gather(*map(self._process.claims.hand_back, self._unbegun), return_exceptions=True)
            if self._tasks and self._drain_s:
                await asyncio.wait(self._tasks, timeout=self._drain_s)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            raise

    async def _claim_waiting(self) -> None:
        if self._free() > 0:
            for session in await self._process.claims.claimable(self._free()):
                self._claim(session)
            await self._claimed()

    def _claim(self, session: str) -> Claim | None:
        """Claim the session's next run if there is room, in the transaction of the signal about to cause it, if any."""
        if self._free() <= 0 or session in self._claims:
            return None
        claim = asyncio.create_task(self._process.claims.claim(session, self._held, self._free()))
        self._claims[session] = claim
        claim.add_done_callback(partial(self._begin, session))
        return claim

    async def _claimed(self) -> None:
        """Wait for the claims under way. No cancellation undoes a claim."""
        if self._claims:
            await asyncio.wait(self._claims.values())

    def _begin(self, session: str, claim: Claim) -> None:
        del self._claims[session]
        run = None if claim.cancelled() else claim.result()
        if run is None:
            return
        if self._stopping:
            self._unbegun.append(run)
            return
        self._held.add(run.pk)
        task = asyncio.create_task(perform(self._process, self._process.writers.for_run(run)))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, run.pk))

    def _free(self) -> int:
        return self._most - len(self._tasks) - len(self._claims)

    def _ended(self, run: str, task: asyncio.Task[None]) -> None:
        self._held.discard(run)
        self._tasks.discard(task)
        self._process.claims.waiting.set()  # the session's next run may begin

    async def _wait(self) -> None:
        waiting = self._process.claims.waiting
        with suppress(TimeoutError):  # not `wait_for`, which in Python 3.11 may swallow a cancellation
            async with asyncio.timeout(conf.settings.inbox_poll_ms / 1000):
                await waiting.wait()
        waiting.clear()


async def perform(process: Process, response: LocalWriter) -> None:
    """Run the agent of a claimed run, and end its response whatever happens."""
    run = response.run
    agent = run.agent if registry.find(run.agent) else "unknown"
    log_context.work_on(session=run.session_id, run=run.pk, worker=process.lease.worker)
    with (
        tracing.linked_span("run", session=run.session_id, run=run.pk, agent=agent) as span,
        metrics.run(agent, run.created_at, run.started_at) as watched,
    ):
        try:
            await _perform(process, response)
        finally:
            watched.status = vocabulary.ENDS.get(response.end, "left")  # for others to answer or end
            span.set_attribute("holdfast.status", watched.status)


async def _perform(process: Process, response: LocalWriter) -> None:
    run = response.run
    inbox = process.inboxes.open(run)
    agent = asyncio.create_task(_answer(process, response, inbox))
    stop = asyncio.create_task(inbox.stop.wait())
    try:
        await asyncio.wait({agent, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not agent.done():
            stopped = await _cancel(agent)
            await _end(process, response, {"type": "abort", "reason": STOPPED if stopped else STOPPED_BUSY})
        elif agent.cancelled():
            logger.error("agent %s cancelled itself in run %s", run.agent, run.pk)
            await _end(process, response, {"type": "error", "errorText": FAILED})
    except asyncio.CancelledError:
        await _cancel(agent)
        if response.begun or not await process.claims.hand_back(run):
            await _end(process, response, {"type": "interrupt", "reason": GONE})
        raise
    finally:
        stop.cancel()
        process.inboxes.close(inbox)


async def _cancel(agent: asyncio.Task[None]) -> bool:
    """Stop an agent. False if it has not stopped within GRACE_S."""
    agent.cancel()
    await asyncio.wait({agent}, timeout=GRACE_S)
    return agent.done()


async def _answer(process: Process, response: LocalWriter, inbox: RunInbox) -> None:
    run = response.run
    try:
        await _speak(process, response, inbox)
    except AgentFailed as problem:
        await _end(process, response, {"type": "error", "errorText": str(problem)})
    except HoldfastError as problem:
        # The log refused a chunk: malformed, fenced, session deleted, or the database is unavailable.
        logger.warning("run %s: %s", run.pk, problem.message)
        await _end(process, response, {"type": "error", "errorText": problem.message})
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException:  # SystemExit too: it would end the whole process
        logger.exception("agent %s failed in run %s", run.agent, run.pk)
        await _end(process, response, {"type": "error", "errorText": FAILED})


async def _speak(process: Process, response: LocalWriter, inbox: RunInbox) -> None:
    run = response.run
    told = await threads.run_with_retry(history.of_run, run, limit=HISTORY)
    backend = LocalBackend(process.log_writer, response, inbox)
    turn = Turn(backend, told, mode=cast(Mode, run.mode))
    await turn.begin()
    agent = registry.find(run.agent)
    if agent is None:
        raise LookupError(f"no agent is named {run.agent!r}")
    await sync_turn.perform(agent, turn, tidy=connections.close_all)
    await turn.finish()


async def _end(process: Process, response: LocalWriter, chunk: Chunk) -> None:
    try:
        await response.close(chunk)
    except HoldfastError as problem:
        logger.warning("run %s could not be ended: %s", response.run.pk, problem.message)
        process.reaper.end_later(response.run, chunk)
