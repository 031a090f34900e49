"""Fan-out of frames and signal hints to other processes. The only module that uses channel layers.

A layer carries hints. Feeds notice what it drops, duplicates or reorders, so nothing is sent twice here, and no caller
waits for a layer that hangs. A layer's subscription can die silently: channels-redis' reader ends at some errors, and a
replaced Redis may leave its old connections open. So each process also sends echoes to itself, and resubscribes when
they stop coming back.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from channels.layers import InMemoryChannelLayer, channel_layers
from prometheus_client import Counter

from sessions_app import conf
from sessions_app.core.attachment import Frame
from sessions_app.delivery.outgoing_hints import Message, Outgoing
from sessions_app.models import new_id
from sessions_app.telemetry import metrics

logger = logging.getLogger(__name__)

SIGNALS = "holdfast.signals"  # group of all processes; shard groups are numbered
FRAME_TYPES = (str, str, int, int, str, int)
SEND_S = 1.0  # timeout for a message; by then the tail check has delivered its content
JOIN_S = 1.0  # timeout for joining a group; the tail check alone serves the reader after it
FLUSH_S = 3.0  # above SEND_S, since channels-redis closes its connections after pending sends
ECHO_S = 1.0  # interval of echoes
MAX_UNANSWERED = 3  # echoes in a row; after that the subscription counts as dead
RETRY_MIN_S, RETRY_MAX_S = 0.1, 5.0


def shards() -> int:
    """Return the number of shards on all layers together."""
    return conf.settings.fanout_shards * len(conf.settings.fanout_layers)


def shard(session: str) -> int:
    """Return a session's shard: the number of the group that carries its frames."""
    return zlib.crc32(session.encode()) % shards()


def group_of(number: int) -> str:
    return f"holdfast.{number}"


class Fanout:
    """A process's connection to the channel layers. In-memory layers are left out: they reach no other process.

    `receive` gets the frames of other processes; `on_signal` is called when one of them has stored a signal.
    """

    def __init__(self, receive: Callable[[list[Frame]], None], on_signal: Callable[[], None]) -> None:
        # Separate instances of the layers: reconnecting them must not affect other users in this process.
        layers = [channel_layers.make_backend(name) for name in conf.settings.fanout_layers]
        self.endpoints = [
            LayerEndpoint(layer, self._handle) for layer in layers if not isinstance(layer, InMemoryChannelLayer)
        ]
        self._receive = receive
        self._on_signal = on_signal
        self._origin = new_id()
        self._differs = False  # another process has a different number of shards

    @property
    def problem(self) -> str:
        """Reason why other processes can't be reached; empty if they can, or if there are none."""
        return next((endpoint.problem for endpoint in self.endpoints if endpoint.problem), "")

    @property
    def lost(self) -> int:
        """Number of hints lost since the start."""
        return sum(endpoint.lost for endpoint in self.endpoints)

    async def run(self) -> None:
        """Send and receive until cancelled."""
        await asyncio.gather(*(endpoint.run() for endpoint in self.endpoints))

    async def join(self, session: str) -> None:
        """Receive a session's frames from now on."""
        if self.endpoints:
            number = shard(session)
            await self._endpoint(number).join(group_of(number))

    def publish(self, frames: list[Frame]) -> None:
        """Send frames to the other processes without waiting. A layer that can't keep up loses hints."""
        if not self.endpoints:
            return
        batches: dict[int, list[Frame]] = defaultdict(list)
        for frame in frames:
            batches[shard(frame.session)].append(frame)
        for number, batch in batches.items():
            self._endpoint(number).put(group_of(number), self._message("frames", frames=batch))

    def announce_signal(self) -> None:
        """Make the other processes check for signals and for waiting runs."""
        if self.endpoints:
            self.endpoints[0].put(SIGNALS, self._message("signals", shards=shards()))

    def _endpoint(self, number: int) -> LayerEndpoint:
        return self.endpoints[number % len(self.endpoints)]

    def _message(self, kind: str, **more: object) -> Message:
        return {"type": kind, "origin": self._origin, "at": time.time(), **more}

    def _handle(self, message: Message) -> None:
        """Handle a message of a layer. Raises ValueError, TypeError or KeyError if it is malformed."""
        if message["origin"] in (self._origin, ""):
            return  # sent by this process, or an echo
        metrics.hint_lag.observe(max(0.0, time.time() - message["at"]))
        if message["type"] == "frames":
            self._receive([_frame(each) for each in message["frames"]])
        elif message["type"] == "signals":
            self._compare(message["shards"])
            self._on_signal()

    def _compare(self, others: int) -> None:
        if others != shards() and not self._differs:
            self._differs = True
            logger.warning(
                "another process has %s shards, this one %s: live frames are late. Set one FANOUT_SHARDS for all.",
                others, shards(),
            )  # fmt: skip


class LayerEndpoint:
    """A process's connection to one layer, which with Redis is one server. Endpoints don't wait for one another.

    `handle` gets each message, and may raise if it is malformed. `lost` counts messages that weren't sent; `problem` is
    the reason why none can be sent, at most a second old.
    """

    def __init__(self, layer: Any, handle: Callable[[Message], None]) -> None:
        self.lost = 0
        self.problem = "not connected yet"
        self._fails = False  # the last send failed
        self._layer = layer
        self._handle = handle
        self._channel = ""  # empty while not subscribed
        self._groups = {SIGNALS}  # wanted; `_joined` has those that the layer knows
        self._joined: set[str] = set()
        self._outgoing = Outgoing(conf.settings.fanout_backlog)
        self._unanswered = 0  # echoes sent since the last message came
        self._retry_s = RETRY_MIN_S

    async def run(self) -> None:
        """Send and receive until cancelled."""
        await asyncio.gather(self._send_forever(), self._receive_forever())

    async def join(self, group: str) -> None:
        """Join a group now, or as soon as the layer works again."""
        if group in self._groups:
            return
        self._groups.add(group)
        if self._channel and not self.problem:
            try:
                await self._join()
            except Exception as error:
                logger.warning("can't join %s yet: %r", group, error)

    # Sending

    def put(self, group: str, message: Message) -> None:
        """Queue a message. A full queue drops its oldest one."""
        self._lose(self._outgoing.put(group, message), metrics.fanout_dropped)

    async def _send_forever(self) -> None:
        while True:
            group, message, count = await self._outgoing.take()
            if await self._send(self._layer.group_send(group, message)):
                metrics.fanout_sent.inc()
            else:
                self._lose(count, metrics.fanout_failed)
                # Meanwhile, the other processes' tail checks were faster than what waits.
                self._lose(self._outgoing.clear(), metrics.fanout_dropped)

    def _lose(self, messages: int, counter: Counter) -> None:
        self.lost += messages
        counter.inc(messages)

    async def _send(self, sending: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(SEND_S):
                await sending
        except Exception as error:
            if not self._fails:
                logger.warning("the channel layer fails; other processes rely on their tail checks: %r", error)
            self._fails = True
            self.problem = type(error).__name__  # its text may hold the layer's address
            return False
        if self._fails:
            logger.warning("the channel layer works again; hints lost since the start: %d", self.lost)
        self._fails = False
        self.problem = ""
        return True

    # Receiving

    async def _receive_forever(self) -> None:
        while True:
            try:
                await self._receive()
            except Exception as error:
                logger.warning("can't receive from other processes, trying again in %.1f s: %r", self._retry_s, error)
            await asyncio.sleep(self._retry_s)
            self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)

    async def _receive(self) -> None:
        """Handle messages. Raises when the layer fails, or no longer delivers this process's own echoes."""
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
                listening.cancel()  # after the flush; before it, channels-redis would unsubscribe, and could hang

    async def _listen(self, channel: str) -> None:
        while True:
            try:
                message = await self._layer.receive(channel)
                self._unanswered, self._retry_s = 0, RETRY_MIN_S
                self._handle(message)
            except (ValueError, TypeError, KeyError) as error:
                logger.warning("ignored a malformed message of the channel layer: %r", error)

    async def _join(self) -> None:
        async with asyncio.timeout(JOIN_S):
            for group in self._groups - self._joined:
                await self._layer.group_add(group, self._channel)
                self._joined.add(group)

    async def _echo(self) -> None:
        if self._unanswered >= MAX_UNANSWERED:
            raise ConnectionError(f"{MAX_UNANSWERED} echoes to this process were sent, none came back")
        if await self._send(self._layer.send(self._channel, {"type": "echo", "origin": ""})):
            self._unanswered += 1

    async def _flush(self) -> None:
        """Close the layer's connections. The layer opens new ones when it is used again."""
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._layer.flush()
        except Exception as error:
            logger.warning("couldn't close the channel layer's connections: %r", error)


def _frame(values: Iterable[Any]) -> Frame:
    frame = Frame(*values)
    if tuple(map(type, frame)) != FRAME_TYPES:
        raise TypeError(f"not a frame: {tuple(map(type, frame))}")
    return frame
