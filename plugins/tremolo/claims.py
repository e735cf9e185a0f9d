"""Claims of a tremolo: the gain falls as far as the depth says, and never rises above 1."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import constant, passed_through

TOLERANCE = 0.01
RATE_HZ, SECONDS = 5.0, 1.2


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    for name, value in {"sync": "free", "rate_hz": RATE_HZ}.items():
        own.set(name, value)
    x = constant(SECONDS, sample_rate, -6.0, 2)
    gain = passed_through(Rack([own]), x, sample_rate).astype(np.float64) / x
    depth = float(own.get("depth"))
    listed = [Claim("gain", "it never amplifies", float(gain.max()), high=1.0 + 1e-5, unit="1")]
    if own.get("wave") != "random":  # which goes where it goes
        off = float(gain.min()) - (1.0 - depth)
        listed.append(Claim("depth", "the gain falls to 1 less the depth", off, -TOLERANCE, TOLERANCE, "1"))
    return listed
