"""The twin of `fader.h`: width, pan and level as one matrix for each stereo pair, ramped over each tick (DAFX, ch. 5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.twins.curves import ramp, together
from twinrack.twins.gain_curve import amplitude, root
from twinrack.twins.values import Context, Values


def side(law: str, pan: Tensor) -> Tensor:
    """What a side gets whose own end is at 1."""
    x = 0.5 * (pan + 1.0)
    sine = torch.sin(0.5 * math.pi * x)
    if law == "constant_power_3db":
        return sine
    if law == "compromise_4_5db":
        return root(x * sine)
    if law == "linear_6db":
        return x
    return torch.minimum(torch.ones_like(pan), 1.0 + pan)


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    level, pan, width = together(amplitude(v.gain_db), v.pan, v.width)
    if v.mute:
        return x * 0.0
    same, other = 0.5 * (1.0 + width), 0.5 * (1.0 - width)
    left, right = level * side(v.law, -pan), level * side(v.law, pan)
    gains = torch.stack([left * same, left * other, right * other, right * same, level], -1).to(x.dtype)
    pairs = at.channels // 2 * 2
    if gains.shape[1] == 1:
        matrix, alone = gains[:, :, :4].reshape(-1, 1, 2, 2), gains[:, :, 4:]
        y = torch.matmul(matrix, x[:, :pairs].unflatten(1, (-1, 2))).flatten(1, 2) if pairs else x[:, :0]
    else:
        g = ramp(gains, at.frames).transpose(1, 2)  # rows, matrix, frames
        ll, lr, rl, rr, alone = (g[:, i : i + 1] for i in range(5))
        a, b = x[:, 0:pairs:2], x[:, 1:pairs:2]
        y = torch.stack([ll * a + lr * b, rl * a + rr * b], 2).flatten(1, 2)
    return y if pairs == at.channels else torch.cat([y, x[:, pairs:] * alone], 1)
