"""The twin of `fdn_reverb.h`:

in -> low cut -> high cut -> pre-delay -+-> early reflections ---------------------> + -> width -> mix -> out
                                        +-> diffusers -> 16-line delay network ----> +

`diffuser_gain`, `late_level` and `overshoot_scale` are the functions of these names in cpp/dsp/delay/fdn_design.h, which
says why they are as they are.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from twinrack import _engine
from twinrack.twins.curves import TICK_FRAMES, delay, numbers_in, ramp, tick_count, together
from twinrack.twins.filter_design import BUTTERWORTH_Q, design_svf, monotonous_shelf, prewarped
from twinrack.twins.gain_curve import amplitude
from twinrack.twins.modulation import delayed
from twinrack.twins.recursions import allpass, feedback_network, svf_cascade
from twinrack.twins.values import Context, Values

EARLY_OFF_DB = -59.99


@lru_cache(maxsize=16)
def layout(sample_rate: float) -> dict[str, Any]:
    """The fixed numbers of the network at a sample rate, as the engine has them."""
    numbers: dict[str, Any] = _engine.fdn_layout(sample_rate)
    return numbers


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    wet = svf_cascade(x, _cuts(v, at), at.path)
    wet = delayed(wet, ramp(1.0 + v.pre_delay_ms * (1e-3 * at.sample_rate), at.frames).unsqueeze(1))
    late = _frames(late_level(v.decay_s), at, x.dtype) * _network(_diffuse(wet, v, at), v, at)
    early = torch.where(v.early_db > EARLY_OFF_DB, amplitude(v.early_db), torch.zeros_like(v.early_db))
    both = late + _frames(early, at, x.dtype) * _reflections(wet, at)
    mean = both.mean(1, keepdim=True)
    width, mix = _frames(v.width, at, x.dtype), _frames(v.mix, at, x.dtype)
    return (1.0 - mix) * x + mix * (mean + width * (both - mean))


def _frames(t: Tensor, at: Context, dtype: torch.dtype) -> Tensor:
    return ramp(t.to(dtype), at.frames).unsqueeze(1)


def _cuts(v: Values, at: Context) -> Tensor:
    zero = torch.zeros_like(v.low_cut_hz)
    low = design_svf("low_cut", False, v.low_cut_hz, zero, torch.full_like(zero, BUTTERWORTH_Q), at.sample_rate)
    zero = torch.zeros_like(v.high_cut_hz)
    high = design_svf("high_cut", False, v.high_cut_hz, zero, torch.full_like(zero, BUTTERWORTH_Q), at.sample_rate)
    return torch.stack(together(low, high), 2)


def _diffuse(x: Tensor, v: Values, at: Context) -> Tensor:
    plan = layout(at.sample_rate)
    for lengths in plan["diffuser_frames"]:
        sides = []
        for side in range(min(2, at.channels)):
            gain = diffuser_gain(v.diffusion, lengths[side], at.sample_rate, v.decay_s)
            count = len(range(side, at.channels, 2))
            sides.append(allpass(x[:, side::2].contiguous(), gain, [lengths[side]] * count, at.path))
        x = sides[0] if at.channels == 1 else _interleave(sides, at.channels)
    return x * (0.0 if v.freeze else 1.0)


def _interleave(sides: list[Tensor], channels: int) -> Tensor:
    return torch.stack([sides[c % 2][:, c // 2] for c in range(channels)], 1)


def _network(x: Tensor, v: Values, at: Context) -> Tensor:
    plan = layout(at.sample_rate)
    lines: list[int] = list(plan["line_frames"])
    return feedback_network(x, attenuation(v, at.sample_rate, lines), _turns(v, at, plan), lines, at.path)


def attenuation(v: Values, sample_rate: float, lines: list[int]) -> Tensor:
    """The two shelves of every line, (rows, ticks, 2, 5, 16): 60 dB per decay time in three bands, never above 1."""
    seconds = torch.tensor(lines, dtype=torch.float64, device=v.decay_s.device) / sample_rate
    wide = together(v.decay_s, v.decay_low_s, v.decay_high_s, v.crossover_low_hz, v.crossover_high_hz)
    decay, decay_low, decay_high, low_hz, high_hz = (t.unsqueeze(-1) for t in wide)

    def gain_of(time: Tensor) -> Tensor:
        return torch.exp(-3.0 * math.log(10.0) * seconds / time)

    mid = gain_of(decay)
    low, high = gain_of(decay_low) / mid, gain_of(decay_high) / mid
    if v.freeze:
        low = high = gain = torch.ones_like(mid)
    else:
        ratio4 = (prewarped(low_hz, sample_rate) / prewarped(high_hz, sample_rate)) ** 4
        gain = mid * overshoot_scale(low, high, ratio4)
    first = monotonous_shelf(True, low, low_hz, sample_rate)
    last = monotonous_shelf(False, high, high_hz, sample_rate)
    last = torch.cat([last[..., :2], last[..., 2:] * gain.unsqueeze(-1)], -1)
    return torch.stack([first, last], 2).transpose(-1, -2)


def _turns(v: Values, at: Context, plan: dict[str, Any]) -> Tensor:
    """Cosine and sine of the angle of each pair of lines at the start of every tick and at the end."""
    ticks = tick_count(at.frames)
    turn_rate, depth = together(v.modulation_rate_hz * (TICK_FRAMES / at.sample_rate), v.modulation_depth)
    if not bool(numbers_in(depth != 0).any()) and not depth.requires_grad:
        zero = torch.zeros(1, 1, 8, dtype=depth.dtype, device=depth.device)
        return torch.stack([torch.ones_like(zero), zero], 2)
    phase = torch.cumsum(turn_rate.expand(-1, ticks), 1)
    phase = torch.cat([torch.zeros_like(phase[:, :1]), phase], 1) + turn_rate[:, :1] * at.first_tick
    phase = phase.unsqueeze(-1)
    depth = depth.expand(-1, ticks)
    depth = torch.cat([depth[:, :1], depth], 1).unsqueeze(-1)
    factor = torch.tensor(plan["rate_factor"], dtype=phase.dtype, device=phase.device)
    start = torch.tensor(plan["start_turn"], dtype=phase.dtype, device=phase.device)
    angle = 0.5 * math.pi * depth * torch.sin(2.0 * math.pi * (phase * factor + start))
    return torch.stack([torch.cos(angle), torch.sin(angle)], 2)


def diffuser_gain(diffusion: Tensor, length: int, sample_rate: float, decay_s: Tensor) -> Tensor:
    """The gain of a diffuser of `length` frames."""
    return 0.75 * diffusion * torch.exp(-6.0 * math.log(10.0) * length / sample_rate / decay_s)


def late_level(decay_s: Tensor) -> Tensor:
    """The output level that makes late reverberation about as loud for every decay time."""
    return 1.3 * torch.sqrt(-torch.expm1(-6.0 * math.log(10.0) * 0.0316 / decay_s))


def overshoot_scale(low: Tensor, high: Tensor, ratio4: Tensor) -> Tensor:
    """The scale that keeps a line's two shelves in series at or below the gains of their three bands.

    Args:
        low, high: gains of the low and the high band, relative to the middle one.
        ratio4: (low / high)^4 of the frequencies between the bands, prewarped.
    """
    ends = torch.maximum(torch.ones_like(low), torch.maximum(low * low, high * high))
    middle = (high + low * high * high * ratio4) / (high + ratio4 / low)
    return torch.sqrt(ends / torch.maximum(ends, middle))


def _reflections(x: Tensor, at: Context) -> Tensor:
    """Twelve echoes a channel; odd ones come from the channel opposite."""
    plan = layout(at.sample_rate)
    out = []
    for c in range(at.channels):
        opposite = c ^ 1 if c ^ 1 < at.channels else c
        taps = zip(plan["early_frames"][c % 2], plan["early_gain"][c % 2], strict=True)
        y = torch.zeros_like(x[:, c])
        for i, (frames, gain) in enumerate(taps):
            y = y + gain * delay(x[:, c if i % 2 == 0 else opposite], frames)
        out.append(y)
    return torch.stack(out, 1)
