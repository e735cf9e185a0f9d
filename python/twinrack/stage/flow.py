"""A bound on how much may flow in a second, for what comes from a network or goes there."""

from __future__ import annotations

import time


class Flow:
    """So many units a second, and after a pause up to one second's worth at once."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._left, self._at = per_second, time.monotonic()

    def take(self, units: float) -> bool:
        """Whether so much may flow now; what may not is not counted."""
        self._refill()
        if units > self._left:
            return False
        self._left -= units
        return True

    def wait_s(self, units: float) -> float:
        """Take so much anyhow; seconds to wait before more."""
        self._refill()
        self._left -= units
        return max(0.0, -self._left / self.per_second)

    def _refill(self) -> None:
        now = time.monotonic()
        self._left = min(self.per_second, self._left + (now - self._at) * self.per_second)
        self._at = now
