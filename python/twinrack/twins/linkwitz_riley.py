"""Linkwitz-Riley crossovers: the twin of `linkwitz_riley.h`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .recursions import design_filters, svf_cascade
from .values import Context


def dampings(order: int) -> list[tuple[float, bool]]:
    """Of the sections of a Butterworth filter of order 1 to 4; True where one is of first order: its square has a Q of 1/2."""
    pairs = [2.0 * math.sin(math.pi * (2 * i - 1) / (2 * order)) for i in range(order // 2, 0, -1)]
    return [(2.0, True)] * (order % 2) + [(k, False) for k in pairs]


def sections(frequency_hz: Tensor, order: int, sample_rate: float) -> tuple[Tensor, Tensor]:
    """Filters of the low band and of the all-pass of one split, (rows, ticks, filters, 5).

    Args:
        frequency_hz: (rows, ticks).
        order: of the Butterworth filter, 1 to 4: 12 dB an octave for each.
    """
    low: list[str] = []
    qs: list[float] = []
    for k, first_order in dampings(order):
        low += ["high_cut"] * (1 if first_order else 2)
        qs += [1.0 / k] * (1 if first_order else 2)
    all_pass = [1.0 / k for k, _ in dampings(order)]
    shapes = low + ["all_pass"] * len(all_pass)
    frequency = frequency_hz.unsqueeze(-1).expand(*frequency_hz.shape, len(shapes))
    q = torch.tensor(qs + all_pass, dtype=frequency.dtype, device=frequency.device).expand(frequency.shape)
    c = design_filters(shapes, False, frequency, torch.zeros_like(frequency), q, sample_rate)
    lows, passes = c[..., : len(low), :], c[..., len(low) :, :]
    if order % 2 == 1:  # (1 - s) / (1 + s): low less high
        mix = torch.tensor([-1.0, 2.0, 2.0], dtype=c.dtype, device=c.device).expand(*c.shape[:-2], 3)
        first = torch.cat([passes[..., 0, :2], mix], -1).unsqueeze(-2)
        passes = torch.cat([first, passes[..., 1:, :]], -2)
    return lows, passes


def split_once(x: Tensor, frequency_hz: Tensor, order: int, at: Context) -> tuple[Tensor, Tensor]:
    """Two bands of x (batch, channels, time), which add up to an all-pass."""
    low, all_pass = sections(frequency_hz, order, at.sample_rate)
    lower = svf_cascade(x, low, at.path)
    return lower, svf_cascade(x, all_pass, at.path) - lower
