"""The twin of `parametric_eq.h`: up to 16 bands, each one to four trapezoidal state-variable filters, in series."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import together
from twinrack.twins.filter_design import cut_section_q
from twinrack.twins.recursions import design_filters, svf_cascade
from twinrack.twins.values import Context, Values

WITH_GAIN = ("bell", "low_shelf", "high_shelf")


def coefficients(v: Values, at: Context, channel: str = "all") -> Tensor | None:
    """Of the filters of one `channel` choice, first to last, (rows, ticks, filters, 5); None when it has no band."""
    shapes: list[str] = []
    numbers: list[Tensor] = []
    for band in v.bands:
        if band.type == "off" or band.channel != channel:
            continue
        stages = int(band.slope_db_per_octave) // 12 if band.type in ("low_cut", "high_cut") else 1
        for stage in range(stages):
            shapes.append(band.type)
            gain = band.gain_db if band.type in WITH_GAIN else band.gain_db.detach()
            numbers += [band.frequency_hz, gain, cut_section_q(stage, stages, band.q)]
    if not shapes:
        return None
    frequency, gain, q = torch.stack(together(*numbers), -1).unflatten(-1, (len(shapes), 3)).unbind(-1)
    return design_filters(shapes, v.warping == "matched", frequency, gain, q, at.sample_rate, at.path)


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    c = coefficients(v, at)
    if c is not None:
        x = svf_cascade(x, c, at.path)
    for index, channel in enumerate(("left", "right")):
        c = coefficients(v, at, channel) if index < x.shape[1] else None
        if c is not None:
            alone = svf_cascade(x[:, index : index + 1], c, at.path)
            x = torch.cat([x[:, :index], alone, x[:, index + 1 :]], 1)
    return x
