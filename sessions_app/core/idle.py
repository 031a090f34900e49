"""Idle analysis: finds the time limits of proxies that cut connections, from how connections ended.

A limit cuts at one and the same number of seconds again and again: a narrow peak in the idle times, or in the lives,
of connections that ended without a word. Phones, tunnels and pulled plugs make no peak, and one outage that takes
many connections at one moment is none either.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import median
from typing import Literal

from sessions_app.core.proxies import LIMITS, MEASURES, OWN_CLIENT, Limit, Measure

BUSY_S = 1.0  # who was cut this soon after a frame wasn't idle
PEAK_ENDS = 10  # fewer are an anecdote
STRONG_ENDS = 30
PEAKS_MAX = 5  # that are looked at, of one measure
STANDS_OUT = 4  # times as many as beside it
SIGMAS = 6  # and so far beyond what chance makes of that
MOST = 0.8  # of a peak's connections came through a proxy: it was this one's way
BARS_MAX = 25
BAR_WIDTHS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400)


@dataclass(frozen=True, slots=True)
class End:
    """The end of a connection that was cut without a close. All in seconds; `at` on any clock.

    `idle`: since something was last sent or received on it; None if that isn't known. `headers`: those of
    `proxies.HEADERS` that its request carried.
    """

    at: float
    life: float
    idle: float | None
    headers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Peak:
    """Ends at nearly the same number of seconds: `low` to `high`, half of them below `seconds`.

    `beyond`: how many were idle (or lived) for longer, which a limit on all connections leaves no chance to.
    """

    measure: Measure
    seconds: float
    low: float
    high: float
    ends: tuple[End, ...]
    beyond: int


@dataclass(frozen=True, slots=True)
class Culprit:
    """A proxy with a limit where a peak is. `seen`: its own header was on most of the peak's requests."""

    limit: Limit
    seen: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """A peak and the known limits there, the likeliest first; `culprits` is empty if none is known."""

    peak: Peak
    culprits: tuple[Culprit, ...]
    confidence: Literal["strong", "fair"]


@dataclass(frozen=True, slots=True)
class Bar:
    """`count` values from `low` (inclusive) to `high` (exclusive; None: and all above)."""

    low: float
    high: float | None
    count: int


def findings(ends: Sequence[End], transport: str) -> list[Finding]:
    """Return the limits that the ends prove, most ends first; empty if there are none, or too few ends."""
    idle, life = (_peaks(ends, measure) for measure in MEASURES)
    told = [*(peak for peak in idle if not _follows(peak, life)), *(peak for peak in life if not _repeats(peak, idle))]
    told.sort(key=lambda peak: -len(peak.ends))
    return [Finding(peak, _culprits(peak, transport), _confidence(peak)) for peak in told]


def width(seconds: float) -> float:
    """Return how far apart one limit's cuts may lie: timers are checked about once a second, long ones less exactly."""
    return 1.0 + 0.02 * seconds


def histogram(values: Iterable[float], *, peaks: Iterable[Peak] = ()) -> list[Bar]:
    """Count values in bars of equal width, as far as nine tenths of them and the peaks reach, and one for the rest."""
    ordered = sorted(values)
    if not ordered:
        return []
    shown = max([ordered[ceil(0.9 * len(ordered)) - 1], *(peak.high for peak in peaks)])
    size = next((size for size in BAR_WIDTHS if shown / size < BARS_MAX), BAR_WIDTHS[-1])
    number = min(int(shown / size) + 1, BARS_MAX)
    edges = [round(index * size, 1) for index in range(number + 1)]
    starts = [bisect_left(ordered, edge) for edge in edges]
    bars = [Bar(edges[i], edges[i + 1], starts[i + 1] - starts[i]) for i in range(number)]
    rest = len(ordered) - starts[-1]
    return [*bars, Bar(edges[-1], None, rest)] if rest else bars


# Peaks


def _peaks(ends: Sequence[End], measure: Measure) -> list[Peak]:
    rest = sorted(((value, end) for end in ends if (value := _value(end, measure)) is not None), key=lambda one: one[0])
    found: list[Peak] = []
    for _ in range(PEAKS_MAX):
        place = _clearest([value for value, _ in rest])
        if place is None:
            break
        members = rest[place.start : place.stop]
        if _is_a_timer([end.at for _, end in members], width(members[0][0])):
            found.append(_peak(measure, members, beyond=len(rest) - place.stop))
        del rest[place.start : place.stop]
    return found


def _value(end: End, measure: Measure) -> float | None:
    value = end.idle if measure == "idle" else end.life
    return value if value is not None and value >= BUSY_S else None


def _clearest(values: list[float]) -> range | None:
    """Return the narrow range of sorted values that holds most of them, if it stands out."""
    best = range(0)
    for first, low in enumerate(values):
        size = width(low)
        high = low + size
        last = bisect_right(values, high)
        if last - first <= max(len(best), PEAK_ENDS - 1):
            continue
        before = first - bisect_left(values, low - 3 * size)
        after = bisect_right(values, high + 3 * size) - last
        beside = 1 + max(before, after) / 3  # in a place of the same size; one more, since so few may be chance
        if last - first >= max(STANDS_OUT * beside, beside + SIGMAS * sqrt(beside)):
            best = range(first, last)
    return best or None


def _is_a_timer(moments: list[float], span: float) -> bool:
    """Return whether at most half ended at one moment: more is an outage, whatever it did to their timers."""
    moments = sorted(moments)
    at_once = max(bisect_right(moments, moment + span) - first for first, moment in enumerate(moments))
    return at_once <= len(moments) / 2


def _peak(measure: Measure, members: Sequence[tuple[float, End]], beyond: int) -> Peak:
    values = [value for value, _ in members]
    return Peak(measure, median(values), values[0], values[-1], tuple(end for _, end in members), beyond)


def _follows(idle: Peak, lives: list[Peak]) -> bool:
    """Return whether a peak of idle times follows from one of lives: the last heartbeat is as long ago at that age."""
    return any(_same(idle, life) and life.seconds - idle.seconds > width(life.seconds) for life in lives)


def _repeats(life: Peak, idles: list[Peak]) -> bool:
    """Return whether a peak of lives is one of idle times: they were idle from the beginning."""
    return any(_same(life, idle) and life.seconds - idle.seconds <= width(life.seconds) for idle in idles)


def _same(one: Peak, other: Peak) -> bool:
    ids = {id(end) for end in other.ends}
    return 2 * sum(id(end) in ids for end in one.ends) >= len(one.ends)


# Culprits


def _culprits(peak: Peak, transport: str) -> tuple[Culprit, ...]:
    known = [limit for limit in (*OWN_CLIENT, *LIMITS) if limit.transport in ("", transport)]
    found = [Culprit(limit, bool(limit.header)) for limit in known if _fits(limit, peak)]
    return tuple(sorted(found, key=lambda culprit: not culprit.seen))


def _fits(limit: Limit, peak: Peak) -> bool:
    # What is seen here is the cut, on its way from the proxy: never earlier than the limit, but for rounding.
    near = limit.seconds - 0.5 <= peak.seconds <= limit.seconds + width(limit.seconds)
    return near and limit.measure == peak.measure and (not limit.header or _carried(peak, limit.header))


def _carried(peak: Peak, header: str) -> bool:
    return sum(header in end.headers for end in peak.ends) >= MOST * len(peak.ends)


def _confidence(peak: Peak) -> Literal["strong", "fair"]:
    count = len(peak.ends)
    return "strong" if count >= STRONG_ENDS and peak.beyond <= count / 10 else "fair"
