"""Claims of a rotary speaker: a high tone pulses by the horn's tremolo, a low one by the drum's."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import passed_through, tones

RATE_HZ, SECONDS, OCTAVES = 2.0, 3.0, 3.0
TOLERANCE_DB = 0.5
MOST = 0.9  # of tremolo, beyond which the softest moment is too soft to be measured


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    listed = []
    edge = float(effect.get("crossover_hz"))
    for name, hz in (("horn", edge * 2.0**OCTAVES), ("drum", edge / 2.0**OCTAVES)):
        tremolo = float(effect.get(f"{name}_tremolo"))
        if hz > 0.4 * sample_rate or hz < 40.0 or tremolo > MOST:
            continue
        own = effect.copy()
        for address, value in {"rate_hz": RATE_HZ, "drum_ratio": 1.0, "doppler_ms": 0.0, "mix": 1.0}.items():
            own.set(address, value)
        x = tones([hz], -12.0, SECONDS, sample_rate)
        y = passed_through(Rack([own]), x, sample_rate)[0].astype(np.float64)
        size = round(sample_rate / 40.0)
        levels = np.sqrt(np.mean(y[y.size // 3 : y.size // 3 + y.size // 2 // size * size].reshape(-1, size) ** 2, 1))
        swing = 20.0 * np.log10(levels.max() / levels.min())
        stated = -20.0 * np.log10(1.0 - tremolo)
        slack = TOLERANCE_DB + 0.1 * stated
        words = f"the {name} pulses by its tremolo"
        listed.append(Claim(name, words, float(swing), float(stated - slack), float(stated + slack)))
    return listed
