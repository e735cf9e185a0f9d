"""The twin of `auto_wah.h`: a resonant filter whose frequency follows the level."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.band_level import level_db, tick_levels
from twinrack.twins.curves import ramp, together
from twinrack.twins.recursions import design_filters, svf_cascade
from twinrack.twins.values import Context, Values

SHAPES = {"band_pass": "band_pass", "low_pass": "high_cut"}


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    frequency, q = (t.unsqueeze(-1) for t in together(frequency_hz(x if key is None else key, v, at), v.q.double()))
    c = design_filters([SHAPES[v.filter]], True, frequency, torch.zeros_like(frequency), q, at.sample_rate, at.path)
    mix = ramp(v.mix.to(x.dtype), at.frames).unsqueeze(1)
    return x + mix * (svf_cascade(x, c, at.path) - x)


def frequency_hz(x: Tensor, v: Values, at: Context) -> Tensor:
    """Of the filter in each tick, (batch, ticks)."""
    one = torch.ones_like(v.low_hz[:1, :1]).unsqueeze(-1)
    everything = design_filters(["bell"], True, 1000.0 * one, 0.0 * one, one, at.sample_rate, at.path)
    level = level_db(tick_levels(x, everything, v.attack_ms, v.release_ms, at))
    over = ((level - v.threshold_db) / v.range_db).clamp(0.0, 1.0)
    place = over * over * (3.0 - 2.0 * over)
    low = v.low_hz.double()
    return low * torch.exp2(place * torch.log2(v.high_hz.double() / low))
