"""Levels in decibels and the static curve of a compressor (Giannoulis, Massberg, Reiss, JAES 60(6), 2012, eq. 4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FLOOR_AMPLITUDE = 1e-7  # -140 dBFS: quieter levels count as this
LEAST_KNEE_DB = 1e-3


def decibels(amplitude: Tensor) -> Tensor:
    """20 log10, of the amplitude or of the floor where it is below."""
    return (20.0 / math.log(10.0)) * torch.log(amplitude.clamp(min=FLOOR_AMPLITUDE))


def amplitude(db: Tensor) -> Tensor:
    return torch.exp(db * (math.log(10.0) / 20.0))


def root(x: Tensor) -> Tensor:
    """Square root whose slope at 0 is 0 instead of infinite."""
    positive = x > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, x, torch.ones_like(x))), torch.zeros_like(x))


def reduction_db(level_db: Tensor, threshold_db: Tensor, slope: Tensor, knee_db: Tensor, range_db: Tensor) -> Tensor:
    """Gain reduction in dB, at least 0 and at most the range; quadratic within the knee.

    Args:
        level_db: the level; the others broadcast against it. `slope` is 1 - 1/ratio, `knee_db` > 0.
    """
    half = 0.5 * knee_db
    over = level_db - threshold_db
    into = over + half
    bent = torch.where(over > half, over, into * into / (2.0 * knee_db))
    reduction = torch.where(into > 0, slope * bent, torch.zeros_like(bent))
    return torch.minimum(reduction, range_db)
