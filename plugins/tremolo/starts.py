"""Start values of a tremolo: from the gain over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.oscillation import gains_over_time, oscillation
from twinrack.train.starts import Values, alone

LEAST_SHARE = 0.2  # of the gain's variance that the oscillation explains


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    p = effect.card.addresses["rate_hz"]
    sides = []
    for channel, times, gain, energy in gains_over_time(pairs, rate):
        if channel < 2 and (o := oscillation(times, gain, np.sqrt(energy), p.min, p.max)) is not None:
            sides.append((o, gain))
    if not sides or sides[0][0].share < LEAST_SHARE:
        return []
    first, gain = sides[0]
    lowest, highest = np.percentile(gain, [3, 97])
    wave = str(effect.get("wave"))
    values = {"rate_hz": first.rate_hz, "depth": float(1.0 - lowest / highest), "start_deg": first.start_deg(wave)}
    if len(sides) > 1:
        values["stereo_deg"] = float(360.0 * ((sides[1][0].turns - first.turns) % 1.0))
    return [values]


lawful = alone(starts)
