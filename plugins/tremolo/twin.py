"""The twin of `tremolo.h`: a gain that follows an oscillator, from 1 down to 1 less the depth."""

from __future__ import annotations

from torch import Tensor

from twinrack.twins.curves import ramp
from twinrack.twins.modulation import oscillator
from twinrack.twins.values import Context, Values


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    depth = ramp(v.depth, at.frames).unsqueeze(1)
    gain = 1.0 - depth * (0.5 - 0.5 * oscillator(v, at, at.channels))
    return x * gain.to(x.dtype)
