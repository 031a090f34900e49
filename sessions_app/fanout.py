"""Frames, and news of signals, to and from other processes: the one module that touches the channel layer.

The layer carries hints. What it drops, duplicates or reorders is noticed by the feeds, so nothing here retries.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from channels.layers import InMemoryChannelLayer, get_channel_layer

from sessions_app import conf, metrics
from sessions_app.core.attachment import Frame
from sessions_app.models import new_id

logger = logging.getLogger(__name__)

SIGNALS = "holdfast.signals"  # the group of all processes; no shard has its name
NOBODY = "holdfast.nobody"  # a group that no process is in
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 5.0
JOIN_S = 1.0  # how long a reader waits for the layer before it is served by the tail check alone


def shard(session: str) -> str:
    """Return the group that carries a session's frames."""
    return f"holdfast.{zlib.crc32(session.encode()) % conf.FANOUT_SHARDS}"


class Fanout:
    """One process's end of the layer. With the in-memory layer there is nobody else to reach.

    `receive` is given the frames that other processes pass on; `signalled` is called when one has stored a signal.
    """

    def __init__(self, receive: Callable[[list[Frame]], None], signalled: Callable[[], None]) -> None:
        layer = get_channel_layer()
        self._layer: Any = None if isinstance(layer, InMemoryChannelLayer) else layer
        self._receive = receive
        self._signalled = signalled
        self._origin = new_id()
        self._channel = ""
        self._joined: set[str] = set()
        self._outgoing: asyncio.Queue[list[Frame] | None] = asyncio.Queue(maxsize=conf.FANOUT_BACKLOG)

    async def run(self) -> None:
        """Send and receive until cancelled."""
        if self._layer is not None:
            await asyncio.gather(self._send_forever(), self._receive_forever())

    async def join(self, session: str) -> None:
        """Hear of a session's frames from now on."""
        group = shard(session)
        if self._layer is not None and self._channel and group not in self._joined:
            self._joined.add(group)
            try:
                async with asyncio.timeout(JOIN_S):
                    await self._layer.group_add(group, self._channel)
            except Exception as error:
                # The tail check finds what this process doesn't hear of.
                self._joined.discard(group)
                logger.warning("can't hear of %s: %r", group, error)

    async def problem(self) -> str:
        """Say why other processes can't be told anything; empty when they can, or there are none."""
        if self._layer is not None:
            try:
                async with asyncio.timeout(JOIN_S):
                    await self._layer.group_send(NOBODY, {"type": "nothing"})
            except Exception as error:
                return type(error).__name__  # its text may hold the layer's address
        return ""

    def publish(self, frames: list[Frame]) -> None:
        """Pass frames on to the other processes. A layer that can't keep up loses hints, never a publisher's time."""
        self._put(frames)

    def signal_came(self) -> None:
        """Have the other processes look for signals, and for runs that wait."""
        self._put(None)

    def _put(self, news: list[Frame] | None) -> None:
        if self._layer is not None:
            if self._outgoing.full():
                self._outgoing.get_nowait()
                metrics.fanout_dropped.inc()
            self._outgoing.put_nowait(news)

    async def _send_forever(self) -> None:
        while True:
            frames = await self._outgoing.get()
            if frames is None:
                await self._send(SIGNALS, "signals", [])
                continue
            batches: dict[str, list[Frame]] = defaultdict(list)
            for frame in frames:
                batches[shard(frame.session)].append(frame)
            for group, batch in batches.items():
                await self._send(group, "frames", batch)

    async def _send(self, group: str, kind: str, batch: list[Frame]) -> None:
        try:
            message = {"type": kind, "origin": self._origin, "at": time.time()}
            await self._layer.group_send(group, message | {"frames": [list(frame) for frame in batch]})
            metrics.fanout_sent.inc()
        except Exception as error:
            metrics.fanout_failed.inc()
            logger.warning("%s were not passed on: %s", kind, error)

    async def _receive_forever(self) -> None:
        retry = RETRY_FIRST_S
        while True:
            try:
                await self._subscribe()
                while True:
                    message = await self._layer.receive(self._channel)
                    retry = RETRY_FIRST_S
                    if message["origin"] == self._origin:
                        continue
                    metrics.hint_lag.observe(max(0.0, time.time() - message["at"]))
                    if message["type"] == "signals":
                        self._signalled()
                    else:
                        self._receive([Frame(*frame) for frame in message["frames"]])
            except Exception as error:
                logger.warning("the channel layer failed, trying again in %.1f s: %s", retry, error)
                await asyncio.sleep(retry)
                retry = min(2 * retry, RETRY_MOST_S)

    async def _subscribe(self) -> None:
        self._channel = self._channel or await self._layer.new_channel("holdfast")
        for group in (SIGNALS, *self._joined):
            await self._layer.group_add(group, self._channel)
