"""Start values of an auto pan: from the place between both sides over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.oscillation import gains_over_time, oscillation
from twinrack.train.starts import Values, alone

LEAST_SHARE = 0.2  # of the variance that the oscillation explains


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    sides = {channel: (times, gain, energy) for channel, times, gain, energy in gains_over_time(pairs, rate) if channel < 2}
    if len(sides) < 2 or not np.array_equal(sides[0][0], sides[1][0]):
        return []
    times, left, energy = sides[0]
    place = np.arctan2(sides[1][1], left) * (4.0 / np.pi) - 1.0
    p = effect.card.addresses["rate_hz"]
    turning = oscillation(times, place, np.sqrt(energy), p.min, p.max)
    if turning is None or turning.share < LEAST_SHARE:
        return []
    depth = float(0.5 * np.ptp(np.percentile(place, [2, 98])))
    return [{"rate_hz": turning.rate_hz, "depth": depth, "start_deg": turning.start_deg(str(effect.get("wave")))}]


lawful = alone(starts)
