"""The twin of `flanger.h`: a short delay that moves, with feedback, added to the sound itself."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import ramp
from twinrack.twins.modulation import oscillator
from twinrack.twins.recursions import delay_loop
from twinrack.twins.values import Context, Values

SHORTEST = 2.01  # frames


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    least, sweep = (ramp(t * (1e-3 * at.sample_rate), at.frames).unsqueeze(1) for t in (v.delay_ms, v.sweep_ms))
    age = (least + sweep * (0.5 + 0.5 * oscillator(v, at, at.channels))).clamp(min=SHORTEST)
    zero = torch.zeros_like(v.feedback)
    wet = delay_loop(x, torch.stack([v.feedback, *[zero] * 5], -1), age, at.path)
    mix = ramp(v.mix.to(x.dtype), at.frames).unsqueeze(1)
    return (1.0 - mix) * x + mix * wet
