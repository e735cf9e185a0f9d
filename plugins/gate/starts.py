"""Start values of a gate: from the gain over the level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.starts import Values, levels_and_gains

FEWEST = 20  # windows with sound


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """The threshold that parts what is let through from what is not, and how far down that is."""
    dry, gain = levels_and_gains(pairs, rate, effect.get("detector") != "peak")
    if dry.size < FEWEST:
        return []
    candidates = np.linspace(max(dry.min(), -70.0), dry.max() - 3.0, 100)

    def spread(threshold: float) -> float:
        sides = gain[dry >= threshold], gain[dry < threshold]
        return float(sum(np.abs(side - np.median(side)).sum() for side in sides if side.size))

    threshold = min(candidates, key=spread)
    closed = gain[dry < threshold - 6.0]
    return [{"threshold_db": float(threshold), "range_db": float(-np.percentile(closed, 5)) if closed.size > 5 else 40.0}]
