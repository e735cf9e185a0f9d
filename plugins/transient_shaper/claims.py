"""Claims of a transient shaper: a steady sound keeps its level, an onset gets the attack's gain."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import passed_through, steps

TOLERANCE_DB = 0.1
LEVEL_DBFS = -20.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    attack, output = float(own.get("attack_db")), float(own.get("output_db"))
    seconds = 0.5 + 20e-3 * float(own.get("attack_ms"))
    x = np.concatenate([np.zeros((1, round(0.1 * sample_rate)), np.float32), steps([LEVEL_DBFS], seconds, sample_rate)], 1)
    y = passed_through(Rack([own]), x, sample_rate)[0]
    at = round(0.1 * sample_rate)
    gain_db = 20.0 * np.log10(np.abs(y[at:]).astype(np.float64) + 1e-12) - LEVEL_DBFS - output
    most = float(gain_db[np.argmax(np.abs(gain_db))])
    words = "a sound that stays gets the output's gain only"
    listed = [Claim("steady", words, float(gain_db[-1]), -TOLERANCE_DB, TOLERANCE_DB)]
    if abs(attack) > 1.0:
        share = most / attack
        words = "an onset out of silence gets most of the attack's gain, and no more"
        listed.append(Claim("onset", words, share, 0.6, 1.0 + 1e-3, "1"))
    return listed
