"""Claims of a feedback suppressor: a growing tone is taken down, and noise passes to the last bit."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim, difference_db, gain_db
from twinrack.validation.signals import noise, passed_through

TONE_HZ, SECONDS, BEGIN, GROWTH_PER_S, MOST = 1234.0, 3.0, 0.001, 4.0, 0.4
LEAST_DB, EXACT_DB = 5.5, -120.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    x = noise(1.0, sample_rate, -20.0)
    left = difference_db(passed_through(Rack([effect.copy()]), x, sample_rate), x)
    listed = [Claim("noise", "noise passes as it is", left, high=EXACT_DB)]
    own = effect.copy()
    own.set("freeze", False)
    own.set("hold_s", 60.0)
    t = np.arange(int(SECONDS * sample_rate)) / sample_rate
    howl = np.minimum(BEGIN * np.exp(GROWTH_PER_S * t), MOST) * np.sin(2.0 * np.pi * TONE_HZ * t)
    howl = howl.astype(np.float32)[None]
    end = howl.shape[1] // 10
    gain = gain_db(howl[:, -end:], passed_through(Rack([own]), howl, sample_rate)[:, -end:])
    listed.append(Claim("howl", "a tone that goes on growing is taken down", gain, high=-LEAST_DB))
    return listed
