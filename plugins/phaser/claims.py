"""Claims of a phaser: its stages turn the phase only, and each two make a notch."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim, Numbers
from twinrack.validation.signals import impulse, passed_through

TOLERANCE_DB = 0.05
NOTCH_DB = -20.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    for name, value in {
        "range_oct": 0.0,
        "feedback": 0.0,
        "mix": 1.0,
        "frequency_hz": min(float(own.get("frequency_hz")), 2000.0),
    }.items():
        own.set(name, value)

    rack = Rack([own])

    def response_db() -> Numbers:
        h = passed_through(rack, impulse(2.0, sample_rate), sample_rate)[0].astype(np.float64)
        return np.asarray(20.0 * np.log10(np.abs(np.fft.rfft(h)) + 1e-9))

    flat = float(np.abs(response_db()).max())
    own.set("mix", 0.5)
    deep = response_db() < NOTCH_DB
    notches = int(np.count_nonzero(np.diff(deep.astype(int)) == 1))
    stated = int(str(own.get("stages"))) // 2
    return [
        Claim("level", "standing still, the stages leave the level of every frequency", flat, high=TOLERANCE_DB),
        Claim("notches", f"mixed half and half, {stated} notches", notches, stated, stated, "notches"),
    ]
