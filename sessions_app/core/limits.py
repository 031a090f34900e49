"""A token bucket: how often somebody may do something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Allows `rate` per second on average and `burst` at once. Time comes in, in seconds."""

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
