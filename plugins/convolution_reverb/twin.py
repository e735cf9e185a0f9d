"""The twin of `convolution_reverb.h`:

in -> low cut -> high cut -> * response -> gain -> mix -> out

Exact, by the Fourier transform of the whole sound. The response has a gradient: `resources["impulse_response"]` of the
effect's twin is a parameter that learns when it is told to.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from twinrack.plugins.convolution_reverb.response import outputs, window

from twinrack.twins.curves import ramp
from twinrack.twins.dynamics import through_cut, whole_frames
from twinrack.twins.values import Context, Values


def shaped(response: Tensor, v: Values, sample_rate: float) -> Tensor:
    """As `response.build`: (rows, channels, frames), one row for each value of the decay."""
    numbers = {name: float(getattr(v, name)) for name in ("trim_ms", "length_s", "pre_delay_ms")}
    first, last, fade = window(response.shape[-1], numbers, sample_rate)
    time = torch.arange(last - first, dtype=torch.float64, device=response.device) / sample_rate
    decay = torch.exp(-v.decay_db_per_s[:, :1] * (math.log(10.0) / 20.0) * time).unsqueeze(1)
    h = response[:, first:last].double() * torch.from_numpy(fade).to(response.device) * decay
    if v.normalise:
        energy = (h * h).sum(-1)
        loudest = torch.stack([energy[:, rows].sum(-1) for rows in outputs(h.shape[1])], -1).amax(-1)
        h = h / torch.sqrt(loudest.clamp(min=1e-30))[:, None, None]
    return torch.nn.functional.pad(h, (whole_frames(numbers["pre_delay_ms"], sample_rate), 0))


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    def frames(t: Tensor) -> Tensor:  # rows, 1, frames
        return ramp(t.to(x.dtype), at.frames).unsqueeze(1)

    heard = through_cut(x, "low_cut", v.low_cut_hz, at)
    heard = through_cut(heard, "high_cut", v.high_cut_hz, at)
    given = at.resources.get("impulse_response")
    wet = heard if given is None else convolved(heard, shaped(given, v, at.sample_rate).to(x.dtype))
    mix = frames(v.mix)
    return (1.0 - mix) * x + mix * (frames(10.0 ** (v.gain_db / 20.0)) * wet)


def convolved(x: Tensor, h: Tensor) -> Tensor:
    """x (batch, channels, time) with h (rows, channels, frames), as long as x; how the channels meet says the card."""
    channels, length = x.shape[1], x.shape[-1]
    h = h[..., :length]
    size = 1 << (length + h.shape[-1] - 2).bit_length()
    spectrum, response = torch.fft.rfft(x, size), torch.fft.rfft(h, size)
    if h.shape[1] == 4 and channels == 2:
        left, right = spectrum[:, :1], spectrum[:, 1:]
        product = torch.cat(
            [left * response[:, :1] + right * response[:, 2:3], left * response[:, 1:2] + right * response[:, 3:]], 1
        )
    else:
        product = spectrum * response[:, [c % h.shape[1] for c in range(channels)]]
    return torch.fft.irfft(product, size)[..., :length]
