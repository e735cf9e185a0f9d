"""Claims of a graphic equaliser: the response goes through the sliders."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import impulse, passed_through

BANDS, HIGHEST = 31, 0.45  # of the sample rate
TOLERANCE_DB, LARGEST_DB = 0.3, 12.0
SECONDS = 4.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    hz = np.array([1000.0 * 2.0 ** ((band - 17) / 3.0) for band in range(BANDS)])
    hz = hz[hz < HIGHEST * sample_rate]
    wanted = np.array([float(effect.get(f"band{b}.gain_db")) for b in range(1, len(hz) + 1)])
    if np.max(np.abs(wanted)) > LARGEST_DB:
        return []
    x = impulse(SECONDS, sample_rate, 0.0, 1)
    y = passed_through(Rack([effect.copy()]), x, sample_rate)
    turns = np.exp(-2j * np.pi * np.outer(hz / sample_rate, np.arange(x.shape[1])))
    measured = 20 * np.log10(np.abs(turns @ y[0]) / np.abs(turns @ x[0]))
    words = "at the centre of each band the response is what is set"
    return [Claim("response", words, float(np.max(np.abs(measured - wanted))), high=TOLERANCE_DB)]
