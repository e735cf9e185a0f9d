"""Claims of a controller: the sound passes unchanged, and what it drives stays inside the ranges of the cards."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import EQUAL_DB, Claim, difference_db
from twinrack.validation.signals import noise, passed_through


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    x = noise(0.5, sample_rate, -12.0, channels=2)
    y = passed_through(Rack([effect.copy()]), x, sample_rate)
    return [Claim("sound", "the sound passes unchanged", difference_db(y, np.asarray(x)), high=EQUAL_DB)]
