"""The twin of `denoiser.h`: each band lowered by the share of its power that is noise, or as a network decides."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from twinrack.audio import whole_frames
from twinrack.rack.card import Value
from twinrack.resources.noise_network import NoiseNetwork
from twinrack.twins.auditory_bands import COUNT, band_powers, through_band_gains
from twinrack.twins.curves import TICK_FRAMES, delay, together
from twinrack.twins.gain_curve import amplitude
from twinrack.twins.networks import conv_stack, unpacked
from twinrack.twins.recursions import follower
from twinrack.twins.values import Context, Values

from .recursion import noise_power

SLOW_S, START_S = 0.075, 0.06
RISE_DB = 3.0  # of the minimum, in the time of the adaptation
FLOOR = 1e-12  # power
EXCESS = 1.4125375  # the noise counts 1.5 dB louder than the mean of what was taken for it
LOUDEST = 1e6  # sample; what is beyond it counts as that
GAIN_S = 0.002  # time constant of the gains in dB
HOP_S = 128.0 / 48000.0  # from one decision of a network to the next


def latency(values: Mapping[str, Value], sample_rate: float) -> int:
    return whole_frames(float(values["lookahead_ms"]), sample_rate)


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    frames = whole_frames(float(v.lookahead_ms), at.sample_rate)
    taken = through_band_gains(x, 1.0 - amplitude(band_gains_db(x, v, at)), frames, at)
    return taken if v.listen == "removed" else delay(x, frames) - taken


def band_gains_db(x: Tensor, v: Values, at: Context) -> Tensor:
    """The gain that each tick ends with in each used band, (batch, bands, ticks) float64; 0 dB in the first."""
    power = band_powers(x.clamp(-LOUDEST, LOUDEST), at).clamp(min=FLOOR)
    before = torch.cat([torch.full_like(power[..., :1], FLOOR), power[..., :-1]], -1)  # of the tick before each
    noise = noise_in(before, v, at)
    net = at.given.get("network")
    if isinstance(net, NoiseNetwork):
        return _glide(_decided(power, noise, net, v, at), at)
    if "network" in at.resources:
        raise ValueError("denoiser.network is a tensor, which does not say what it consists of; give a tr.NoiseNetwork")
    smoothed = _followed(before, 1e-3 * v.smoothing_ms[:, :1], at).clamp(min=FLOOR)
    counted = EXCESS * _power(v.sensitivity_db).unsqueeze(1) * (noise - FLOOR).clamp(min=0.0)
    least = _power(-v.reduction_db).unsqueeze(1)
    return _glide((10.0 / math.log(10.0)) * torch.log(torch.maximum(1.0 - counted / smoothed, least)), at)


def _glide(target_db: Tensor, at: Context) -> Tensor:
    first = target_db[..., :1]
    return first + _followed(target_db - first, torch.full_like(first[:1, 0], GAIN_S), at)


def noise_in(power: Tensor, v: Values, at: Context) -> Tensor:
    """The noise that is known after ticks of such powers, (batch, bands, ticks)."""
    if v.noise == "track":
        return noise_power(power, tracking(v.adaptation_s[:, :1], at), path=at.path)
    if v.noise == "learn":
        sounds = (power > 1.5 * FLOOR).to(power.dtype)
        return ((power * sounds).cumsum(-1) / sounds.cumsum(-1).clamp(min=1.0)).clamp(min=FLOOR)
    if v.noise == "hold":
        return torch.full_like(power, FLOOR)
    rows = [band.noise_db for band in v.bands[: power.shape[1]]]
    return _power(torch.stack(together(*rows), 1)).expand_as(power)


def tracking(adaptation_s: Tensor, at: Context) -> Tensor:
    """Settings of `noise_power` for a time constant in s, (rows, 1)."""
    rise = torch.exp(0.1 * math.log(10.0) * RISE_DB * TICK_FRAMES / (adaptation_s * at.sample_rate))
    start = torch.full_like(adaptation_s, max(math.floor(START_S * at.sample_rate / TICK_FRAMES + 0.5), 1))
    slow = _share(torch.full_like(adaptation_s, SLOW_S), at)
    return torch.stack([slow, _share(adaptation_s, at), rise, start], -1)


def hop_ticks(sample_rate: float) -> int:
    """Ticks from one decision of a network to the next."""
    return max(math.floor(HOP_S * sample_rate / TICK_FRAMES + 0.5), 1)


def _decided(power: Tensor, noise: Tensor, net: NoiseNetwork, v: Values, at: Context) -> Tensor:
    """The gains that a network wants in each tick; it decides once a hop."""
    hop = hop_ticks(at.sample_rate)
    ticks, hops = power.shape[-1], (power.shape[-1] - 1) // hop  # decisions that are still heard
    x = features(power[..., : hops * hop], noise[..., hop::hop], hop)
    a = net.architecture
    before = torch.nn.functional.pad(x, (a.receptive_field - 1, 0))
    out = conv_stack(before, a, unpacked(a, at.resources["network"], x.dtype), "")[:, : power.shape[1]]
    silent = torch.zeros_like(before[:1, :, : a.receptive_field])
    start = conv_stack(silent, a, unpacked(a, at.resources["network"], x.dtype), "")[:, : power.shape[1]]
    decided = torch.cat([start.expand(out.shape[0], -1, -1), out], -1)  # at first as after endless silence
    sensitivity, reduction = (_at_hops(t, hop, hops + 1) for t in (v.sensitivity_db, v.reduction_db))
    lowered = torch.sigmoid(sensitivity * (math.log(10.0) / 10.0) - decided)
    return (-reduction * lowered).repeat_interleave(hop, -1)[..., :ticks]


def features(power: Tensor, noise: Tensor, hop: int) -> Tensor:
    """The inputs of a network after each hop, (batch, 48, hops): the levels of the bands, (dB + 100) / 40, and how far they are
    above the noise, dB / 20.

    Args:
        power: (batch, bands, hops × ticks of a hop).
        noise: (batch, bands, hops), as it is known after each hop.
    """
    level, floor = _level_db(power.unflatten(-1, (-1, hop)).mean(-1)), _level_db(noise)
    missing = torch.zeros_like(level[:, :1]).expand(-1, COUNT - power.shape[1], -1)
    return torch.cat([(level + 100.0) / 40.0, missing, (level - floor) / 20.0, missing], 1)


def _at_hops(value: Tensor, hop: int, hops: int) -> Tensor:
    """The value in the first tick of each hop, in which it is decided; (rows, 1, hops or 1)."""
    if value.shape[1] == 1:
        return value.unsqueeze(1)
    places = (torch.arange(hops, device=value.device) * hop).clamp(max=value.shape[1] - 1)
    return value[:, places].unsqueeze(1)


def _followed(power: Tensor, seconds: Tensor, at: Context) -> Tensor:
    c = _share(seconds, at).unsqueeze(-1).expand(-1, -1, 2)
    return follower(power, c, False, at.path)


def _share(seconds: Tensor, at: Context) -> Tensor:
    return -torch.expm1(-TICK_FRAMES / (seconds * at.sample_rate))


def _power(db: Tensor) -> Tensor:
    return torch.exp(db * (math.log(10.0) / 10.0))


def _level_db(power: Tensor) -> Tensor:
    return (10.0 / math.log(10.0)) * torch.log(power.clamp(min=1e-10))
