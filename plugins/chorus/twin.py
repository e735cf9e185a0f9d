"""The twin of `chorus.h`: copies of the sound, each at a place of its own on an oscillator's turn."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.twins.curves import ramp
from twinrack.twins.modulation import delayed, oscillator
from twinrack.twins.values import Context, Values

BETWEEN_VOICES = 0.618  # turns


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    depth = v.depth_ms * (1e-3 * at.sample_rate)
    middle = torch.maximum(v.delay_ms * (1e-3 * at.sample_rate), depth + 1.0)
    middle, depth = (ramp(t, at.frames).unsqueeze(1) for t in (middle, depth))
    voices = int(v.voices)
    wet = torch.zeros_like(x)
    for i in range(voices):
        wet = wet + delayed(x, middle + depth * oscillator(v, at, at.channels, BETWEEN_VOICES * i))
    mix = ramp(v.mix.to(x.dtype), at.frames).unsqueeze(1)
    return (1.0 - mix) * x + mix * (wet / math.sqrt(voices))
