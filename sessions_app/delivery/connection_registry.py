"""The connection registry: all connections of one process, counted, kept alive, checked and ended."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Iterator

from sessions_app import conf
from sessions_app.auth import identity
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.delivery.connection import Connection
from sessions_app.delivery.feeds import Feeds
from sessions_app.delivery.flusher import Flusher, Work
from sessions_app.fairness.answers import Answers
from sessions_app.fairness.payer import Payer
from sessions_app.telemetry import metrics

logger = logging.getLogger(__name__)

TICK_S = 1.0  # resolution of heartbeats, slow-reader checks and stream lifetimes
MIN_LIFETIME = 0.8  # of a stream, as a fraction of STREAM_MS
SERVICE_RESTART = 1012  # close code (IANA registry): reconnect
CLOSE_PACE_S = 0.005  # maximum pause between two close frames, as under Daphne
AT_ONCE = 500  # connections that are looked at in one turn of the loop, in a tenth of a millisecond or two
ANSWER_S = 0.5  # for clients to answer a close frame; the ASGI server doesn't report the answer


class ConnectionRegistry:
    """All connections of one process; implements their `Host`."""

    def __init__(self, feeds: Feeds, flusher: Flusher) -> None:
        self.feeds = feeds
        self.flusher = flusher
        self.closing = False  # no new connections are admitted
        self._loop = asyncio.get_running_loop()
        self._connections: dict[Connection, Payer] = {}  # each with whom it was admitted for; its token may change
        self.answers = Answers()
        self._per_owner: Counter[str] = Counter()
        self._per_address: Counter[str] = Counter()
        self._endings: set[asyncio.Task[None]] = set()

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._connections

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._connections))

    def __len__(self) -> int:
        return len(self._connections)

    # Opening and closing

    def admit(self, connection: Connection) -> None:
        """Add a connection. Raises too_many_connections and going_away."""
        payer = connection.payer
        self.check_room(payer)
        self._connections[connection] = payer
        for counts, key in self._counted(payer):
            counts[key] += 1
        metrics.opened.labels(connection.transport).inc()
        logger.debug("a connection opened: %s", connection.transport, extra={"connection": connection.id})
        now = self._loop.time()
        if connection.transport in ("poll", "upload"):
            connection.heartbeat_at = math.inf  # a poll response without news ends with a heartbeat
        else:
            connection.heartbeat_at = now + connection.heartbeat_ms / 1000
        if connection.transport == "stream":
            # Randomized, or the streams opened when the server started would all end at once.
            connection.ends_at = now + random.uniform(MIN_LIFETIME, 1) * conf.settings.stream_ms / 1000

    def check_room(self, payer: Payer) -> None:
        """Raise like `admit` if this person, or another one at this address, can't open another connection."""
        if self.closing:
            raise HoldfastError("going_away")
        of_one = conf.settings.connections_per_owner
        if self._per_owner[payer.owner] >= of_one:
            raise HoldfastError("too_many_connections", f"at most {of_one}")
        of_address = of_one * conf.settings.people_per_address
        if not payer.is_backend and self._per_address[payer.address] >= of_address:
            raise HoldfastError("too_many_connections", f"at most {of_address} from one address")

    def dismiss(self, connection: Connection, ended: str = "over") -> None:
        """Remove a connection. `ended` is the reason if this process didn't end it."""
        connection.leave()
        if connection in self._connections:
            payer = self._connections.pop(connection)
            metrics.closed.labels(connection.transport, connection.end_reason or ended).inc()
            logger.debug("a connection ended: %s", connection.end_reason or ended, extra={"connection": connection.id})
            for counts, key in self._counted(payer):
                counts[key] -= 1
                if not counts[key]:
                    del counts[key]

    def _counted(self, payer: Payer) -> list[tuple[Counter[str], str]]:
        by_address = [] if payer.is_backend else [(self._per_address, payer.address)]
        return [(self._per_owner, payer.owner), *by_address]

    def spawn(self, ending: Work) -> None:
        """End a connection in a separate task: a client that doesn't read must not delay the others."""
        task = self._loop.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._endings.discard(task)
        if not task.cancelled() and task.exception():
            logger.debug("a connection's end: %s", task.exception())

    # Maintenance

    async def tick(self) -> None:
        """Send heartbeats, charge, and end slow readers and streams past their lifetime. Call it every TICK_S."""
        now = self._loop.time()
        for number, connection in enumerate(self, 1):
            self._look_at(connection, now)
            if not number % AT_ONCE:
                await asyncio.sleep(0)

    def _look_at(self, connection: Connection, now: float) -> None:
        connection.charge_delivered()
        if connection.closed:
            return
        if connection.is_slow(now):
            self.spawn(connection.fail(HoldfastError("slow_reader")))
        elif connection.ends_at <= now:
            self.spawn(connection.send_away(0))
        elif connection.heartbeat_at <= now + TICK_S:  # early rather than late
            connection.heartbeat_at = now + connection.heartbeat_ms / 1000
            connection.queue(connection.heartbeat())

    async def check_identities(self) -> None:
        """End connections whose token has expired or was revoked, or whose user has signed out."""
        checked = {connection.identity for connection in self if connection.identity.may_end}
        ended = checked - await threads.run(identity.still_valid, checked) if checked else checked
        if not ended:
            return
        for connection in self:
            if connection.identity in ended:
                by_token = connection.identity.grant is not None
                self.spawn(connection.fail(HoldfastError("token_expired" if by_token else "signed_out")))

    # Shutdown

    def send_all_away(self) -> None:
        """Admit no more, and tell all clients to reconnect, spread over DRAIN_MS to spare the next process."""
        self.closing = True
        for connection in self:
            connection.go_away(random.randrange(conf.settings.drain_ms + 1))
        self.flusher.send()

    async def finish_responses(self) -> None:
        """End streams and polls, which the server waits for. The server itself closes WebSockets."""
        await asyncio.gather(*(connection.finish() for connection in self if connection.transport != "websocket"))

    async def close_sockets(self, within_s: float) -> None:
        """Close all WebSockets, spread over at most `within_s`, and give clients time to answer."""
        sockets = [connection for connection in self if connection.transport == "websocket"]
        random.shuffle(sockets)
        for connection in sockets:
            self.spawn(connection.finish(SERVICE_RESTART))
            await asyncio.sleep(min(CLOSE_PACE_S, within_s / len(sockets)))
        if sockets:
            await asyncio.sleep(ANSWER_S)
