"""Roll-up window: how long a response's text may wait for more, so that one commit stores both. It follows the load."""

from __future__ import annotations

import math
from collections.abc import Callable

# What a batch takes on its way, times this, is added to the window: a process whose commits take 5 ms joins text for
# 20 ms more. Joined text makes fewer commits, which then take less: the window settles where both agree.
FACTOR = 4
PERIOD_S = 0.1  # of one measurement
WEIGHT = 0.3  # of a measurement in the mean: half of a change in load is followed within 0.2 s
JITTER = 1.25  # the next text may come this much later than expected
# Of a processor, used by the process: beyond it the interpreter's lock is never free for long, and what is due waits.
FULL = 0.85


class RollupWindow:
    """The window of one process. Times are in seconds, by one clock.

    `least`: what the operator set; `most`: the longest from the writing of a text until its readers have it, unless its
    own way takes longer. `distant`: batches cross a network, whose time is no load.
    `delay`: a mean of what batches take from the end of their wait until they are stored. `lag`: of how late the event
    loop is with what is due. `share`: of a processor that the process uses, by `cpu`, which counts its seconds.
    """

    def __init__(self, least: float, most: float, cpu: Callable[[], float], *, distant: bool = False) -> None:
        self.seconds = least
        self.delay = self.lag = self.share = 0.0
        self._cpu = cpu
        self._used = cpu()  # when the measurement began
        self._least = least
        self._most = max(least, most)
        self._network = math.inf if distant else 0.0
        self._ends_at = 0.0  # of the measurement
        self._delays = _Mean()
        self._lags = _Mean()

    def observe(self, delay: float, now: float) -> None:
        """Take into account what a batch took from the end of its wait until it was stored and shown."""
        if now >= self._ends_at:
            self._settle(now)
        self._delays.add(delay)

    def observe_lag(self, lag: float) -> None:
        """Take into account how late the event loop was with something that was due."""
        self._lags.add(lag)

    def hold(self, interval: float) -> float:
        """Return how long to hold a text if others of its response come at this interval.

        It is a whole number of intervals: the rest of the window would bring no more. 0 if not even one fits. On a full
        processor it is all of the window: who writes is late, too, and has the more time the fewer batches there are.
        """
        if self.share > FULL:
            return self.seconds
        interval *= JITTER
        return self.seconds if interval <= 0 else self.seconds // interval * interval

    def _settle(self, now: float) -> None:
        delay, lag = self._delays.take(), self._lags.take()
        used, since = self._cpu(), self._ends_at - PERIOD_S
        if now >= self._ends_at + 10 * PERIOD_S:
            # A process that has written nothing for long begins as one that has nothing to do.
            self.delay = self.lag = self.share = 0.0
        else:
            self.share += WEIGHT * ((used - self._used) / (now - since) - self.share)
            self.delay += WEIGHT * (delay - self.delay)
            self.lag += WEIGHT * (lag - self.lag)
            self._network = min(self._network, delay or math.inf)
        load = max(0.0, self.delay - self._network)
        # A slow disk leaves less of the bound. A full processor doesn't: with a narrower window it would have more to
        # do. A batch meets its lag twice, before it is submitted and when it is stored.
        disk = 0.0 if self.share > FULL else max(0.0, self.delay - 2 * self.lag)
        self._used = used
        self.seconds = max(self._least, min(self._least + FACTOR * load, self._most - disk))
        self._ends_at = now + PERIOD_S


class _Mean:
    """A mean of what was added since it was taken; 0 of nothing."""

    __slots__ = ("_sum", "_count")

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, value: float) -> None:
        self._sum += value
        self._count += 1

    def take(self) -> float:
        mean = self._sum / self._count if self._count else 0.0
        self._sum, self._count = 0.0, 0
        return mean
