"""Claims of the convolution: without shaping, an impulse gives the response itself."""

import numpy as np

from twinrack.audio import whole_frames
from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import EQUAL_DB, Claim, difference_db
from twinrack.validation.signals import impulse, noise, passed_through

FIXED = ("impulse_response",)


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    """Convolution by FFT with what an impulse gives, against the engine's, on noise."""
    rack = Rack([effect.copy()])
    x = noise(1.0, sample_rate, -20.0)
    lead = whole_frames(float(effect.get("lead_ms")), sample_rate)
    h = passed_through(rack, np.roll(impulse(1.0, sample_rate), lead, 1), sample_rate)[0].astype(np.float64)
    y = passed_through(rack, x, sample_rate)
    size = 2 * x.shape[1]
    stated = np.fft.irfft(np.fft.rfft(x[0].astype(np.float64), size) * np.fft.rfft(h, size), size)[lead : lead + x.shape[1]]
    text = "noise is convolved with what an impulse gives"
    return [Claim("convolution", text, difference_db(y, np.asarray(stated[None], np.float32)), high=EQUAL_DB)]
