"""Retention arithmetic: the bounds of a policy's hours, and jumps of the clock."""

from __future__ import annotations

from typing import NamedTuple

MIN_HOURS = 24  # shorter than a day, a person who returns tomorrow finds nothing
TOLERANCE_S = 60.0  # clock drift allowed between two readings of one process, and backwards between any two
STOPPED_S = 3600.0  # for which all processes may be stopped: a longer gap can't be told from a clock that was set
STEADY_S = 86_400.0  # after a jump, time until the clock is trusted again


def hours_problem(hours: int, *, most: int) -> str | None:
    """Return the problem of a policy's hours, or None."""
    if hours < MIN_HOURS:
        return f"A session is kept for {MIN_HOURS} hours at least."
    if hours > most:
        return f"A session is kept for {most} hours at most; raise HOLDFAST_RETENTION_MAX_HOURS for longer tiers."
    return None


def clock_jumped(*, wall: float, monotonic: float) -> bool:
    """Return whether the wall clock moved apart from the monotonic clock between two readings.

    `wall` and `monotonic` are the seconds that each says have passed.
    """
    return abs(wall - monotonic) > TOLERANCE_S


class Reading(NamedTuple):
    """A reading of the clock, seconds. `steady_since`: the first one after its last jump; None once it is trusted."""

    read_at: float
    steady_since: float | None = None


def next_reading(stored: Reading | None, now: float, *, jumped: bool) -> Reading:
    """Return the reading that follows the stored one. `jumped`: the process that reads has seen the clock being set."""
    if stored is None:
        return Reading(now, now if jumped else None)
    if jumped or not -TOLERANCE_S <= now - stored.read_at <= STOPPED_S:
        return Reading(now, now)
    since = stored.steady_since
    return Reading(now, None if since is None or now - since >= STEADY_S else since)
