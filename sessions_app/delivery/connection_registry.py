"""The connection registry: all connections of one process, counted, kept alive, checked and ended."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Coroutine, Iterator

from sessions_app import conf
from sessions_app.auth import identity
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.delivery.connection import Connection
from sessions_app.delivery.feeds import Feeds
from sessions_app.delivery.flusher import Flusher
from sessions_app.telemetry import metrics

logger = logging.getLogger(__name__)

TICK_S = 1.0  # how exactly heartbeats, slow readers and the ends of streams are timed
SHORTEST_LIFE = 0.8  # of a stream, in STREAM_MS
SERVICE_RESTART = 1012  # close code (IANA registry): come back
CLOSE_PACE_S = 0.005  # between two sockets' close frames, at most, as under Daphne
ANSWER_S = 0.5  # for clients to answer a close frame: of that the server, which has it, doesn't tell


class ConnectionRegistry:
    """The connections of one process; their `Host`."""

    def __init__(self, feeds: Feeds, flusher: Flusher) -> None:
        self.feeds = feeds
        self.flusher = flusher
        self.closing = False  # no more are admitted
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._per_owner: Counter[str] = Counter()
        self._endings: set[asyncio.Task[None]] = set()

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._connections

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._connections))

    def __len__(self) -> int:
        return len(self._connections)

    # Beginning and end

    def admit(self, connection: Connection) -> None:
        """Count a connection in. Raises too_many_connections and going_away."""
        owner = connection.identity.owner
        self.check_room(owner)
        self._per_owner[owner] += 1
        self._connections.add(connection)
        metrics.opened.labels(connection.transport).inc()
        logger.debug("a connection opened: %s", connection.transport, extra={"connection": connection.id})
        now = self._loop.time()
        if connection.transport in ("poll", "upload"):
            connection.heartbeat_at = math.inf  # a poll's answer ends with one, if it brings nothing else
        else:
            connection.heartbeat_at = now + connection.heartbeat_ms / 1000
        if connection.transport == "stream":
            # Not all at once, of the streams that a server began when it started.
            connection.ends_at = now + random.uniform(SHORTEST_LIFE, 1) * conf.settings.stream_ms / 1000

    def check_room(self, owner: str) -> None:
        """Raise what `admit` would raise for one more connection of this owner."""
        if self.closing:
            raise HoldfastError("going_away")
        if self._per_owner[owner] >= conf.settings.connections_per_owner:
            raise HoldfastError("too_many_connections", f"at most {conf.settings.connections_per_owner}")

    def dismiss(self, connection: Connection, ended: str = "over") -> None:
        """Count a connection out. `ended`: how it did, if it wasn't told to."""
        connection.leave()
        if connection in self._connections:
            self._connections.discard(connection)
            metrics.closed.labels(connection.transport, connection.told or ended).inc()
            logger.debug("a connection ended: %s", connection.told or ended, extra={"connection": connection.id})
            owner = connection.identity.owner
            self._per_owner[owner] -= 1
            if not self._per_owner[owner]:
                del self._per_owner[owner]

    def spawn(self, ending: Coroutine[None, None, None]) -> None:
        """End a connection, in a task that isn't its own: a client that doesn't read must not hold up the others."""
        task = self._loop.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._endings.discard(task)
        if not task.cancelled() and task.exception():
            logger.debug("a connection's end: %s", task.exception())

    # While they last

    async def tick(self) -> None:
        """Send heartbeats, end slow readers, and end streams whose time is over. Call it every TICK_S."""
        now = self._loop.time()
        for connection in self:
            if connection.is_slow(now):
                self.spawn(connection.fail(HoldfastError("slow_reader")))
            elif connection.ends_at <= now:
                self.spawn(connection.send_away(0))
            elif connection.heartbeat_at <= now + TICK_S:  # rather early than late
                connection.heartbeat_at = now + connection.heartbeat_ms / 1000
                connection.queue(connection.heartbeat())

    async def check_identities(self) -> None:
        """End the connections whose token has expired or was revoked, and those of people who have signed out."""
        there = {connection.identity for connection in self}
        if there:
            valid = await threads.run(identity.still_valid, there)
            for connection in self:
                if connection.identity in there - valid:
                    by_token = connection.identity.grant is not None
                    self.spawn(connection.fail(HoldfastError("token_expired" if by_token else "signed_out")))

    # When the process stops

    def send_all_away(self) -> None:
        """Admit no more, and tell every client to come back, spread over DRAIN_MS: the next process isn't flooded."""
        self.closing = True
        for connection in self:
            connection.go_away(random.randrange(conf.settings.drain_ms + 1))
        self.flusher.send()

    async def finish_responses(self) -> None:
        """End the streams and polls, which keep the server until they end. Sockets are the server's to close."""
        await asyncio.gather(*(connection.finish() for connection in self if connection.transport != "websocket"))

    async def close_sockets(self, within_s: float) -> None:
        """Close all WebSockets, spread over at most so many seconds, and let their clients answer."""
        sockets = [connection for connection in self if connection.transport == "websocket"]
        random.shuffle(sockets)
        for connection in sockets:
            self.spawn(connection.finish(SERVICE_RESTART))
            await asyncio.sleep(min(CLOSE_PACE_S, within_s / len(sockets)))
        if sockets:
            await asyncio.sleep(ANSWER_S)
