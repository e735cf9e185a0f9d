"""Claims of an auto pan: the power of both sides together stays."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import constant, passed_through

TOLERANCE_DB = 0.001


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    x = constant(0.5, sample_rate, -6.0, 2)
    gain = passed_through(Rack([effect.copy()]), x, sample_rate).astype(np.float64) / x
    power_db = 10.0 * np.log10(np.mean(gain**2, 0))
    words = "both sides together keep their power"
    return [Claim("power", words, float(np.abs(power_db).max()), high=TOLERANCE_DB)]
