"""Ticker: sends what the responses of a process have at common moments, so that one commit takes much of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from sessions_app.core.rollup_window import RollupWindow

# Between two moments, in seconds. A commit costs the processor as much as the rows of 30 responses, so they share one;
# but all in one moment would wait for each other.
MOMENT_S = 0.016

Send = Callable[[], None]


class Ticker:
    """The ticker of one process. `window` says how long a response's text waits, from `least_ms` to `most_ms`.

    `distant`: it is stored at another site. `cpu`: counts the process's seconds of CPU time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        least_ms: int,
        most_ms: int,
        *,
        distant: bool = False,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        most = max(least_ms, most_ms) / 1000 - MOMENT_S
        self.window = RollupWindow(least_ms / 1000, most, cpu, distant=distant)
        self.now = loop.time
        self._loop = loop
        self._due: dict[int, list[Send]] = {}  # by the moment's number

    def soon(self, send: Send) -> float:
        """Call `send` when the caller's task yields. Return that time."""
        self._loop.call_soon(send)
        return self.now()

    def after(self, hold: float, send: Send) -> float:
        """Call `send` at the first moment after these seconds. Return that time."""
        moment = math.ceil((self.now() + hold) / MOMENT_S)
        due = self._due.get(moment)
        if due is None:
            due = self._due[moment] = []
            self._loop.call_at(moment * MOMENT_S, self._tick, moment)
        due.append(send)
        return moment * MOMENT_S

    def _tick(self, moment: int) -> None:
        self.window.observe_lag(self.now() - moment * MOMENT_S)
        for send in self._due.pop(moment):
            send()
