"""Claims of a gain: every channel has the level and the polarity that are set."""

import math

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import noise, passed_through

TOLERANCE_DB = 0.001


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    x = noise(0.2, sample_rate, -20.0, channels=2)
    y = passed_through(Rack([effect.copy()]), x, sample_rate).astype(np.float64)
    balance, polarity = float(effect.get("balance")), str(effect.get("polarity"))
    stated = np.array([min(1.0 - balance, 1.0), min(1.0 + balance, 1.0)]) * 10.0 ** (float(effect.get("gain_db")) / 20.0)
    stated *= [-1.0 if polarity in ("invert", side) else 1.0 for side in ("invert_left", "invert_right")]
    late = slice(x.shape[1] // 2, None)
    measured = [float(np.vdot(x[c, late], y[c, late]) / np.vdot(x[c, late], x[c, late])) for c in (0, 1)]
    worst = max(
        abs(20.0 * math.log10((abs(m - s) + abs(s) + 1e-7) / (abs(s) + 1e-7))) for m, s in zip(measured, stated, strict=True)
    )
    return [Claim("gain", "each side is multiplied by the gain, balance and polarity that are set", worst, high=TOLERANCE_DB)]
