"""Claims of mid/side levels: what both channels share has the level of the mid, their difference that of the side."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim, gain_db
from twinrack.validation.signals import noise, passed_through

TOLERANCE_DB = 0.001


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    same = noise(0.5, sample_rate, -20.0, channels=2)
    opposite = same * np.array([[1.0], [-1.0]], np.float32)
    claimed = []
    for name, x, address in (("mid", same, "mid_gain_db"), ("side", opposite, "side_gain_db")):
        y = passed_through(Rack([effect.copy()]), x, sample_rate)
        half = x.shape[1] // 2
        level = gain_db(x[:, half:], y[:, half:])
        stated = float(effect.get(address))
        claimed.append(Claim(name, f"the {name} has its level", level, stated - TOLERANCE_DB, stated + TOLERANCE_DB))
    return claimed
