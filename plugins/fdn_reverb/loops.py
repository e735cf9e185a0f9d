"""Loops of a reverb: the lines of its network, its diffusers and its cuts.

The network by small gain, each line by itself: delays, rotation and Hadamard matrix keep the energy, so one turn multiplies by
at most the largest attenuation over all frequencies, also while the modulation turns. The diffusers and cuts by their poles.

Attenuation is two shelves whose squared magnitude is a ratio of quadratics in the fourth power of frequency (see
`overshoot_scale` in fdn_design.h); where its slope is 0 follows from a quadratic, so its largest value is exact and not
looked for on a grid.
"""

import numpy as np
import torch
from twinrack.plugins.fdn_reverb.twin import diffuser_gain, overshoot_scale

from twinrack import _engine
from twinrack.explain.certify import Loop, cut_loops
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    plan = _engine.fdn_layout(sample_rate)
    advice = "switch freeze off" if effect.get("freeze") else Loop.advice
    every = [
        Loop(f"line {i}", "small gain", largest_gain(effect, frames / sample_rate, sample_rate), advice)
        for i, frames in enumerate(plan["line_frames"], 1)
    ]
    diffusion, decay = (torch.tensor(float(effect.get(name)), dtype=torch.float64) for name in ("diffusion", "decay_s"))
    for number, sides in enumerate(plan["diffuser_frames"], 1):
        gain = max(float(diffuser_gain(diffusion, frames, sample_rate, decay)) for frames in sides)
        every.append(Loop(f"diffuser {number}", "poles", gain))
    return every + cut_loops(effect, sample_rate, low_cut="low_cut_hz", high_cut="high_cut_hz")


def largest_gain(effect: Effect, seconds: float, sample_rate: float) -> float:
    """The largest attenuation factor over all frequencies of a line of that length."""
    if effect.get("freeze"):
        return 1.0

    def attenuation(name: str) -> float:
        return float(10.0 ** (-3.0 * seconds / float(effect.get(name))))

    def warped(name: str) -> float:
        frequency = float(effect.get(name))
        held = min(frequency, 0.49 * sample_rate)
        return float(np.tan(np.pi * held / sample_rate) * frequency / held) ** 4

    mid = attenuation("decay_s")
    low, high = attenuation("decay_low_s") / mid, attenuation("decay_high_s") / mid
    at_low, at_high = warped("crossover_low_hz"), warped("crossover_high_hz")
    scale = overshoot_scale(*(torch.tensor(value, dtype=torch.float64) for value in (low, high, at_low / at_high)))
    gain = mid * float(scale)
    # |low shelf|^2 = (x + low w^4) / (x + w^4 / low), |high shelf|^2 = (1 + high x / w^4) / (1 + x / (high w^4))
    top = np.polymul([1.0, low * at_low], [high / at_high, 1.0])
    bottom = np.polymul([1.0, at_low / low], [1.0 / (high * at_high), 1.0])
    slope = np.polysub(np.polymul(np.polyder(top), bottom), np.polymul(top, np.polyder(bottom)))
    places = [0.0, *(float(r.real) for r in np.roots(slope) if abs(r.imag) < 1e-9 * abs(r) and r.real > 0.0)]
    squares = [float(np.polyval(top, x) / np.polyval(bottom, x)) for x in places] + [high * high]
    return float(gain * np.sqrt(max(squares)))
