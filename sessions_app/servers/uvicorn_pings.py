"""Pings of all sockets under uvicorn that are due at about the same time: a timer for each would take 0.7 KiB."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol
from weakref import WeakKeyDictionary

RESOLUTION_S = 0.25  # by which a ping may be late
AT_ONCE = 100  # pings in one turn of the loop, a millisecond or two


class Pinged(Protocol):
    """Interface of a socket as its pings use it."""

    def send_keepalive_ping(self) -> None:
        """Send a ping."""


class PingTimers:
    """The pings of one event loop, by the time at which they are due."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[int, set[Pinged]] = {}

    def add(self, socket: Pinged, delay_s: float) -> set[Pinged]:
        """Ping a socket after a time, unless it is removed from the returned set before."""
        moment = math.ceil((self._loop.time() + delay_s) / RESOLUTION_S)
        sockets = self._due.get(moment)
        if sockets is None:
            sockets = self._due[moment] = set()
            self._loop.call_at(moment * RESOLUTION_S, self._ping, moment)
        sockets.add(socket)
        return sockets

    def _ping(self, moment: int) -> None:
        sockets = self._due[moment]
        for _ in range(min(len(sockets), AT_ONCE)):
            sockets.pop().send_keepalive_ping()
        if sockets:
            self._loop.call_soon(self._ping, moment)
        else:
            del self._due[moment]


_timers: WeakKeyDictionary[asyncio.AbstractEventLoop, PingTimers] = WeakKeyDictionary()


def of(loop: asyncio.AbstractEventLoop) -> PingTimers:
    """Return the pings of an event loop."""
    timers = _timers.get(loop)
    if timers is None:
        timers = _timers[loop] = PingTimers(loop)
    return timers
