"""The twin of `parametric_eq.h`: up to 16 bands, each one to four trapezoidal state-variable filters, in series."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import together
from twinrack.twins.filter_design import cut_section_q, design_svf
from twinrack.twins.recursions import svf_cascade
from twinrack.twins.values import Context, Values


def sections(v: Values, sample_rate: float) -> list[Tensor]:
    """Coefficients of all filters, first to last, each (rows, ticks, 5); empty when every band is off."""
    found = []
    for band in v.bands:
        if band.type == "off":
            continue
        stages = int(band.slope_db_per_octave) // 12 if band.type in ("low_cut", "high_cut") else 1
        for stage in range(stages):
            q = cut_section_q(stage, stages, band.q)
            match = v.warping == "matched"
            found.append(design_svf(band.type, match, band.frequency_hz, band.gain_db, q, sample_rate))
    return found


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    filters = sections(v, at.sample_rate)
    if not filters:
        return x
    return svf_cascade(x, torch.stack(together(*filters), 2), at.path)
