"""Rate limits: a token bucket, and a bounded table of them by key. Time comes in, in seconds of a monotonic clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from heapq import heappop, heappush, heapreplace


@dataclass(slots=True)
class TokenBucket:
    """Allows `rate` per second on average and `burst` at once. A token is one request, or one byte."""

    rate: float
    burst: float
    tokens: float = math.inf  # cut to `burst` at the first look; below 0 in debt
    looked_at: float = 0.0

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take so many tokens if they are there. A full bucket is enough for any amount."""
        self._refill(now)
        if self.tokens < min(amount, self.burst):
            return False
        self.tokens -= amount
        return True

    def spend(self, now: float, amount: float) -> None:
        """Take tokens that are already used, into debt if they aren't there."""
        self._refill(now)
        self.tokens -= amount

    def wait(self, now: float, amount: float = 1.0) -> float:
        """Return the seconds until so many tokens are there."""
        self._refill(now)
        return self._wait(amount)

    @property
    def wait_s(self) -> float:
        """Seconds from the last look until there is a token."""
        return self._wait(1.0)

    @property
    def full_at(self) -> float:
        """The time from which on the bucket equals a new one, if nothing more is taken."""
        return self.looked_at + (self.burst - self.tokens) / self.rate

    def _wait(self, amount: float) -> float:
        return max(0.0, (min(amount, self.burst) - self.tokens) / self.rate)

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self.looked_at)
        self.tokens = min(self.burst, self.tokens + passed * self.rate)
        self.looked_at = now


class RateLimiter:
    """Token buckets by key, at most `most` of them.

    When there is no room, a newcomer gets the place of the bucket that has been full again for longest: as it equals a
    new one, no key's limit is reset. If none is full, newcomers share one bucket. A bucket of their own later begins as
    a copy of the shared one, so that what they took from it counts.
    """

    def __init__(self, rate: float, burst: float, most: int) -> None:
        self._most = most
        self._buckets: dict[str, TokenBucket] = {}
        self._full_at: list[tuple[float, str]] = []  # a heap, one entry a bucket; what was taken since makes it later
        self._shared = TokenBucket(rate, burst)

    @classmethod
    def per_minute(cls, count: int, most: int) -> RateLimiter:
        """Return a limiter that allows `count` at once, and as many again in each minute."""
        return cls(count / 60, count, most)

    def take(self, key: str, now: float, amount: float = 1.0) -> float:
        """Take so many tokens of a key's. Return 0.0 if they were there, else the seconds until they are."""
        bucket = self._bucket(key, now)
        return 0.0 if bucket.take(now, amount) else bucket.wait(now, amount)

    def spend(self, key: str, now: float, amount: float) -> None:
        """Take tokens of a key's that are already used, into debt if they aren't there."""
        self._bucket(key, now).spend(now, amount)

    def wait(self, key: str, now: float, amount: float = 1.0) -> float:
        """Return the seconds until a key has so many tokens."""
        return self._bucket(key, now).wait(now, amount)

    def _bucket(self, key: str, now: float) -> TokenBucket:
        return self._buckets.get(key) or self._admit(key, now)

    def _admit(self, key: str, now: float) -> TokenBucket:
        if len(self._buckets) >= self._most and not self._evict(now):
            return self._shared
        bucket = self._buckets[key] = replace(self._shared)
        heappush(self._full_at, (now, key))
        return bucket

    def _evict(self, now: float) -> bool:
        """Remove the bucket that was full again first, if one is."""
        while self._full_at[0][0] <= now:
            noted, key = self._full_at[0]
            full_at = self._buckets[key].full_at
            if full_at > noted:
                heapreplace(self._full_at, (full_at, key))
            else:
                heappop(self._full_at)
                del self._buckets[key]
                return True
        return False
