"""The twin of `saturation.h`:

in -> drive -> [up] -> + bias -> curve -> [down] -> cut at 5 Hz -> tilt -> level -> mix -> out
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from twinrack.rack.card import Value
from twinrack.twins.curves import delay, ramp, together
from twinrack.twins.filter_design import BUTTERWORTH_Q, design_svf
from twinrack.twins.oversampling import latency_frames, oversampled
from twinrack.twins.recursions import svf_cascade
from twinrack.twins.values import Context, Values

REFERENCE = 10.0 ** (-18.0 / 20.0)  # a sine of this peak keeps its level
POINTS = 16


def latency(values: Mapping[str, Value], sample_rate: float) -> int:
    return latency_frames(int(str(values["oversampling"])), values["filters"] == "minimum_phase")


def dispersion(values: Mapping[str, Value], sample_rate: float) -> int:
    return latency(values, sample_rate) if values["filters"] == "minimum_phase" else 0


def shaped(curve: str, x: Tensor) -> Tensor:
    """The curves; all have slope 1 at 0."""
    if curve == "tanh":
        return torch.tanh(x)
    if curve == "soft_clip":
        y = x.clamp(-1.5, 1.5)
        return y - y * y * y * (4.0 / 27.0)
    if curve == "hard_clip":
        return x.clamp(-1.0, 1.0)
    if curve == "asymmetric":
        wide = torch.where(x > 0, 1.0, 2.0).to(x.dtype)
        return wide * torch.tanh(x / wide)
    if curve == "tape":
        return x / torch.sqrt(x * x + 1.0)
    return torch.sin(x)


def sine_level(curve: str, drive: Tensor, bias: Tensor) -> Tensor:
    """The gain after the curve at which a sine at the reference level has the power that it had before."""
    at = (torch.arange(POINTS, dtype=drive.dtype, device=drive.device) + 0.5) / POINTS
    x = REFERENCE * torch.sin(2.0 * math.pi * at)
    y = shaped(curve, drive.unsqueeze(-1) * x + bias.unsqueeze(-1))
    before = (x * x).mean()
    power = (y * y).mean(-1) - y.mean(-1) ** 2
    return torch.sqrt(before / torch.maximum(power, 1e-6 * before))


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    def frames(t: Tensor) -> Tensor:  # rows, 1, frames
        return ramp(t.to(x.dtype), at.frames).unsqueeze(1)

    factor = int(v.oversampling)
    drive, bias = together(10.0 ** (v.drive_db / 20.0), v.bias)
    middle = frames(v.bias)
    if middle.shape[-1] > 1:
        middle = middle.repeat_interleave(factor, -1)

    def function(s: Tensor) -> Tensor:
        return shaped(v.curve, s + middle) - shaped(v.curve, middle)

    wet = oversampled(frames(drive) * x, factor, v.filters == "minimum_phase", function, at.path)
    tone = design_svf(
        "high_shelf", False, *together(1000.0 + 0.0 * v.tone_db, v.tone_db, 0.5 + 0.0 * v.tone_db), at.sample_rate
    )
    five = torch.full_like(v.tone_db, 5.0)
    cut = design_svf("low_cut", False, five, 0.0 * five, BUTTERWORTH_Q + 0.0 * five, at.sample_rate)
    wet = svf_cascade(wet, torch.stack(together(cut, tone), 2), at.path)
    level = 10.0 ** ((v.output_db - 0.5 * v.tone_db) / 20.0)
    out = frames(level * sine_level(v.curve, drive, bias) if v.auto_gain else level)
    mix = frames(v.mix)
    if v.filters == "minimum_phase":  # through the same filters, so that their phase cancels nothing in the mix
        dry = oversampled(x, factor, True, lambda s: s, at.path)
    else:
        dry = delay(x, latency_frames(factor))
    return (1.0 - mix) * dry + mix * (out * wet)
