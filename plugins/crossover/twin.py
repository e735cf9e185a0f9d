"""The twin of `crossover.h`: a Linkwitz-Riley crossover, each band with a level."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import ramp, together
from twinrack.twins.gain_curve import amplitude
from twinrack.twins.linkwitz_riley import sections
from twinrack.twins.recursions import svf_cascade
from twinrack.twins.values import Context, Values

MOST_SPLITS = 5


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
