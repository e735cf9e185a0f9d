"""The twin of `vibrato.h`: a delay on a sine, whose swing gives the largest change of pitch that is set."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.twins.curves import TICK_FRAMES, ramp, together
from twinrack.twins.modulation import delayed, gliding, oscillator, rate_of
from twinrack.twins.values import Context, Values

SLOWEST_HZ = 0.05


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    cents, hertz = together(v.depth_cents, rate_of(v).clamp(min=SLOWEST_HZ))
    swing = torch.expm1(cents * (math.log(2.0) / 1200.0)) / (2.0 * math.pi * hertz) * at.sample_rate
    return delayed(
        x, 1.0 + ramp(gliding(swing, 0.5 * TICK_FRAMES), at.frames).unsqueeze(1) * (1.0 + oscillator(v, at, at.channels))
    )
