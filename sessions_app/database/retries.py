"""Retries while the database is away: how often, and for how long."""

from __future__ import annotations

RETRY_S = 30.0  # how long something is tried again before its caller is told
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 2.0  # between two tries


class Retries:
    """The tries of one thing. Times are the event loop's, in seconds."""

    def __init__(self, now: float, *, limit_s: float = RETRY_S) -> None:
        self._until = now + limit_s
        self._pause_s = RETRY_FIRST_S

    def next_pause_s(self, now: float) -> float | None:
        """Return the pause before the next try, longer each time; None once the time is over."""
        if now > self._until:
            return None
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, RETRY_MOST_S)
        return pause_s
