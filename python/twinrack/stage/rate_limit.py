"""A rate limit (token bucket) for what is sent to a network or received from it."""

from __future__ import annotations

import time


class RateLimit:
    """At most so many units a second; after a pause, one second's worth at once."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._left, self._at = per_second, time.monotonic()

    def allow(self, units: float) -> bool:
        """Whether so many units may pass now; only those that may are counted."""
        self._refill()
        if units > self._left:
            return False
        self._left -= units
        return True

    def wait_s(self, units: float) -> float:
        """Count so many units in any case; seconds to wait before more."""
        self._refill()
        self._left -= units
        return max(0.0, -self._left / self.per_second)

    def _refill(self) -> None:
        now = time.monotonic()
        self._left = min(self.per_second, self._left + (now - self._at) * self.per_second)
        self._at = now
