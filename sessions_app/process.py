"""One server or worker process: what runs in it besides requests, and how it starts and stops.

Daphne tells an application neither that it starts nor that it stops, so `servers.lifecycle` does; under other servers
the ASGI lifespan does; and whoever is first asks for `current()`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Coroutine, Iterable
from typing import Any

from sessions_app import conf, models
from sessions_app.auth import identity
from sessions_app.core import signals
from sessions_app.core.attachment import Frame
from sessions_app.core.errors import HoldfastError
from sessions_app.core.limits import TokenBucket
from sessions_app.database import threads
from sessions_app.delivery.channel_layer import Fanout
from sessions_app.delivery.connection import Connection
from sessions_app.delivery.feeds import Feeds
from sessions_app.delivery.flusher import Flusher
from sessions_app.diagnostics.connection_records import WRITE_EVERY_S, ConnectionRecorder
from sessions_app.diagnostics.readiness import Health
from sessions_app.event_log.writer import LogWriter
from sessions_app.publishing.local_writer import LocalWriter
from sessions_app.publishing.producers import Producers
from sessions_app.publishing.response_writer import Ticker
from sessions_app.retention import purge
from sessions_app.runs import lifecycle, signal_handlers
from sessions_app.runs.inbox import RunInboxes
from sessions_app.runs.leases import Lease, Reaper
from sessions_app.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

LOOK_S = 1.0  # how often to look at least for what the dead left, and for stops that an agent doesn't heed
TICK_S = 1.0  # how exactly heartbeats, slow readers and the ends of streams are timed
SHORTEST_LIFE = 0.8  # of a stream, in STREAM_MS
SERVICE_RESTART = 1012  # close code (IANA registry): come back
CLOSE_PACE_S = 0.005  # between two sockets' close frames, at most, as under Daphne
ANSWER_S = 0.5  # for clients to answer a close frame: of that the server, which has it, doesn't tell
FAILED_PAUSE_S = 1.0  # before a background task that failed goes on
OWNERS_REMEMBERED = 10_000  # whose signals are counted; beyond it all start anew

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
        await _current.close_sockets(within_s)


class Process:
    """All that one process has of Holdfast. Lives in one event loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.fanout = Fanout(receive=lambda received: self.feeds.deliver(received), signalled=self._look_for_signals)
        self.feeds = Feeds(join=self.fanout.join)
        self.log_writer = LogWriter(loop, self._committed, lifecycle.follow)
        self.flusher = Flusher()
        self.lease = Lease(self.log_writer)
        self.producers = Producers(self.log_writer)
        self.inboxes = RunInboxes(self.log_writer)
        self.connection_recorder = ConnectionRecorder(loop.time)
        self.health = Health(self)
        self.connections: set[Connection] = set()
        self.started = False
        self.stopping = False
        self.runs_waiting = asyncio.Event()  # a hint for what claims runs
        self.claim_next: Callable[[str], None] | None = None  # what runs agents here, where a run is about to wait
        self._unsure: set[str] = set()  # sessions in which a run may have been claimed
        self._loop = loop
        self._ticker = Ticker(loop, conf.ROLLUP_MS)
        self._reaper = Reaper(self.log_writer, self.lease)
        self._per_owner: Counter[str] = Counter()
        self._signal_rates: dict[str, TokenBucket] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._running_parts: list[asyncio.Task[None]] = []

    async def start(self, parts: Iterable[Callable[[Process], Step]] = ()) -> None:
        """Start what runs in the background. None of it ends by failing."""
        tracing.configure()
        await self.lease.beat()
        lease_s = conf.LEASE_MS / 1000
        self._tasks = [
            self._keep("fan-out", self.fanout.run),
            self._keep("pump", self.flusher.run),
            self._keep("tail check", _every(conf.TAIL_POLL_MS / 1000, self.feeds.check_tails)),
            self._keep("heartbeats", _every(TICK_S, self._tick)),
            self._keep("identities", _every(conf.RECHECK_MS / 1000, self._check_identities)),
            self._keep("lease", _every(lease_s / 3, self.lease.beat)),
            self._keep("reaper", _every(min(lease_s / 3, LOOK_S), self._reaper.look)),
            self._keep("inboxes", self.inboxes.run),
            self._keep("retention", purge.purge_forever),
            self._keep("evidence", _every(WRITE_EVERY_S, self.connection_recorder.write)),
        ]
        self._running_parts = [self._keep("part", make(self)) for make in parts]
        _spare_collections()
        self.started = True

    async def stop(self) -> None:
        """Send everybody away, let agents commit what they have, and stop.

        Connections are told to come back spread over DRAIN_MS, so that the next process isn't met by all at once.
        """
        if self.stopping:
            return
        self.stopping = True
        for connection in tuple(self.connections):
            connection.go_away(random.randrange(conf.DRAIN_MS + 1))
        self.flusher.send()
        try:
            await _cancel(self._running_parts)
            await _cancel(self._tasks)
            await self.lease.release()
            await self.log_writer.stop()
        finally:
            # Sockets are the server's to close; a response is ours, and keeps the server until it has ended.
            await asyncio.gather(*(each.finish() for each in self.connections if each.transport != "websocket"))
        await self.connection_recorder.write()

    async def close_sockets(self, within_s: float) -> None:
        """Close all WebSockets: the server restarts."""
        sockets = [connection for connection in self.connections if connection.transport == "websocket"]
        random.shuffle(sockets)
        for connection in sockets:
            self.spawn(connection.finish(SERVICE_RESTART))
            await asyncio.sleep(min(CLOSE_PACE_S, within_s / len(sockets)))
        if sockets:
            await asyncio.sleep(ANSWER_S)

    # Connections

    def admit(self, connection: Connection) -> None:
        """Count a connection in. Raises too_many_connections and going_away."""
        owner = connection.identity.owner
        self.check_room(owner)
        self._per_owner[owner] += 1
        self.connections.add(connection)
        metrics.opened.labels(connection.transport).inc()
        logger.debug("a connection opened: %s", connection.transport, extra={"connection": connection.id})
        now = self._loop.time()
        if connection.transport in ("poll", "upload"):
            connection.heartbeat_at = math.inf  # a poll's answer ends with one, if it brings nothing else
        else:
            connection.heartbeat_at = now + connection.heartbeat_ms / 1000
        if connection.transport == "stream":
            # Not all at once, of the streams that a server began when it started.
            connection.ends_at = now + random.uniform(SHORTEST_LIFE, 1) * conf.STREAM_MS / 1000

    def check_room(self, owner: str) -> None:
        """Raise what `admit` would raise for one more connection of this owner."""
        if self.stopping:
            raise HoldfastError("going_away")
        if self._per_owner[owner] >= conf.CONNECTIONS_PER_OWNER:
            raise HoldfastError("too_many_connections", f"at most {conf.CONNECTIONS_PER_OWNER}")

    def dismiss(self, connection: Connection, ended: str = "over") -> None:
        """Count a connection out. `ended`: how it did, if it wasn't told to."""
        connection.leave()
        if connection in self.connections:
            self.connections.discard(connection)
            metrics.closed.labels(connection.transport, connection.told or ended).inc()
            logger.debug("a connection ended: %s", connection.told or ended, extra={"connection": connection.id})
            owner = connection.identity.owner
            self._per_owner[owner] -= 1
            if not self._per_owner[owner]:
                del self._per_owner[owner]

    def may_signal(self, owner: str, now: float) -> bool:
        """Whether an owner may send one more signal to this process now."""
        if owner not in self._signal_rates:
            if len(self._signal_rates) >= OWNERS_REMEMBERED:
                self._signal_rates.clear()
            per_minute = conf.SIGNALS_PER_MINUTE
            self._signal_rates[owner] = TokenBucket(per_minute / 60, per_minute)
        return self._signal_rates[owner].take(now)

    async def _tick(self) -> None:
        now = self._loop.time()
        for connection in tuple(self.connections):
            if connection.is_slow(now):
                self.spawn(connection.fail(HoldfastError("slow_reader")))
            elif connection.ends_at <= now:
                self.spawn(connection.send_away(0))
            elif connection.heartbeat_at <= now + TICK_S:  # rather early than late
                connection.heartbeat_at = now + connection.heartbeat_ms / 1000
                connection.queue(connection.heartbeat())

    async def _check_identities(self) -> None:
        there = {connection.identity for connection in self.connections}
        if there:
            valid = await threads.run(identity.still_valid, there)
            for connection in tuple(self.connections):
                if connection.identity in there - valid:
                    by_token = connection.identity.grant is not None
                    self.spawn(connection.fail(HoldfastError("token_expired" if by_token else "signed_out")))

    def spawn(self, ending: Coroutine[Any, Any, None]) -> None:
        """End a connection, in a task that isn't its own: a client that doesn't read must not hold up the others."""
        task = self._loop.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._endings.discard(task)
        if not task.cancelled() and task.exception():
            logger.debug("a connection's end: %s", task.exception())

    # Responses

    def respond(self, session: str, *, agent: str, uid: str = "") -> LocalWriter:
        """Return what to write a response with that nobody asked this process for: it has a run of its own.

        `agent`: who of this site writes it; nobody if empty. `uid`: its message's id, a new one if empty.
        """
        run = models.Run(session_id=session, agent=agent, status=models.Run.Status.RUNNING, worker_id=self.lease.worker)
        run.uid = uid or run.uid
        return LocalWriter(run, starts=True, log_writer=self.log_writer, ticker=self._ticker)

    def response(self, run: models.Run) -> LocalWriter:
        """Return what to write the response of a run with that this process has claimed."""
        return LocalWriter(run, starts=False, log_writer=self.log_writer, ticker=self._ticker)

    async def claimable(self, most: int) -> list[str]:
        """Return sessions to claim runs of, up to so many.

        With those where it isn't known whether one was claimed, because the connection to the database broke at COMMIT.
        """
        return [*self._unsure, *await threads.run(lifecycle.claimable, most)]

    def claim(self, session: str, held: Container[str]) -> Coroutine[Any, Any, models.Run | None]:
        """Take the run of a session that waits, in the transaction of what was handed over just before.

        One at a time of a session; `held`: the runs that were taken before.
        """
        self._unsure.discard(session)
        return self._claimed(session, self.log_writer.change(session, lifecycle.claim, self.lease.worker, held))

    async def _claimed(self, session: str, claim: Awaitable[models.Run | None]) -> models.Run | None:
        try:
            return await claim
        except HoldfastError as problem:  # the session may have been deleted since
            if problem.kind.retryable:
                self._unsure.add(session)
            logger.debug("no run of %s was claimed: %s", session, problem.message)
            return None

    async def hand_back(self, run: models.Run) -> bool:
        """Let another worker have a run that nothing was written for. False when something was."""
        return await self.log_writer.change(run.session_id, lifecycle.hand_back, run.pk, self.lease.worker)

    def end_later(self, run: models.Run, chunk: dict[str, str]) -> None:
        """Have a response ended with this chunk as soon as the database takes it."""
        self._reaper.end_later(run, chunk)

    def take(self, session: str, sent: signals.Sent) -> Coroutine[Any, Any, signal_handlers.Receipt]:
        """Store a signal and do what it asks for, and let a run that it causes begin if an agent is free here."""
        taken = self.log_writer.change(session, signal_handlers.handle, sent)
        if self.claim_next is not None and sent.kind in signals.CAUSES:
            self.claim_next(session)
        return taken

    def signal_came(self) -> None:
        """A signal was stored: it may be for an agent at work here or elsewhere, or have a run wait to be claimed."""
        self._look_for_signals()
        self.fanout.signal_came()

    def _look_for_signals(self) -> None:
        self.inboxes.look_soon()
        self.runs_waiting.set()

    def _committed(self, committed: list[Frame]) -> None:
        self.feeds.deliver(committed)
        self.fanout.publish(committed)

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


def _spare_collections() -> None:
    """Have the garbage collector leave alone what was loaded at the start, and look less often at the rest.

    A token leaves no cycles but allocates enough to start a collection every few dozen, a tenth of the processor; and
    a full one walks all of Django, for 60 ms in which nothing else runs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


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
