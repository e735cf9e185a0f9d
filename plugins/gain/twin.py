"""The twin of `gain.h`: level, balance and polarity as one gain a channel, ramped over each tick (DAFX, ch. 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import ramp, together
from twinrack.twins.gain_curve import amplitude
from twinrack.twins.values import Context, Values


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    level, balance = together(amplitude(v.gain_db), v.balance)
    one = torch.ones_like(balance)
    left = one if at.channels == 1 else torch.minimum(one, 1.0 - balance)
    right = torch.minimum(one, 1.0 + balance)
    left_sign = -1.0 if v.polarity in ("invert", "invert_left") else 1.0
    right_sign = -1.0 if v.polarity in ("invert", "invert_right") else 1.0
    sides = [level * left * left_sign, level * right * right_sign]
    gains = torch.stack([sides[c % 2] for c in range(at.channels)], -1)  # rows, ticks, channels
    return x * ramp(gains.to(x.dtype), at.frames).transpose(1, 2)
