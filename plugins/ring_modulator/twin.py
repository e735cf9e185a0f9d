"""The twin of `ring_modulator.h`: the sound times a sine."""

from __future__ import annotations

from torch import Tensor

from twinrack.twins.curves import ramp
from twinrack.twins.modulation import oscillator
from twinrack.twins.values import Context, Values

HIGHEST_SHARE = 0.45  # of the sample rate


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    mix = ramp(v.mix, at.frames).unsqueeze(1)
    hz = v.frequency_hz.clamp(max=HIGHEST_SHARE * at.sample_rate)
    gain = 1.0 + mix * (oscillator(v, at, at.channels, rate_hz=hz) - 1.0)
    return x * gain.to(x.dtype)
