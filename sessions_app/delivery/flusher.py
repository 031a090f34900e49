"""The flusher: one task that sends the queued frames of all connections of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Protocol

Work = Coroutine[object, None, None]  # of a task


class Sender(Protocol):
    """A connection with frames to send."""

    async def flush(self) -> None:
        """Send the queued frames."""

    def start(self, work: Work) -> None:
        """Run work in a background task that ends with the connection."""


class Flusher:
    """Sends the queued frames of all connections in one task, so a commit wakes one task, not one per reader.

    A client that doesn't read delays no other: where a send would have to wait, a task of its own continues it.
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
        """Send all queued frames that need no waiting, and start tasks for the others."""
        ready, self._ready = self._ready, []
        for connection in ready:
            _start(connection, connection.flush())


def _start(connection: Sender, work: Work) -> None:
    """Run a coroutine up to its first wait, and make a task only if it has one."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        return
    connection.start(_resume(work, waits_for))


async def _resume(work: Work, waits_for: object) -> None:
    await _Started(work, waits_for)


class _Started:
    """Awaitable for a coroutine that has started and is waiting."""

    def __init__(self, work: Work, waits_for: object) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[object, None, None]:
        yield self._waits_for
        yield from self._work.__await__()
