"""The twin of `dynamic_eq.h`: bells and shelves, each moved by the level of its own part of the spectrum."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.twins.band_level import level_db, tick_levels
from twinrack.twins.curves import together
from twinrack.twins.gain_curve import reduction_db
from twinrack.twins.recursions import design_filters, svf_cascade
from twinrack.twins.values import Context, Values

KNEE_DB = 6.0
SHELF_DETECTOR_Q = math.sqrt(0.5)
DETECTORS = {"bell": "band_pass", "low_shelf": "high_cut", "high_shelf": "low_cut"}


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    bands = [band for band in v.bands if band.type != "off"]
    if not bands:
        return x
    listened = x if key is None else key
    numbers: list[Tensor] = []
    for band in bands:
        numbers += [band.frequency_hz, band.gain_db + moved_db(listened, band, at), band.q]
    frequency, gain, q = torch.stack(together(*numbers), -1).unflatten(-1, (len(bands), 3)).unbind(-1)
    return svf_cascade(x, design_filters([b.type for b in bands], True, frequency, gain, q, at.sample_rate, at.path), at.path)


def moved_db(x: Tensor, band: Values, at: Context) -> Tensor:
    """The change of a band's gain by its level, in each tick, (batch, ticks)."""
    q = band.q if band.type == "bell" else torch.full_like(band.q, SHELF_DETECTOR_Q)
    frequency, q = (t.unsqueeze(-1) for t in together(band.frequency_hz, q))
    c = design_filters([DETECTORS[band.type]], True, frequency, torch.zeros_like(q), q, at.sample_rate, at.path)
    level = level_db(tick_levels(x, c, band.attack_ms, band.release_ms, at))
    if band.when == "below":
        level = 2.0 * band.threshold_db - level
    knee = torch.full_like(band.ratio[:1, :1], KNEE_DB)
    reduction = reduction_db(level, band.threshold_db, 1.0 - 1.0 / band.ratio, knee, band.range_db.abs())
    return torch.where(band.range_db < 0, -reduction, reduction)
