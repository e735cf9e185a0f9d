"""Claims of an adapter: with its mix at 0 the sound passes as it is, and it stays bounded."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import EQUAL_DB, Claim, difference_db, peak_db
from twinrack.validation.signals import noise, passed_through

MOST_DB = 24.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    x = noise(0.5, sample_rate, 0.0, channels=2)
    loudest = peak_db(passed_through(Rack([effect.copy()]), x, sample_rate)) - peak_db(x)
    bounded = Claim("bounded", "noise at full scale comes out at most 24 dB louder", loudest, high=MOST_DB)
    own = effect.copy()
    if own.get("connection") != "replace":
        return [bounded]
    own.set("mix", 0.0)
    dry = difference_db(passed_through(Rack([own]), x, sample_rate), np.asarray(x))
    return [Claim("dry", "with its mix at 0 the sound passes as it is", dry, high=EQUAL_DB), bounded]
