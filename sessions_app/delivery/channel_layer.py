"""Frames, and news of signals, to and from other processes: the one module that touches channel layers.

A layer carries hints. What it drops, duplicates or reorders is noticed by the feeds, so nothing here is sent twice, and
nobody waits for a layer that hangs. A subscription may die without a word (channels-redis' reader ends at some errors,
a Redis that was replaced may leave its old connections open): so each process also speaks to itself, and makes the
subscription anew when it doesn't hear itself any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from channels.layers import InMemoryChannelLayer, channel_layers
from prometheus_client import Counter

from sessions_app import conf
from sessions_app.core.attachment import Frame
from sessions_app.models import new_id
from sessions_app.telemetry import metrics

logger = logging.getLogger(__name__)

SIGNALS = "holdfast.signals"  # the group of all processes; no shard has its name
FRAME_TYPES = (str, str, int, int, str, int)
SEND_S = 1.0  # how long a layer may take for a message: after so long the tail check has told what it says
JOIN_S = 1.0  # how long a reader waits for the layer before it is served by the tail check alone
FLUSH_S = 3.0  # above SEND_S: channels-redis closes its connections when what it sends has ended
ECHO_S = 1.0  # how often a process speaks to itself
ECHOES = 3  # that don't come back, of those that were sent: the subscription is dead
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 5.0

Message = dict[str, Any]


def shard(session: str) -> int:
    """Return the number of the group that carries a session's frames."""
    return zlib.crc32(session.encode()) % conf.settings.fanout_shards


def group_of(number: int) -> str:
    return f"holdfast.{number}"


class Fanout:
    """One process's end of the layers. With the in-memory layer there is nobody else to reach.

    `receive` is given the frames that other processes pass on; `signalled` is called when one has stored a signal.
    """

    def __init__(self, receive: Callable[[list[Frame]], None], signalled: Callable[[], None]) -> None:
        # Layers of its own: to make one anew must not concern others in this process who use the site's.
        layers = [channel_layers.make_backend(name) for name in conf.settings.fanout_layers]
        self.endpoints = [
            LayerEndpoint(layer, self._take) for layer in layers if not isinstance(layer, InMemoryChannelLayer)
        ]
        self._receive = receive
        self._signalled = signalled
        self._origin = new_id()
        self._differs = False  # whether another process was heard of that has another number of shards

    @property
    def problem(self) -> str:
        """Why other processes can't be told anything; empty when they can, or there are none."""
        return next((endpoint.problem for endpoint in self.endpoints if endpoint.problem), "")

    @property
    def lost(self) -> int:
        """How many hints were not passed on since the start."""
        return sum(endpoint.lost for endpoint in self.endpoints)

    async def run(self) -> None:
        """Send and receive until cancelled."""
        await asyncio.gather(*(endpoint.run() for endpoint in self.endpoints))

    async def join(self, session: str) -> None:
        """Hear of a session's frames from now on."""
        if self.endpoints:
            number = shard(session)
            await self._endpoint(number).join(group_of(number))

    def publish(self, frames: list[Frame]) -> None:
        """Pass frames on to the other processes. A layer that can't keep up loses hints, never a publisher's time."""
        if not self.endpoints:
            return
        shards: dict[int, list[Frame]] = defaultdict(list)
        for frame in frames:
            shards[shard(frame.session)].append(frame)
        outgoing: dict[LayerEndpoint, list[tuple[str, Message]]] = defaultdict(list)
        for number, batch in shards.items():
            outgoing[self._endpoint(number)].append((group_of(number), self._message("frames", frames=batch)))
        for endpoint, messages in outgoing.items():
            endpoint.put(messages)

    def signal_came(self) -> None:
        """Have the other processes look for signals, and for runs that wait."""
        if self.endpoints:
            self.endpoints[0].put([(SIGNALS, self._message("signals", shards=conf.settings.fanout_shards))])

    def _endpoint(self, number: int) -> LayerEndpoint:
        return self.endpoints[number % len(self.endpoints)]

    def _message(self, kind: str, **more: object) -> Message:
        return {"type": kind, "origin": self._origin, "at": time.time(), **more}

    def _take(self, message: Message) -> None:
        """Take what came from a layer. Raises ValueError, TypeError or KeyError when it is malformed."""
        if message["origin"] in (self._origin, ""):
            return  # one's own, or an echo
        metrics.hint_lag.observe(max(0.0, time.time() - message["at"]))
        if message["type"] == "frames":
            self._receive([_frame(each) for each in message["frames"]])
        elif message["type"] == "signals":
            self._compare(message["shards"])
            self._signalled()

    def _compare(self, shards: int) -> None:
        if shards != conf.settings.fanout_shards and not self._differs:
            self._differs = True
            logger.warning(
                "another process has %s shards, this one %s: live frames come late. Give all the same FANOUT_SHARDS.",
                shards, conf.settings.fanout_shards,
            )  # fmt: skip


class LayerEndpoint:
    """One process's end of one layer: with Redis, of one server. Layers don't wait for one another.

    `take` is given each message, and may raise when it is malformed. `lost` counts what was not sent; `problem` says
    why nothing can be sent, as it was a second ago.
    """

    def __init__(self, layer: Any, take: Callable[[Message], None]) -> None:
        self.lost = 0
        self.problem = "not connected yet"
        self._fails = False  # whether the last message could not be sent
        self._layer = layer
        self._take = take
        self._channel = ""  # empty while nothing can be heard
        self._groups = {SIGNALS}  # to hear of
        self._joined: set[str] = set()
        self._outgoing: asyncio.Queue[list[tuple[str, Message]]] = asyncio.Queue(maxsize=conf.settings.fanout_backlog)
        self._unanswered = 0  # echoes that were sent since something came
        self._retry_s = RETRY_FIRST_S

    async def run(self) -> None:
        """Send and receive until cancelled."""
        await asyncio.gather(self._send_forever(), self._hear_forever())

    async def join(self, group: str) -> None:
        """Hear of a group: from now on, or from when the layer works again."""
        if group in self._groups:
            return
        self._groups.add(group)
        if self._channel and not self.problem:
            try:
                await self._join()
            except Exception as error:
                logger.warning("can't hear of %s yet: %r", group, error)

    # Sending

    def put(self, messages: list[tuple[str, Message]]) -> None:
        """Have a commit's messages sent. The oldest of too many is lost."""
        if self._outgoing.full():
            self._lose(len(self._outgoing.get_nowait()), metrics.fanout_dropped)
        self._outgoing.put_nowait(messages)

    async def _send_forever(self) -> None:
        while True:
            for group, message in await self._outgoing.get():
                if await self._send(self._layer.group_send(group, message)):
                    metrics.fanout_sent.inc()
                else:
                    self._lose(1, metrics.fanout_failed)
                    self._drop_what_waits()

    def _drop_what_waits(self) -> None:
        """It has waited for as long as a failure takes: the tail checks of the others were faster."""
        while not self._outgoing.empty():
            self._lose(len(self._outgoing.get_nowait()), metrics.fanout_dropped)

    def _lose(self, messages: int, counter: Counter) -> None:
        self.lost += messages
        counter.inc(messages)

    async def _send(self, sending: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(SEND_S):
                await sending
        except Exception as error:
            if not self._fails:
                logger.warning("the channel layer fails, others hear by their tail checks: %r", error)
            self._fails = True
            self.problem = type(error).__name__  # its text may hold the layer's address
            return False
        if self._fails:
            logger.warning("the channel layer works again; hints lost since the start: %d", self.lost)
        self._fails = False
        self.problem = ""
        return True

    # Hearing

    async def _hear_forever(self) -> None:
        while True:
            try:
                await self._hear()
            except Exception as error:
                logger.warning("can't hear of others, trying again in %.1f s: %r", self._retry_s, error)
            await asyncio.sleep(self._retry_s)
            self._retry_s = min(2 * self._retry_s, RETRY_MOST_S)

    async def _hear(self) -> None:
        """Take what comes. Raises when the layer fails, or brings nothing though this process speaks to itself."""
        listening: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(JOIN_S):
                self._channel = await self._layer.new_channel("holdfast")
            listening = asyncio.create_task(self._listen(self._channel))
            while not listening.done():
                await self._join()
                await self._echo()
                await asyncio.wait({listening}, timeout=ECHO_S)
            listening.result()
        finally:
            self._channel, self._joined, self._unanswered = "", set(), 0
            await self._flush()
            if listening is not None:
                listening.cancel()  # after the flush: or channels-redis would first unsubscribe, and might hang

    async def _listen(self, channel: str) -> None:
        while True:
            try:
                message = await self._layer.receive(channel)
                self._unanswered, self._retry_s = 0, RETRY_FIRST_S
                self._take(message)
            except (ValueError, TypeError, KeyError) as error:
                logger.warning("a message of the channel layer is malformed, and left out: %r", error)

    async def _join(self) -> None:
        async with asyncio.timeout(JOIN_S):
            for group in self._groups - self._joined:
                await self._layer.group_add(group, self._channel)
                self._joined.add(group)

    async def _echo(self) -> None:
        if self._unanswered >= ECHOES:
            raise ConnectionError(f"{ECHOES} messages to this process itself were sent, and none came")
        if await self._send(self._layer.send(self._channel, {"type": "echo", "origin": ""})):
            self._unanswered += 1

    async def _flush(self) -> None:
        """Close the layer's connections. It makes others when it is used again."""
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._layer.flush()
        except Exception as error:
            logger.warning("the channel layer's connections could not be closed: %r", error)


def _frame(values: Any) -> Frame:
    frame = Frame(*values)
    if tuple(map(type, frame)) != FRAME_TYPES:
        raise TypeError(f"not a frame: {tuple(map(type, frame))}")
    return frame
