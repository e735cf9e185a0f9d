"""Claims of an auto-wah: the filter rests at its lower end, and a loud tone at its upper end passes a band pass as it is."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim, gain_db
from twinrack.validation.signals import impulse, passed_through, tones

SECONDS, LOUD_DBFS, QUIET = 2.0, -3.0, 1e-5
TOLERANCE_DB, TOLERANCE_PERCENT = 0.5, 3.0
HIGHEST_SHARE = 0.4  # of the sample rate
LEAST_ABOVE_DB = 3.0  # what a fast release loses of the level


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    own.set("mix", 1.0)
    low, high = (float(own.get(name)) for name in ("low_hz", "high_hz"))
    listed = []
    if own.get("filter") == "band_pass" and max(low, high) < HIGHEST_SHARE * sample_rate:
        h = passed_through(Rack([own]), QUIET * impulse(SECONDS, sample_rate), sample_rate)[0].astype(np.float64)
        peak_hz = float(np.argmax(np.abs(np.fft.rfft(h)))) / SECONDS
        off = 100.0 * (peak_hz / low - 1.0)
        words = "at rest the filter stands at its lower end"
        listed.append(Claim("rest", words, off, -TOLERANCE_PERCENT, TOLERANCE_PERCENT, "%"))
        if float(own.get("threshold_db")) + float(own.get("range_db")) < LOUD_DBFS - LEAST_ABOVE_DB:
            x = tones([high], LOUD_DBFS, SECONDS, sample_rate)
            half = x.shape[1] // 2
            gain = gain_db(x[:, half:], passed_through(Rack([own.copy()]), x, sample_rate)[:, half:])
            words = "a loud tone at the upper end passes as it is"
            listed.append(Claim("open", words, gain, -TOLERANCE_DB, TOLERANCE_DB))
    dry = own.copy()
    dry.set("mix", 0.0)
    x = tones([0.1 * sample_rate], LOUD_DBFS, 0.2, sample_rate)
    gain = gain_db(x, passed_through(Rack([dry]), x, sample_rate))
    listed.append(Claim("dry", "a mix of 0 leaves the sound as it is", gain, -1e-3, 1e-3))
    return listed
