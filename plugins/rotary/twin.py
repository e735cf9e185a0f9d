"""The twin of `rotary.h`: a horn and a drum that turn before two microphones."""

from __future__ import annotations

from torch import Tensor

from twinrack.twins.curves import TICK_FRAMES, ramp
from twinrack.twins.linkwitz_riley import split_once
from twinrack.twins.modulation import delayed, gliding, oscillator
from twinrack.twins.values import Context, Values

DRUM_RADIUS = 0.9  # of the horn's way


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    low, high = split_once(x, v.crossover_hz, 2, at)
    swing = 1e-3 * v.doppler_ms * at.sample_rate
    drum = Values(rate_hz=v.rate_hz * v.drum_ratio, start_deg=v.start_deg, stereo_deg=360.0 - v.stereo_deg)
    wet = _turned(high, v, swing, v.horn_tremolo, at) + _turned(low, drum, DRUM_RADIUS * swing, v.drum_tremolo, at)
    return x + ramp(v.mix.to(x.dtype), at.frames).unsqueeze(1) * (wet - x)


def _turned(x: Tensor, v: Values, swing: Tensor, tremolo: Tensor, at: Context) -> Tensor:
    """One rotor as the microphones hear it: loudest where it is nearest."""
    away = 1.0 + oscillator(v, at, at.channels, free=True)
    y = delayed(x, 1.0 + ramp(gliding(swing, 0.5 * TICK_FRAMES), at.frames).unsqueeze(1) * away)
    return y * (1.0 - ramp(tremolo.to(x.dtype), at.frames).unsqueeze(1) * (0.5 * away).to(x.dtype))
