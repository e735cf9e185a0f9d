"""The twin of `fader.h`: width, pan and level as one matrix for each stereo pair, ramped over each tick (DAFX, ch. 5)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from twinrack.twins.curves import ramp, together
from twinrack.twins.gain_curve import amplitude, root
from twinrack.twins.values import Context, Values

FADE_TICKS = 16  # as `Fade` in `fader.h`: in which a fader is muted or opened
SILENT_DB = -400.0
LEAST_GAIN = 10.0 ** (-60.0 / 20.0)


def side(law: str, pan: Tensor) -> Tensor:
    """The gain of one side under a pan law; `pan` is 1 at that side's own end."""
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


def mute_level_db(muted: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Level of a fader whose mute moves, in dB.

    Args:
        muted: (ticks,), above 0.5 where it is muted. The fader begins in the first state.

    Returns:
        (ticks,): a smooth step in amplitude over `FADE_TICKS`, as the engine moves; `SILENT_DB` where it is closed.
    """
    opened = np.empty(muted.size)
    now: float | None = None
    for k, closed in enumerate(muted > 0.5):
        goal = 0.0 if closed else float(FADE_TICKS)
        now = goal if now is None else now + min(max(goal - now, -1.0), 1.0)
        opened[k] = now
    t = opened / FADE_TICKS
    level = t * t * (3.0 - 2.0 * t)
    return np.where(level > 0, 20.0 * np.log10(np.maximum(level, 1e-20)), SILENT_DB)


def level_and_pan(left: float, right: float, law: str) -> tuple[float, float]:
    """Level in dB and pan with which a fader gives these gains to the two sides: the inverse of the pan laws.

    Args:
        left, right: gains, 0 or above; below -60 dB they count as -60 dB.
    """
    left, right = max(left, LEAST_GAIN), max(right, LEAST_GAIN)
    if law == "constant_power_3db":
        level, pan = math.hypot(left, right), 4.0 / math.pi * math.atan2(right, left) - 1.0
    elif law == "linear_6db":
        level, pan = left + right, (right - left) / (left + right)
    elif law == "compromise_4_5db":
        low, high = -1.0, 1.0
        for _ in range(60):
            pan = 0.5 * (low + high)
            a, b = (math.sqrt((1 + s * pan) / 2 * math.sin(math.pi / 4 * (1 + s * pan))) for s in (-1, 1))
            low, high = (pan, high) if b * left < a * right else (low, pan)
        level = math.hypot(left, right) / math.hypot(a, b)
    else:
        level = max(left, right)
        pan = right / left - 1.0 if left > right else 1.0 - left / right
    return 20.0 * math.log10(level), pan
