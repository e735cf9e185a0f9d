"""Claims of a flanger: its first notch lies where the delay puts it."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import impulse, passed_through

NOTCH_DB = -15.0
HIGHEST_HZ = 5000.0  # up to where the interpolation loses little


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    for name, value in {"sweep_ms": 0.0, "feedback": 0.0, "mix": 0.5}.items():
        own.set(name, value)
    delay_s = max(float(own.get("delay_ms")) * 1e-3, 2.01 / sample_rate, 0.5 / HIGHEST_HZ)
    own.set("delay_ms", 1e3 * delay_s)
    h = passed_through(Rack([own]), impulse(1.0, sample_rate), sample_rate)[0].astype(np.float64)
    hertz = 0.5 / delay_s
    level = 20.0 * np.log10(abs(np.sum(h * np.exp(-2j * np.pi * hertz / sample_rate * np.arange(h.size)))) + 1e-9)
    words = f"standing still and mixed half and half, it has a notch at {hertz:.0f} Hz, where the delay is half a period"
    return [Claim("notch", words, float(level), high=NOTCH_DB)]
