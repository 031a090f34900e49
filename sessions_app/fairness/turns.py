"""Turns: at most so many at once for each key, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Queue:
    __slots__ = ("places", "users")

    def __init__(self, most: int) -> None:
        self.places = asyncio.Semaphore(most)  # first come, first served
        self.users = 0


class Turns:
    """Turns of one event loop. Only keys in use take memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queues: dict[str, _Queue] = {}

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for a turn of this key, and hold it."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(self._most)
        queue.users += 1
        try:
            async with queue.places:
                yield
        finally:
            queue.users -= 1
            if not queue.users:
                del self._queues[key]

    def count(self, key: str) -> int:
        """Return how many have or wait for a turn of this key."""
        queue = self._queues.get(key)
        return queue.users if queue else 0
