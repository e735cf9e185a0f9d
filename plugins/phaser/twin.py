"""The twin of `phaser.h`: all-passes whose frequency an oscillator moves, with feedback, added to the sound itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.twins.curves import ramp, tick_count, together
from twinrack.twins.modulation import oscillator
from twinrack.twins.values import Context, Values

from .recursion import stages

LOWEST_HZ, HIGHEST = 40.0, 0.45  # the second of the sample rate


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    octaves = (0.5 * v.range_oct).unsqueeze(1) * oscillator(v, at, at.channels, per_tick=True)
    hertz = v.frequency_hz.unsqueeze(1) * torch.exp2(octaves)
    hertz = hertz.clamp(LOWEST_HZ, HIGHEST * at.sample_rate)  # rows, channels, ticks
    tangent = torch.tan(math.pi * hertz / at.sample_rate)
    settings = torch.stack(together(2.0 * tangent / (1.0 + tangent), v.feedback.unsqueeze(1)), -1)
    # Each channel has a sweep of its own, so the channels are items of the batch here.
    settings = settings.expand(x.shape[0], at.channels, tick_count(at.frames), 2)
    flat = stages(x.reshape(-1, 1, at.frames), settings.flatten(0, 1), options=[int(v.stages)], path=at.path)
    mix = ramp(v.mix.to(x.dtype), at.frames).unsqueeze(1)
    return (1.0 - mix) * x + mix * flat.reshape(x.shape)
