"""The twin of `limiter.h`:

in -> gain -+-> peaks between the samples -> dB above the ceiling -> largest in the window -> release -> two means -+
            +-> delay ------------------------------------------------------------------------------> x gain --> out

Where several frames or points are equally large, the gradient is that of one of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, conv1d, max_pool1d, pad

from twinrack import _engine
from twinrack.audio import whole_frames
from twinrack.rack.card import Value
from twinrack.twins.curves import delay, numbers_in, ramp
from twinrack.twins.dynamics import one_pole_coefficient
from twinrack.twins.gain_curve import FLOOR_AMPLITUDE, amplitude, decibels
from twinrack.twins.recursions import follower
from twinrack.twins.values import Context, Values

SHORTEST_LOOKAHEAD = 16  # frames
SLOW_FACTOR = 6.0
DELAY = 6  # frames by which the interpolated points lie behind


def latency(values: Mapping[str, Value], sample_rate: float) -> int:
    return max(SHORTEST_LOOKAHEAD, whole_frames(float(values["lookahead_ms"]), sample_rate))


def peaks(x: Tensor, between: bool) -> Tensor:
    """The largest magnitude at and after each sample, `DELAY` frames late; `between` looks at three points to the next one
    (Rec. ITU-R BS.1770-4, annex 2)."""
    samples = delay(x, DELAY).abs()
    if not between:
        return samples
    first, second = (torch.tensor(row, dtype=x.dtype, device=x.device) for row in _engine.true_peak_phases())
    phases = torch.stack([first, second, second.flip(0), first.flip(0)]).flip(1).unsqueeze(1)  # conv1d correlates
    flat = pad(x.reshape(-1, 1, x.shape[-1]), (phases.shape[-1] - 1, 0))
    between_samples = conv1d(flat, phases).abs().amax(1).reshape(x.shape)
    return torch.maximum(samples, between_samples)


def mean(x: Tensor, window: int) -> Tensor:
    """Of the last `window` frames, silence before the first."""
    return avg_pool1d(pad(x, (window - 1, 0)), window, stride=1)


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    def frames(t: Tensor) -> Tensor:  # rows, 1, frames
        return ramp(t.to(x.dtype), at.frames).unsqueeze(1)

    ahead = latency({"lookahead_ms": float(v.lookahead_ms)}, at.sample_rate)
    x = frames(10.0 ** (v.input_gain_db / 20.0)) * x
    ceiling = frames(10.0 ** (v.ceiling_db / 20.0))
    channel_peaks = peaks(x, v.detector == "true_peak").clamp(min=FLOOR_AMPLITUDE)
    largest = channel_peaks.amax(1, keepdim=True)
    over = decibels_over(largest, ceiling)
    if bool(numbers_in(v.link_percent != 100.0).any()) or v.link_percent.requires_grad:
        over = torch.maximum(decibels_over(channel_peaks, ceiling), frames(v.link_percent / 100.0) * over)
    held = max_pool1d(pad(over, (ahead + 1, 0)), ahead + 2, stride=1).double()  # long releases and means need it
    fall = one_pole_coefficient(v.release_ms, at.sample_rate)
    fast = follower(held, torch.stack([torch.ones_like(fall), fall], -1), False, at.path)
    longer = one_pole_coefficient(SLOW_FACTOR * v.release_ms, at.sample_rate)
    slow = follower(held, torch.stack([longer, longer], -1), False, at.path)
    reduction = torch.maximum(fast, frames(v.adaptive) * slow)
    both = ahead - (2 * DELAY - 2)
    for window in (both - both // 2, both // 2):
        reduction = mean(reduction, window)
    y = delay(x, ahead) * amplitude(-reduction.to(x.dtype))
    limit = late(ceiling, ahead - DELAY)
    return torch.maximum(torch.minimum(y, limit), -limit)


def late(ceiling: Tensor, frames: int) -> Tensor:
    """The ceiling delayed to the time when the peaks were measured; before the first frame, that of the first frame."""
    if ceiling.shape[-1] == 1:
        return ceiling
    start = ceiling[..., :1].expand(*ceiling.shape[:-1], min(frames, ceiling.shape[-1]))
    return torch.cat([start, ceiling[..., : max(ceiling.shape[-1] - frames, 0)]], -1)


def decibels_over(peak: Tensor, ceiling: Tensor) -> Tensor:
    return decibels(peak / ceiling).clamp(min=0.0)
