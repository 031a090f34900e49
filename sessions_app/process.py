"""One server or worker process: what runs in it besides requests, and how it starts and stops.

Daphne tells an application neither that it starts nor that it stops, so `servers.lifecycle` does; under other servers
the ASGI lifespan does; and whoever is first asks for `current()`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from sessions_app import conf
from sessions_app.core.attachment import Frame
from sessions_app.delivery.channel_layer import Fanout
from sessions_app.delivery.connection_registry import TICK_S, ConnectionRegistry
from sessions_app.delivery.feeds import Feeds
from sessions_app.delivery.flusher import Flusher
from sessions_app.diagnostics.connection_records import WRITE_EVERY_S, ConnectionRecorder
from sessions_app.diagnostics.readiness import Health
from sessions_app.event_log.writer import LogWriter
from sessions_app.publishing.local_writer import LocalWriters
from sessions_app.publishing.producers import Producers
from sessions_app.publishing.response_writer import Ticker
from sessions_app.retention import purge
from sessions_app.runs import lifecycle
from sessions_app.runs.claims import Claims
from sessions_app.runs.inbox import RunInboxes
from sessions_app.runs.leases import Lease, Reaper
from sessions_app.runs.signal_intake import SignalIntake
from sessions_app.telemetry import tracing

logger = logging.getLogger(__name__)

LOOK_S = 1.0  # how often to look at least for what the dead left, and for stops that an agent doesn't heed
FAILED_PAUSE_S = 1.0  # before a background task that failed goes on

Step = Callable[[], Awaitable[None]]
_parts: list[Callable[[Process], Step]] = []
_current: Process | None = None
_starting: asyncio.Lock | None = None


def add_part(make: Callable[[Process], Step]) -> None:
    """Let another application run in every process: `make(process)` returns what runs until it is cancelled."""
    _parts.append(make)


async def current() -> Process:
    """Return this process, started."""
    global _current, _starting
    _starting = _starting or asyncio.Lock()
    async with _starting:
        if _current is None:
            _current = Process()
            await _current.start(_parts)
    return _current


def started() -> Process | None:
    """Return this process if anybody has asked for it; `Process.started` says whether it is through with that."""
    return _current


async def start() -> None:
    """Start this process."""
    await current()


async def stop(deadline: float) -> None:
    """Stop this process if it was started. The server bounds the time that this takes by itself."""
    if _current is not None:
        await _current.stop()  # it stays: who asks for it from now on is told that it goes away


async def close_sockets(within_s: float) -> None:
    """Close this process's WebSockets, spread over at most so many seconds, and let their clients answer."""
    if _current is not None:
        await _current.connections.close_sockets(within_s)


class Process:
    """All that one process has of Holdfast: built, started and stopped here. Lives in one event loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        # In: what is published is written to the log,
        self.log_writer = LogWriter(loop, self._committed, lifecycle.follow)
        self.lease = Lease(self.log_writer)
        self.writers = LocalWriters(self.log_writer, Ticker(loop, conf.settings.rollup_ms), lambda: self.lease.worker)
        self.producers = Producers(self.log_writer)
        # out: and handed to the readers here and to the other processes.
        self.fanout = Fanout(receive=lambda frames: self.feeds.deliver(frames), on_signal=self._look_for_signals)
        self.feeds = Feeds(join=self.fanout.join)
        self.flusher = Flusher()
        self.connections = ConnectionRegistry(self.feeds, self.flusher)
        # Up: what people send reaches the agents.
        self.claims = Claims(self.log_writer, self.lease)
        self.inboxes = RunInboxes(self.log_writer)
        self.signal_intake = SignalIntake(self.log_writer, self.claims, self._signal_stored)
        self.reaper = Reaper(self.log_writer, self.lease)
        # Beside it.
        self.connection_recorder = ConnectionRecorder(loop.time)
        self.health = Health(not_running=self._not_running, layer_problem=lambda: self.fanout.problem)
        self.started = False
        self.stopping = False
        self._loop = loop
        self._tasks: list[asyncio.Task[None]] = []
        self._running_parts: list[asyncio.Task[None]] = []

    async def start(self, parts: Iterable[Callable[[Process], Step]] = ()) -> None:
        """Start what runs in the background. None of it ends by failing."""
        conf.require_valid()
        tracing.configure()
        await self.lease.beat()
        lease_s = conf.settings.lease_ms / 1000
        self._tasks = [
            self._keep("fan-out", self.fanout.run),
            self._keep("flusher", self.flusher.run),
            self._keep("tail check", _every(conf.settings.tail_poll_ms / 1000, self.feeds.check_tails)),
            self._keep("heartbeats", _every(TICK_S, self.connections.tick)),
            self._keep("identities", _every(conf.settings.recheck_ms / 1000, self.connections.check_identities)),
            self._keep("lease", _every(lease_s / 3, self.lease.beat)),
            self._keep("reaper", _every(min(lease_s / 3, LOOK_S), self.reaper.look)),
            self._keep("inboxes", self.inboxes.run),
            self._keep("retention", purge.purge_forever),
            self._keep("connection records", _every(WRITE_EVERY_S, self.connection_recorder.write)),
        ]
        self._running_parts = [self._keep("part", make(self)) for make in parts]
        self.started = True

    async def stop(self) -> None:
        """Send all clients away, let agents commit what they have, and stop."""
        if self.stopping:
            return
        self.stopping = True
        self.connections.send_all_away()
        try:
            await _cancel(self._running_parts)
            await _cancel(self._tasks)
            await self.lease.release()
            await self.log_writer.stop()
        finally:
            await self.connections.finish_responses()
        await self.connection_recorder.write()

    def _not_running(self) -> str:
        if self.stopping:
            return "the process is stopping"
        return "" if self.started else "the process has not started"

    def _committed(self, frames: list[Frame]) -> None:
        self.feeds.deliver(frames)
        self.fanout.publish(frames)

    def _signal_stored(self) -> None:
        # It may be for an agent at work here or elsewhere, or have a run wait to be claimed.
        self._look_for_signals()
        self.fanout.announce_signal()

    def _look_for_signals(self) -> None:
        self.inboxes.look_soon()
        self.claims.waiting.set()

    def _keep(self, name: str, work: Step) -> asyncio.Task[None]:
        async def forever() -> None:
            while True:
                try:
                    await work()
                    return
                except Exception:
                    logger.exception("%s failed, and goes on", name)
                    await asyncio.sleep(FAILED_PAUSE_S)

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
