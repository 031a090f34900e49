"""The flusher: one task that sends what is queued for all connections of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Protocol


class Sender(Protocol):
    """A connection with frames to send."""

    async def flush(self) -> None:
        """Send what is queued."""

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Do something in a task that ends with the connection."""


class Flusher:
    """Sends what is queued for all connections, in one task: a commit wakes one task, not one per reader.

    A client that doesn't read holds up nobody: where sending would have to wait, a task of its own goes on with it.
    """

    def __init__(self) -> None:
        self._ready: list[Sender] = []
        self._wake = asyncio.Event()

    def add(self, connection: Sender) -> None:
        self._ready.append(connection)
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self.send()

    def send(self) -> None:
        """Send what is queued, as far as that needs no waiting, and begin the rest."""
        ready, self._ready = self._ready, []
        for connection in ready:
            _begin(connection, connection.flush())


def _begin(connection: Sender, work: Coroutine[None, None, None]) -> None:
    """Do as much as needs no waiting, and only if there is more to do make a task of it."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        return
    connection.start(_go_on(work, waits_for))


async def _go_on(work: Coroutine[None, None, None], waits_for: object) -> None:
    await _Rest(work, waits_for)


class _Rest:
    """A coroutine that has begun and waits."""

    def __init__(self, work: Coroutine[None, None, None], waits_for: object) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, None, None]:
        yield self._waits_for
        yield from self._work.__await__()
