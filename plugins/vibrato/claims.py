"""Claims of a vibrato: the pitch moves as far as is set."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import passed_through, tones

RATE_HZ, SECONDS, TONE_HZ = 4.0, 1.5, 997.0
TOLERANCE = 0.03  # of the depth


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    for name, value in {"sync": "free", "rate_hz": RATE_HZ}.items():
        own.set(name, value)
    y = passed_through(Rack([own]), tones([TONE_HZ], -12.0, SECONDS, sample_rate), sample_rate)[0].astype(np.float64)
    y = y[round(0.5 * sample_rate) :]
    spectrum = np.fft.fft(y * np.hanning(y.size))
    spectrum[y.size // 2 :] = 0.0  # the analytic signal, whose phase turns with the pitch
    turns = np.unwrap(np.angle(np.fft.ifft(spectrum))) / (2.0 * np.pi)
    middle = slice(round(0.2 * y.size), round(0.8 * y.size))
    hertz = np.gradient(turns)[middle] * sample_rate
    cents = 1200.0 * np.log2(hertz / TONE_HZ)
    depth = float(own.get("depth_cents"))
    off = float(cents.max()) - depth
    return [Claim("depth", "the pitch rises by the depth", off, -TOLERANCE * depth - 0.5, TOLERANCE * depth + 0.5, "ct")]
