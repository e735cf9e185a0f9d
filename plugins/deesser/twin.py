"""The twin of `deesser.h`: the highs, or the whole sound, lowered while the highs stick out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.twins.band_level import level_db, tick_levels
from twinrack.twins.curves import ramp, together
from twinrack.twins.gain_curve import amplitude, reduction_db
from twinrack.twins.recursions import design_filters, svf_cascade
from twinrack.twins.values import Context, Values

KNEE_DB, SOFTEST_VOICE_DB = 6.0, -36.0
SHELF_Q = math.sqrt(0.5)
WHOLE = (1.0, 1.0, 1.0, 0.0, 0.0)  # a filter that lets everything through


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    q = v.q if v.mode == "bell" else torch.full_like(v.q, SHELF_Q)
    frequency, q = together(v.frequency_hz, q)
    detector = _design("band_pass" if v.mode == "bell" else "low_cut", frequency, torch.zeros_like(q), q, at)
    if v.listen == "band":
        return svf_cascade(x, detector, at.path)
    listened = x if key is None else key
    level = level_db(tick_levels(listened, detector, v.attack_ms, v.release_ms, at))
    if v.relative:
        whole = torch.tensor(WHOLE, dtype=torch.float64, device=x.device).reshape(1, 1, 1, 5)
        voice = level_db(tick_levels(listened, whole, v.attack_ms, v.release_ms, at))
        level = level - voice.clamp(min=SOFTEST_VOICE_DB)
    knee = torch.full_like(v.ratio[:1, :1], KNEE_DB)
    reduction = reduction_db(level, v.threshold_db, 1.0 - 1.0 / v.ratio, knee, v.range_db)
    if v.mode == "wide":
        y = x * ramp(amplitude(-reduction).to(x.dtype), at.frames).unsqueeze(1)
    else:
        c = _design("bell" if v.mode == "bell" else "high_shelf", *together(frequency, -reduction, q), at)
        y = svf_cascade(x, c, at.path)
    return x - y if v.listen == "removed" else y


def _design(shape: str, frequency: Tensor, gain_db: Tensor, q: Tensor, at: Context) -> Tensor:
    """One filter, (rows, ticks, 1, 5)."""
    numbers = (t.unsqueeze(-1) for t in (frequency, gain_db, q))
    return design_filters([shape], True, *numbers, at.sample_rate, at.path)
