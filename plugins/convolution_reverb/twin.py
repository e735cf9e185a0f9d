"""The twin of `convolution_reverb.h`:

in -> * response -> gain -> mix -> out
  `-> lead ----------------^

Exact, by the Fourier transform of the whole sound. The response has a gradient: `resources["impulse_response"]` of the
effect's twin is a parameter that learns when it is told to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from twinrack.plugins.convolution_reverb.resource import outputs, ring_frames, window

from twinrack.audio import HIGH_CUT_OFF_HZ, LOW_CUT_OFF_HZ, whole_frames
from twinrack.rack.card import Value
from twinrack.twins.curves import delay, numbers_in, ramp
from twinrack.twins.filter_design import BUTTERWORTH_Q, design_svf
from twinrack.twins.recursions import svf_cascade
from twinrack.twins.values import Context, Values


def latency(values: Mapping[str, Value], sample_rate: float) -> int:
    return whole_frames(float(values["lead_ms"]), sample_rate)


def shaped(response: Tensor, v: Values, at: Context) -> Tensor:
    """As `resource.build`, without the delay before it: (rows, channels, frames), a row for each item of the batch where decay
    or cuts have one."""
    numbers = {name: float(getattr(v, name)) for name in ("trim_ms", "length_s")}
    first, last, fade = window(response.shape[-1], numbers, at.sample_rate)
    time = torch.arange(last - first, dtype=torch.float64, device=response.device) / at.sample_rate
    decay = torch.exp(-v.decay_db_per_s[:, :1] * (math.log(10.0) / 20.0) * time).unsqueeze(1)
    h = response[:, first:last].double() * torch.from_numpy(fade).to(response.device) * decay
    h = through_cuts(h, v, at)
    if v.normalise:
        energy = (h * h).sum(-1)
        rows = outputs(h.shape[1], at.channels)
        loudest = torch.stack([energy[:, row].sum(-1) for row in rows], -1).amax(-1)
        h = h / torch.sqrt(loudest.clamp(min=1e-30))[:, None, None]
    return h


def through_cuts(h: Tensor, v: Values, at: Context) -> Tensor:
    used = {"low_cut": v.low_cut_hz > LOW_CUT_OFF_HZ, "high_cut": v.high_cut_hz < HIGH_CUT_OFF_HZ}
    if not any(bool(numbers_in(on).any()) for on in used.values()):
        return h
    lowest = {"low_cut_hz": float(numbers_in(v.low_cut_hz).min()), "high_cut_hz": float(numbers_in(v.high_cut_hz).min())}
    h = torch.nn.functional.pad(h, (0, ring_frames(lowest, at.sample_rate)))
    for shape, frequency in (("low_cut", v.low_cut_hz), ("high_cut", v.high_cut_hz)):
        if bool(numbers_in(used[shape]).any()):
            q = torch.full_like(frequency, BUTTERWORTH_Q)
            c = design_svf(shape, False, frequency, torch.zeros_like(q), q, at.sample_rate)
            rows = max(h.shape[0], c.shape[0])
            wide = h.expand(rows, -1, -1)
            cut = svf_cascade(wide.contiguous(), c.unsqueeze(2), at.path)
            h = torch.where(used[shape].reshape(-1, 1, 1), cut, wide)
    return h


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    def frames(t: Tensor) -> Tensor:  # rows, 1, frames
        return ramp(t.to(x.dtype), at.frames).unsqueeze(1)

    given = at.resources.get("impulse_response")
    dry = delay(x, whole_frames(float(v.lead_ms), at.sample_rate))
    wet = dry if given is None else reverberated(x, shaped(given, v, at), float(v.pre_delay_ms), at)
    mix = frames(v.mix)
    return (1.0 - mix) * dry + mix * (frames(10.0 ** (v.gain_db / 20.0)) * wet)


def reverberated(x: Tensor, h: Tensor, pre_delay_ms: float, at: Context) -> Tensor:
    """x with h after a delay. Only what is heard within the sound is transformed: a transform's rounding is that of the
    loudest sound in it, also where that comes too late to be heard."""
    length = x.shape[-1]
    late = min(whole_frames(pre_delay_ms, at.sample_rate), length)
    return torch.nn.functional.pad(convolved(x[..., : max(length - late, 1)], h), (late, 0))[..., :length]


def convolved(x: Tensor, h: Tensor) -> Tensor:
    """x (batch, channels, time) with h (rows, channels, frames), as long as x; the card says which channels are convolved."""
    channels, length = x.shape[1], x.shape[-1]
    true_stereo = h.shape[1] == 4 and channels == 2
    if not true_stereo and h.shape[1] not in (1, 2, channels):
        raise ValueError(f"a response of {h.shape[1]} channels does not fit a sound of {channels}")
    h = h[..., :length]
    size = 1 << (length + h.shape[-1] - 2).bit_length()
    # In float64: cuts can leave so little of a response that a transform's rounding in float32 would be heard beside it.
    spectrum, response = torch.fft.rfft(x.double(), size), torch.fft.rfft(h.double(), size)
    if true_stereo:
        left, right = spectrum[:, :1], spectrum[:, 1:]
        to_left = left * response[:, :1] + right * response[:, 2:3]
        product = torch.cat([to_left, left * response[:, 1:2] + right * response[:, 3:]], 1)
    else:
        product = spectrum * response[:, [c % h.shape[1] for c in range(channels)]]
    return torch.fft.irfft(product, size)[..., :length].to(x.dtype)
