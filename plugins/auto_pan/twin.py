"""The twin of `auto_pan.h`: an oscillator moves the place between left and right on a curve of constant power."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.twins.curves import ramp
from twinrack.twins.modulation import oscillator
from twinrack.twins.values import Context, Values


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    pairs = at.channels // 2
    angle = (0.25 * math.pi) * (1.0 + ramp(v.depth, at.frames) * oscillator(v, at, 1)[:, 0])
    left, right = (math.sqrt(2.0) * torch.cos(angle)).to(x.dtype), (math.sqrt(2.0) * torch.sin(angle)).to(x.dtype)
    gains = [left if c % 2 == 0 else right for c in range(2 * pairs)] + [torch.ones_like(left)] * (at.channels % 2)
    return x * torch.stack(gains, 1)
