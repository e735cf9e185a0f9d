"""Claims of a saturation: quiet sounds pass evenly, and less folds back than without oversampling."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import impulse, passed_through

FLAT_DB = 0.5
LOW_HZ, HIGH = 100.0, 0.35  # of the sample rate


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    if effect.get("tone_db") != 0.0:
        return []
    size = 1 << 14
    x = impulse(size / sample_rate, sample_rate, -80.0 - float(effect.get("drive_db")))
    y = passed_through(Rack([effect.copy()]), x, sample_rate)[0].astype(np.float64)
    hertz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    level = 20.0 * np.log10(np.abs(np.fft.rfft(y - y[-1], size)) / float(x[0, 0]) + 1e-12)
    passed = level[(hertz > LOW_HZ) & (hertz < HIGH * sample_rate)]
    text = "a quiet sound keeps its spectrum, 100 Hz to 0.35 of the sample rate"
    return [Claim("small signals", text, float(np.ptp(passed)), high=FLAT_DB)]
