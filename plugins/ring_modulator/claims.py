"""Claims of a ring modulator: a tone becomes two, at the sum and the difference of the frequencies, each half as strong."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import passed_through, tones

HIGHEST_SHARE = 0.45  # of the sample rate
SECONDS, LEVEL_DBFS, TOLERANCE_DB = 2.0, -12.0, 0.2


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    own.set("mix", 1.0)
    sine_hz = min(float(own.get("frequency_hz")), HIGHEST_SHARE * sample_rate)
    tone_hz = 0.02 * sample_rate if sine_hz > 0.03 * sample_rate else 0.06 * sample_rate
    x = tones([tone_hz], LEVEL_DBFS, SECONDS, sample_rate)
    y = passed_through(Rack([own]), x, sample_rate)
    whole = _strength(x[0], tone_hz, sample_rate)
    listed = []
    for name, hz in (("sum", tone_hz + sine_hz), ("difference", abs(tone_hz - sine_hz))):
        half_db = 20.0 * np.log10(max(_strength(y[0], hz, sample_rate) / whole, 1e-9)) + 6.0206
        listed.append(Claim(name, f"a tone of half the strength at the {name}", float(half_db), -TOLERANCE_DB, TOLERANCE_DB))
    return listed


def _strength(x: np.ndarray, hz: float, sample_rate: float) -> float:
    window = np.hanning(len(x))
    turns = np.exp(-2j * np.pi * hz / sample_rate * np.arange(len(x)))
    return float(np.abs(np.dot(x.astype(np.float64) * window, turns)) / window.sum())
