"""Retention arithmetic: the bounds of a policy's hours, and jumps of the clock."""

from __future__ import annotations

MIN_HOURS = 24  # shorter than a day, a person who returns tomorrow finds nothing


def hours_problem(hours: int, *, most: int) -> str | None:
    """Return the problem of a policy's hours, or None."""
    if hours < MIN_HOURS:
        return f"A session is kept for {MIN_HOURS} hours at least."
    if hours > most:
        return f"A session is kept for {most} hours at most; raise HOLDFAST_RETENTION_MAX_HOURS for longer tiers."
    return None


def clock_jumped(*, wall: float, monotonic: float, tolerance: float) -> bool:
    """Return whether the wall clock moved apart from the monotonic clock between two readings.

    `wall` and `monotonic` are the seconds that each says have passed. A purge can't be undone, so it waits
    for the next round when a clock was set.
    """
    return abs(wall - monotonic) > tolerance
