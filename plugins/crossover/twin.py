"""The twin of `crossover.h`: a Linkwitz-Riley crossover, each band with a level."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.twins.curves import ramp, together
from twinrack.twins.gain_curve import amplitude
from twinrack.twins.recursions import design_filters, svf_cascade
from twinrack.twins.values import Context, Values

MOST_SPLITS = 5


def dampings(order: int) -> list[tuple[float, bool]]:
    """Of the sections of a Butterworth filter of order 1 to 4; True where one is of first order: its square has a Q of 1/2."""
    pairs = [2.0 * math.sin(math.pi * (2 * i - 1) / (2 * order)) for i in range(order // 2, 0, -1)]
    return [(2.0, True)] * (order % 2) + [(k, False) for k in pairs]


def sections(frequency_hz: Tensor, order: int, sample_rate: float) -> tuple[Tensor, Tensor]:
    """Filters of the low band and of the all-pass of one split, (rows, ticks, filters, 5): see `linkwitz_riley.h`."""
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


def split(x: Tensor, v: Values, at: Context, branches: int) -> list[Tensor]:
    """The bands, the lowest first, each with its level."""
    edges = list(together(*(getattr(v, f"split{i + 1}_hz") for i in range(MOST_SPLITS))))[: branches - 1]
    for i in range(1, len(edges)):
        edges[i] = torch.maximum(edges[i], edges[i - 1])
    order = int(v.slope_db_per_octave) // 12
    designs = [sections(hz, order, at.sample_rate) for hz in edges]
    bands: list[Tensor] = []
    for low, all_pass in designs:
        bands.append(svf_cascade(x, low, at.path))
        x = svf_cascade(x, all_pass, at.path) - bands[-1]
    for i in range(len(bands) - 1):
        later = torch.cat([all_pass for _, all_pass in designs[i + 1 :]], -2)
        bands[i] = svf_cascade(bands[i], later, at.path)
    leveled = []
    for y, band in zip([*bands, x], v.bands, strict=False):
        gain = amplitude(band.gain_db) * (0.0 if band.mute else 1.0)
        leveled.append(y * ramp(gain.to(y.dtype), at.frames).unsqueeze(1))
    return leveled


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    bands = split(x, v, at, int(v.number_of_bands))
    y = bands[0]
    for band in bands[1:]:
        y = y + band
    return y
