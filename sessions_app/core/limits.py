"""Rate limits: a token bucket, and a bounded table of them by key. Time comes in, in seconds of a monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heappop, heappush, heapreplace


@dataclass(slots=True)
class TokenBucket:
    """Allows `rate` per second on average and `burst` at once."""

    rate: float
    burst: float
    tokens: float = -1.0  # full at the first look
    looked_at: float = 0.0

    def take(self, now: float) -> bool:
        """Take one token if there is one."""
        full = self.tokens < 0
        passed = max(0.0, now - self.looked_at)
        self.tokens = self.burst if full else min(self.burst, self.tokens + passed * self.rate)
        self.looked_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    @property
    def wait_s(self) -> float:
        """Seconds from the last look until there is a token."""
        return max(0.0, (1 - self.tokens) / self.rate)

    @property
    def full_at(self) -> float:
        """The time from which on the bucket equals a new one, if nothing more is taken."""
        return self.looked_at + (self.burst - self.tokens) / self.rate


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

    def take(self, key: str, now: float) -> float:
        """Take one token of a key's. Return 0.0 if there was one, else the seconds until there is."""
        bucket = self._buckets.get(key) or self._admit(key, now)
        return 0.0 if bucket.take(now) else bucket.wait_s

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
