"""The level of a part of the spectrum, once a tick: the twin of `band_level-inl.h`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .curves import TICK_FRAMES, tick_count, together
from .dynamics import one_pole_coefficient
from .recursions import follower, svf_cascade
from .values import Context

FLOOR = 1e-10  # square of -100 dBFS
LOUDEST = 1e18  # sample; what is beyond it counts as that


def tick_levels(x: Tensor, c: Tensor, attack_ms: Tensor, release_ms: Tensor, at: Context) -> Tensor:
    """The followed square that each tick begins with, that of the loudest channel.

    Args:
        x: (batch, channels, time).
        c: coefficients of the filter that listens, (rows, ticks, 1, 5).
        attack_ms, release_ms: (rows, ticks).

    Returns:
        (batch, ticks) float64; of the first tick it is 0.
    """
    filtered = svf_cascade(x, c, at.path).abs().amax(1, keepdim=True).double().clamp(max=LOUDEST)
    times = (one_pole_coefficient(t, at.sample_rate) for t in (attack_ms, release_ms))
    power = follower(filtered.square(), torch.stack(together(*times), -1), True, at.path)[:, 0]
    ends = power[:, TICK_FRAMES - 1 :: TICK_FRAMES][:, : tick_count(x.shape[-1]) - 1]
    return torch.cat([torch.zeros_like(power[:, :1]), ends], 1)


def level_db(power: Tensor) -> Tensor:
    """A followed square in dB; a sine of full scale has 0."""
    return (10.0 / math.log(10.0)) * torch.log(power.clamp(min=FLOOR))
