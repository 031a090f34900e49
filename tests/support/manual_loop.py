"""A manual event loop: the part of one that a ticker needs, with a clock that the test turns."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class ManualLoop:
    """`turn_to` turns the clock."""

    def __init__(self) -> None:
        self._now = 100.0
        self._calls: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = count()

    def time(self) -> float:
        return self._now

    def call_soon(self, function: Callable[..., None], *arguments: Any) -> None:
        self.call_at(self._now, function, *arguments)

    def call_at(self, when: float, function: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._calls, (when, next(self._number), function, arguments))

    def turn_to(self, when: float) -> None:
        """Turn the clock, and call what is due on the way."""
        while self._calls and self._calls[0][0] <= when:
            due, _, function, arguments = heapq.heappop(self._calls)
            self._now = max(self._now, due)
            function(*arguments)
        self._now = when
