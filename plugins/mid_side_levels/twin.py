"""The twin of `mid_side_levels.h`: levels of half the sum and of half the difference of each stereo pair."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import ramp, together
from twinrack.twins.gain_curve import amplitude
from twinrack.twins.values import Context, Values


def split(x: Tensor, v: Values, at: Context, branches: int) -> list[Tensor]:
    """The mid on both channels of each pair, and the side with both signs; a channel without a partner is a mid."""
    levels = torch.stack(together(amplitude(v.mid_gain_db), amplitude(v.side_gain_db)), -1).to(x.dtype)
    mid_level, side_level = ramp(levels, at.frames).transpose(1, 2).unsqueeze(2).unbind(1)
    pairs = at.channels // 2 * 2
    left, right = x[:, 0:pairs:2], x[:, 1:pairs:2]
    mid, side = 0.5 * (left + right) * mid_level, 0.5 * (left - right) * side_level
    alone = x[:, pairs:] * mid_level
    mids = torch.cat([torch.stack([mid, mid], 2).flatten(1, 2), alone], 1)
    sides = torch.cat([torch.stack([side, -side], 2).flatten(1, 2), torch.zeros_like(alone)], 1)
    return [mids, sides]


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    mids, sides = split(x, v, at, 2)
    return mids + sides
