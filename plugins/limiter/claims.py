"""Claims of a limiter: nothing exceeds its ceiling, and what is below passes as it is."""

import math

import numpy as np

from twinrack.measure.loudness import loudness
from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import EQUAL_DB, Claim, difference_db, peak_db
from twinrack.validation.signals import between_samples, bursts, impulse, noise, passed_through, tones

SAMPLE_DB, TRUE_PEAK_DB = 1e-4, 0.1
OVER_DB, UNDER_DB = 12.0, -6.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    ceiling, gain = float(effect.get("ceiling_db")), float(effect.get("input_gain_db"))
    level = min(ceiling - gain + OVER_DB, 40.0)
    loud = np.concatenate(
        [
            noise(1.0, sample_rate, level, channels=2),
            impulse(0.2, sample_rate, level, 2),
            bursts(1000.0, [level, level - 40.0] * 4, 0.05, sample_rate, 2),
            between_samples(0.2, sample_rate, level, 2),
        ],
        axis=1,
    )
    rack = Rack([effect.copy()])
    y = passed_through(rack, loud, sample_rate)
    listed = [Claim("ceiling", "no sample is above the ceiling", peak_db(y) - ceiling, high=SAMPLE_DB)]
    if effect.get("detector") == "true_peak":
        above = loudness(y, sample_rate).true_peak_db - ceiling
        listed.append(Claim("true peak", "no true peak (ITU-R BS.1770-4) is above the ceiling", above, high=TRUE_PEAK_DB))
    quiet = tones([997.0], ceiling - gain + UNDER_DB, 0.5, sample_rate, 2)
    left = difference_db(passed_through(rack, quiet, sample_rate), quiet * 10.0 ** (gain / 20.0))
    if math.isfinite(left):
        listed.append(Claim("transparency", "what is 6 dB below the ceiling passes as it is", left, high=EQUAL_DB))
    return listed
