"""Rates: how much of each kind a person may do in a time, and how much all people of one address.

Each process counts for itself. That is enough, since what it protects is its own: a person who spreads over n processes
gets n times the rate of n times the processors. What adds up in the database has limits in the database: sessions and
stored bytes per owner.

Memory is bounded: MAX_COUNTED buckets a kind. A flood of new people or addresses takes only the places of full buckets,
which equal new ones, so it resets nobody's limit (see `RateLimiter`); and an address that is at its limit brings no new
people into the table.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from sessions_app import conf
from sessions_app.conf import HoldfastSettings
from sessions_app.core.limits import RateLimiter
from sessions_app.fairness.payer import Payer

MAX_COUNTED = 10_000  # people, and addresses, counted separately per kind

MINUTE_S, HOUR_S = 60.0, 3600.0
FULL_CONNECTIONS = 4  # of a person, that may send as many frames as one may
FULL_MINUTES = 2  # of an hour, in which all signals may be as long as one may

Kind = Literal["link", "read", "write", "publish", "frame", "signal", "sent", "session", "answer"]
By = Literal["owner", "address"]
BOTH: tuple[By, By] = ("address", "owner")


class Rate(NamedTuple):
    """A person's rate: so many at once, and as many again in each so many seconds."""

    count: Callable[[HoldfastSettings], int]
    per_s: float


RATES: dict[Kind, Rate] = {
    "link": Rate(lambda settings: settings.links_per_minute, MINUTE_S),
    "read": Rate(lambda settings: settings.reads_per_minute, MINUTE_S),
    "write": Rate(lambda settings: settings.writes_per_minute, MINUTE_S),
    "publish": Rate(lambda settings: settings.publishes_per_second, 1.0),
    "frame": Rate(lambda settings: settings.frames_per_second * FULL_CONNECTIONS, 1.0),
    "signal": Rate(lambda settings: settings.signals_per_minute, MINUTE_S),
    "sent": Rate(lambda settings: settings.signals_per_minute * settings.message_bytes * FULL_MINUTES, HOUR_S),
    "session": Rate(lambda settings: settings.sessions_per_hour, HOUR_S),
    "answer": Rate(lambda settings: settings.answer_bytes_per_minute, MINUTE_S),
}

_lock = threading.Lock()  # REST views run in threads


@functools.cache
def limiter(kind: Kind, by: By, count: int, per_s: float) -> RateLimiter:
    """Return the limiter of one kind. `count` and `per_s` are part of its key, so that a changed setting counts."""
    return RateLimiter(count / per_s, count, MAX_COUNTED)


def take(kind: Kind, payer: Payer, amount: float = 1.0) -> float:
    """Count it for the person and the address. Return 0.0, or, where it is refused and not counted, seconds to wait."""
    now = time.monotonic()
    with _lock:
        wait = _wait(kind, payer, now, amount)
        if not wait:
            _spend(kind, payer, now, amount)
        return wait


def wait(kind: Kind, payer: Payer, by: Iterable[By] = BOTH) -> float:
    """Return the seconds until the address and the person have any left, or one of the two."""
    with _lock:
        return _wait(kind, payer, time.monotonic(), 1.0, by)


def spend(kind: Kind, payer: Payer, amount: float) -> None:
    """Count what was already used, beyond the limit if need be."""
    with _lock:
        _spend(kind, payer, time.monotonic(), amount)


def _wait(kind: Kind, payer: Payer, now: float, amount: float, by: Iterable[By] = BOTH) -> float:
    # The address first, and no further if it must wait: see above.
    waits = (limiter.wait(key, now, amount) for limiter, key in _counted(kind, payer, by))
    return next(filter(None, waits), 0.0)


def _spend(kind: Kind, payer: Payer, now: float, amount: float) -> None:
    for limiter, key in _counted(kind, payer, BOTH):
        limiter.spend(key, now, amount)


def _counted(kind: Kind, payer: Payer, by: Iterable[By]) -> Iterator[tuple[RateLimiter, str]]:
    """Yield the limiters that count for a payer, each with its key."""
    if kind == "answer" and payer.is_backend:
        return
    count, per_s = RATES[kind].count(conf.settings), RATES[kind].per_s
    if "address" in by and not payer.is_backend:
        yield limiter(kind, "address", count * conf.settings.people_per_address, per_s), payer.address
    if "owner" in by and payer.owner:
        yield limiter(kind, "owner", count, per_s), payer.owner
