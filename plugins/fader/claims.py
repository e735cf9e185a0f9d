"""Claims of a fader: the level in the middle is the gain, and muted it is silent."""

import math

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import SILENCE_DB, Claim, peak_db
from twinrack.validation.signals import noise, passed_through

MIDDLE_DB = {"balance": 0.0, "constant_power_3db": -3.01, "compromise_4_5db": -4.52, "linear_6db": -6.02}
TOLERANCE_DB = 0.02


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    own.set("pan", 0.0)
    x = noise(0.5, sample_rate, -20.0, channels=2)  # the same on both sides, so that the width does nothing
    y = passed_through(Rack([own]), x, sample_rate)[:, x.shape[1] // 2 :]
    if effect.get("mute"):
        return [Claim("mute", "muted it is silent", peak_db(y), high=SILENCE_DB, unit="dBFS")]
    level = 10.0 * math.log10(float(np.mean(y.astype(np.float64) ** 2)) / float(np.mean(x[:, x.shape[1] // 2 :] ** 2)) + 1e-20)
    stated = float(effect.get("gain_db")) + MIDDLE_DB[str(effect.get("law"))]
    text = "in the middle both sides have the level of the gain and of the panning law"
    return [Claim("gain", text, level, stated - TOLERANCE_DB, stated + TOLERANCE_DB)]
