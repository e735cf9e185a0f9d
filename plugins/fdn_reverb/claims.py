"""Claims of the reverb: its decay times, and that it fills both sides evenly."""

import math

import numpy as np

from twinrack.measure.impulse import decay_in_bands
from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import impulse, passed_through

DECAY = 0.25  # of the time; an octave hears a part of its neighbours
SIDES_DB = 3.0
LONGEST_S = 12.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    """Decays by Schroeder integration in the octave that is farthest from both crossovers."""
    if effect.get("freeze"):
        return []
    own = effect.copy()
    for name, value in (("mix", 1.0), ("early_db", own.card.addresses["early_db"].min), ("low_cut_hz", 20.0)):
        own.set(name, value)
    low, mid, high = (float(own.get(n)) for n in ("decay_low_s", "decay_s", "decay_high_s"))
    bounds = [float(own.get(f"crossover_{n}_hz")) for n in ("low", "high")]
    seconds = min(1.5 * max(low, mid, high) + 0.5, LONGEST_S)
    h = passed_through(Rack([own]), impulse(seconds, sample_rate, 0.0, 2), sample_rate)
    decays = decay_in_bands(h, sample_rate)
    listed = []
    middle = math.sqrt(bounds[0] * bounds[1])
    for name, stated, usable in (
        ("decay of the lows", low, [hz for hz in decays if hz <= bounds[0] / 2.8]),
        ("decay of the mids", mid, [hz for hz in decays if 2.0 * bounds[0] <= hz <= bounds[1] / 2.0]),
        ("decay of the highs", high, [hz for hz in decays if 2.8 * bounds[1] <= hz <= 0.7 * float(own.get("high_cut_hz"))]),
    ):
        place = {"decay of the lows": 0.0, "decay of the mids": middle, "decay of the highs": 1e9}[name]
        if not usable:
            continue
        hz = min(usable, key=lambda f: abs(math.log((f + 1e-9) / (place + 1e-9))))
        text = f"RT60 in the octave about {hz:g} Hz is the {stated:.3g} s that are set"
        listed.append(Claim(name, text, decays[hz], (1.0 - DECAY) * stated, (1.0 + DECAY) * stated, "s"))
    power = np.sum(h.astype(np.float64) ** 2, 1)
    sides = 10.0 * math.log10((power[0] + 1e-20) / (power[1] + 1e-20))
    return [*listed, Claim("sides", "both sides get as much of the reverb", sides, -SIDES_DB, SIDES_DB)]
