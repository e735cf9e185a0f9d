"""Claims of a chorus: its copies come within the delay and the depth, with the level that is set."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import impulse, noise, passed_through

AROUND = 3  # frames that the interpolation takes


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    own.set("mix", 1.0)
    rack = Rack([own])
    y = passed_through(rack, impulse(0.2, sample_rate), sample_rate)[0]
    sounding = np.flatnonzero(np.abs(y) > 1e-6)
    depth = float(own.get("depth_ms")) * 1e-3 * sample_rate
    middle = max(float(own.get("delay_ms")) * 1e-3 * sample_rate, depth + 1.0)
    beyond = max(middle - depth - sounding[0], sounding[-1] - middle - depth)
    words = "all copies of an impulse come within the depth around the delay"
    listed = [Claim("delay", words, float(beyond), high=AROUND, unit="frames")]
    own.set("voices", "1")
    x = noise(0.5, sample_rate, -20.0)
    low = np.abs(np.fft.rfft(x[0]))[: round(0.1 * x.shape[1])]  # where the interpolation loses nothing
    out = np.abs(np.fft.rfft(passed_through(rack, x, sample_rate)[0]))[: low.size]
    level = 10.0 * np.log10(float(np.sum(out**2) / np.sum(low**2)))
    return [*listed, Claim("level", "one voice alone has the level of the sound", level, -0.5, 0.5)]
