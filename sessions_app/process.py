"""The process: builds, starts and stops everything that runs in one server or worker besides requests.

Started and stopped by `servers.lifecycle` under Daphne, which doesn't support the ASGI lifespan, by the lifespan under
other servers, or by the first call of `current()`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from sessions_app import conf
from sessions_app.core.attachment import Frame
from sessions_app.core.errors import HoldfastError
from sessions_app.database import sqlite_file, threads
from sessions_app.delivery.channel_layer import Fanout
from sessions_app.delivery.connection_registry import TICK_S, ConnectionRegistry
from sessions_app.delivery.feeds import Feeds
from sessions_app.delivery.flusher import Flusher
from sessions_app.diagnostics.connection_records import WRITE_EVERY_S, ConnectionRecorder
from sessions_app.diagnostics.loop_watchdog import LoopWatchdog
from sessions_app.diagnostics.readiness import Health
from sessions_app.event_log.writer import LogWriter
from sessions_app.publishing.local_writer import LocalWriters
from sessions_app.publishing.producers import Producers
from sessions_app.publishing.ticker import Ticker
from sessions_app.retention import journal, purge
from sessions_app.runs import absence, lifecycle
from sessions_app.runs.claims import Claims
from sessions_app.runs.inbox import RunInboxes
from sessions_app.runs.lease_keeper import LeaseKeeper
from sessions_app.runs.leases import Lease, Reaper
from sessions_app.runs.signal_intake import SignalIntake
from sessions_app.telemetry import metrics, tracing
from sessions_app.workers.batches import ClaimedBatches
from sessions_app.workers.remote_workers import RemoteWorkers

logger = logging.getLogger(__name__)

SCAN_S = 1.0  # maximum interval between scans for dead workers and for agents that ignore a stop
RESTART_S = 1.0  # before a failed background task is restarted

Step = Callable[[], Awaitable[None]]
_parts: list[Callable[[Process], Step]] = []
_current: Process | None = None
_starting: asyncio.Lock | None = None


def add_part(make: Callable[[Process], Step]) -> None:
    """Add a background task to every process. `make(process)` returns its coroutine function."""
    _parts.append(make)


async def current() -> Process:
    """Return this process; start it first if needed."""
    global _current, _starting
    _starting = _starting or asyncio.Lock()
    async with _starting:
        if _current is None:
            _current = Process()
            await _current.start(_parts)
    return _current


def started() -> Process | None:
    """Return this process, or None before its first use. It may still be starting: see `Process.started`."""
    return _current


async def start() -> None:
    """Start this process."""
    await current()


async def stop(deadline: float) -> None:
    """Stop this process if it was started. The server enforces the deadline."""
    if _current is not None:
        await _current.stop()  # `_current` stays, so that later requests get `going_away`


async def checkpoint() -> None:
    """Move what is committed from SQLite's write-ahead log into its file, once nothing more is written."""
    await threads.run(sqlite_file.checkpoint)


async def close_sockets(within_s: float) -> None:
    """Close this process's WebSockets, spread over at most `within_s`, and give clients time to answer."""
    if _current is not None:
        await _current.connections.close_sockets(within_s)


class Process:
    """Composition root: all of Holdfast's parts in one process and event loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        # In: published chunks are written to the log.
        self.log_writer = LogWriter(loop, self._committed, lifecycle.follow)
        self.lease = Lease(self.log_writer)
        self.lease_keeper = LeaseKeeper(self.lease, LoopWatchdog(loop))
        ticker = Ticker(loop, conf.settings.rollup_ms, conf.settings.rollup_most_ms)
        self.writers = LocalWriters(self.log_writer, ticker, lambda: self.lease.worker)
        metrics.rollup_window.set_function(lambda: ticker.window.seconds)
        self.producers = Producers(self.log_writer)
        # Out: committed frames go to this process's readers and to other processes.
        self.fanout = Fanout(receive=lambda frames: self.feeds.deliver(frames), on_signal=self._check_signals)
        self.feeds = Feeds(join=self.fanout.join)
        self.flusher = Flusher()
        self.connections = ConnectionRegistry(self.feeds, self.flusher)
        # Up: signals of people reach the agents.
        self.claims = Claims(self.log_writer, self.lease)
        self.inboxes = RunInboxes(self.log_writer)
        self.signal_intake = SignalIntake(self.log_writer, self.claims, self._on_signal_stored)
        self.workers = RemoteWorkers(self.log_writer, self.producers, self.inboxes, self.claims)
        self.claimed_batches = ClaimedBatches(self.log_writer, self.producers, self.workers.release)
        self.reaper = Reaper(self.log_writer, self.lease)
        # Diagnostics.
        self.connection_recorder = ConnectionRecorder(loop.time)
        self.health = Health(not_running=self._not_running, layer_problem=lambda: self.fanout.problem)
        self.started = False
        self.stopping = False
        self._loop = loop
        self._tasks: list[asyncio.Task[None]] = []
        self._running_parts: list[asyncio.Task[None]] = []

    async def start(self, parts: Iterable[Callable[[Process], Step]] = ()) -> None:
        """Start the background tasks. A task that fails is restarted."""
        conf.require_valid()
        tracing.configure()
        await self._begin_lease()
        lease_s = conf.settings.lease_ms / 1000
        self._tasks = [
            self._keep("fan-out", self.fanout.run),
            self._keep("flusher", self.flusher.run),
            self._keep("tail check", _every(conf.settings.tail_poll_ms / 1000, self.feeds.check_tails)),
            self._keep("heartbeats", _every(TICK_S, self.connections.tick)),
            self._keep("identities", _every(conf.settings.recheck_ms / 1000, self.connections.check_identities)),
            self._keep("reaper", _every(min(lease_s / 3, SCAN_S), self.reaper.scan)),
            self._keep("inboxes", self.inboxes.run),
            self._keep("remote workers", self.workers.run),
            self._keep("absent agents", _every(SCAN_S, partial(absence.tell, self.log_writer))),
            self._keep("retention", purge.purge_forever),
            self._keep("journal", journal.trim_forever),
            self._keep("connection records", _every(WRITE_EVERY_S, self.connection_recorder.write)),
        ]
        self.lease_keeper.start()
        self._running_parts = [self._keep("part", make(self)) for make in parts]
        self.started = True

    async def stop(self) -> None:
        """Tell all clients to reconnect, let agents commit their output, and stop."""
        if self.stopping:
            return
        self.stopping = True
        self.connections.send_all_away()
        try:
            await _cancel(self._running_parts)
            await _cancel(self._tasks)
            self.lease_keeper.stop()
            await self.lease.release()
            await self.log_writer.stop()
        finally:
            await self.connections.finish_responses()
        await self.connection_recorder.write()

    async def _begin_lease(self) -> None:
        try:
            await self.lease.beat()
        except HoldfastError as problem:  # history can be read all the same; the lease is tried again and again
            logger.error("this process starts without a lease, and can store nothing yet: %s", problem.message)

    def _not_running(self) -> str:
        if self.stopping:
            return "the process is stopping"
        return "" if self.started else "the process has not started"

    def _committed(self, frames: list[Frame]) -> None:
        self.feeds.deliver(frames)
        self.fanout.publish(frames)

    def _on_signal_stored(self) -> None:
        # It may be for an agent in this or another process, or have created a run to claim.
        self._check_signals()
        self.fanout.announce_signal()

    def _check_signals(self) -> None:
        self.inboxes.poll_soon()
        self.claims.waiting.set()
        self.workers.look_soon()

    def _keep(self, name: str, work: Step) -> asyncio.Task[None]:
        async def forever() -> None:
            while True:
                try:
                    await work()
                    return
                except Exception:
                    logger.exception("%s failed and is restarted", name)
                    await asyncio.sleep(RESTART_S)

        return self._loop.create_task(forever(), name=f"holdfast {name}")


def _every(seconds: float, step: Step) -> Step:
    async def repeat() -> None:
        while True:
            await asyncio.sleep(seconds)
            await step()

    return repeat


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
