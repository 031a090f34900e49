"""Hints that wait for a channel layer: what a slow layer lets wait is joined, so that it takes no more messages later.

A message costs its sender a turn of the event loop, and each receiver a good tenth of a millisecond, whatever it holds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

from sessions_app.core.attachment import Frame

Message = dict[str, Any]

# Frames in a joined message, some 300 bytes each: reading it holds a receiver's loop for a few milliseconds.
MOST_FRAMES = 1024
MOST_BYTES = 1 << 20  # of their texts, and one message more


class Batch(NamedTuple):
    """A message for a group, and the number of hints that were joined in it."""

    group: str
    message: Message
    hints: int


class Outgoing:
    """A queue of messages for groups, at most so many. The messages of each group keep their order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[tuple[str, Message]] = deque()
        self._wake = asyncio.Event()

    def put(self, group: str, message: Message) -> int:
        """Add a message. Return the number of messages dropped for it: the oldest, or none."""
        dropped = len(self._waiting) >= self._most
        if dropped:
            self._waiting.popleft()
        self._waiting.append((group, message))
        self._wake.set()
        return int(dropped)

    def clear(self) -> int:
        """Drop all messages; return their number."""
        dropped = len(self._waiting)
        self._waiting.clear()
        return dropped

    async def take(self) -> Batch:
        """Wait for a message; return it joined with those that wait for the same group."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        group, message = self._waiting.popleft()
        if "frames" not in message:
            return Batch(group, message, 1)
        return self._joined(group, message)

    def _joined(self, group: str, message: Message) -> Batch:
        """Join frames of further messages, with the time of the first: its frames have waited longest."""
        frames, count = list(message["frames"]), 1
        size = _size(frames)
        others: deque[tuple[str, Message]] = deque()
        while self._waiting and len(frames) < MOST_FRAMES and size < MOST_BYTES:
            entry = self._waiting.popleft()
            if entry[0] == group and "frames" in entry[1]:
                frames += entry[1]["frames"]
                size += _size(entry[1]["frames"])
                count += 1
            else:
                others.append(entry)
        self._waiting.extendleft(reversed(others))
        return Batch(group, message | {"frames": frames}, count)


def _size(frames: list[Frame]) -> int:
    return sum(frame.size for frame in frames)
