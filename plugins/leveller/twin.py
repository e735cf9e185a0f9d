"""The twin of `leveller.h`: the level rides towards a loudness, limited in dB a second, and rests in pauses."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from twinrack.audio import whole_frames
from twinrack.rack.card import Value
from twinrack.twins.curves import TICK_FRAMES, delay, hold, ramp, tick_count, together
from twinrack.twins.gain_curve import amplitude
from twinrack.twins.recursions import svf_cascade
from twinrack.twins.values import Context, Values

from .recursion import ride

MOMENTARY_S = 0.4
FLOOR = 1e-14
LOUDEST = 1e3  # sample; what is beyond it counts as that


def latency(values: Mapping[str, Value], sample_rate: float) -> int:
    return whole_frames(float(values["lookahead_ms"]), sample_rate)


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    gain = amplitude(ridden_db(x if key is None else key, v, at))
    late = delay(x, whole_frames(float(v.lookahead_ms), at.sample_rate))
    return late * ramp(gain.to(x.dtype), at.frames).unsqueeze(1)


def ridden_db(x: Tensor, v: Values, at: Context) -> Tensor:
    """The level that each tick ends with, (batch, ticks)."""
    energy = tick_energies(x, at)
    momentary = lufs(moving_mean(energy, torch.ones_like(energy), _ticks(MOMENTARY_S, at)))
    begun = torch.arange(energy.shape[1], device=x.device) > 0
    awake = ((momentary >= v.pause_lufs) & begun).double().detach()
    loudness = lufs(moving_mean(energy, awake, _ticks(float(v.window_s.reshape(-1)[0]), at)))
    goal = torch.maximum(torch.minimum(v.target_lufs - loudness, v.max_boost_db), -v.max_cut_db)
    a_frame = 1.0 / at.sample_rate
    limits = torch.stack(together(v.fall_db_per_s * a_frame, v.rise_db_per_s * a_frame, awake), -1)
    frames = TICK_FRAMES * energy.shape[1]
    level = ride(hold(goal, frames).unsqueeze(1), limits, path=at.path)
    return level[:, 0, TICK_FRAMES - 1 :: TICK_FRAMES]


def tick_energies(x: Tensor, at: Context) -> Tensor:
    """The K-weighted energy of the tick before each tick, all channels added, (batch, ticks) float64; 0 before the first."""
    y = svf_cascade(x.double().clamp(-LOUDEST, LOUDEST), k_weighting(at.sample_rate, x.device), at.path)
    ticks = tick_count(x.shape[-1])
    power = torch.nn.functional.pad(y.square().sum(1), (0, TICK_FRAMES * ticks - x.shape[-1]))
    energy = power.unflatten(-1, (ticks, TICK_FRAMES)).sum(-1)
    return torch.cat([torch.zeros_like(energy[:, :1]), energy[:, :-1]], 1)


def moving_mean(energy: Tensor, counted: Tensor, window: int) -> Tensor:
    """For each tick the mean of the last `window` energies that are counted, or of all where there are fewer.

    Args:
        energy: (batch, ticks), that of the tick before each.
        counted: 1 or 0 each; the first is never counted.
    """
    counted = torch.cat([torch.zeros_like(counted[:, :1]), counted[:, 1:]], 1)
    number, total = counted.cumsum(1), (energy * counted).cumsum(1)
    before = torch.searchsorted(number.contiguous(), (number - window).clamp(min=0.0).contiguous())
    return (total - total.gather(1, before)) / number.clamp(min=1.0, max=float(window))


def lufs(energy: Tensor) -> Tensor:
    """Loudness of the mean energy of a tick."""
    return -0.691 + (10.0 / math.log(10.0)) * torch.log((energy / TICK_FRAMES).clamp(min=FLOOR))


def k_weighting(sample_rate: float, device: torch.device) -> Tensor:
    """The filters of ITU-R BS.1770-4 as in `k_weighting.h`, in the form of state-variable filters, (1, 1, 2, 5)."""
    g, high, k = (
        math.tan(math.pi * 1681.974450955533 / sample_rate),
        10.0 ** (3.999843853973347 / 20.0),
        1.0 / 0.7071752369554196,
    )
    shelf = [g, k, high, k * (high**0.4996667741545416 - high), 1.0 - high]
    g, k = math.tan(math.pi * 38.13547087602444 / sample_rate), 1.0 / 0.5003270373238773
    scale = 1.0 + g * k + g * g
    cut = [g, k, scale, -scale * k, -scale]
    return torch.tensor([shelf, cut], dtype=torch.float64, device=device).reshape(1, 1, 2, 5)


def _ticks(seconds: float, at: Context) -> int:
    return max(math.floor(seconds * at.sample_rate / TICK_FRAMES + 0.5), 1)
