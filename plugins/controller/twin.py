"""The twin of `controller.h`: the sound passes, and `controls` gives the numbers for each tick.

sound or key -> mean of channels -> levels (10 ms, 300 ms; four bands, 100 ms) -> network -> a number for each value
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.resources.network import ControlNetwork
from twinrack.twins.curves import TICK_FRAMES, tick_count
from twinrack.twins.filter_design import design_svf
from twinrack.twins.networks import mlp
from twinrack.twins.recursions import follower, svf_cascade
from twinrack.twins.values import Context, Values

CENTRES_HZ = (100.0, 500.0, 2000.0, 8000.0)
TIMES_S = (0.010, 0.300, 0.100, 0.100, 0.100, 0.100)


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    return x


def features(x: Tensor, at: Context, key: Tensor | None) -> Tensor:
    """Levels at the end of each whole tick, (batch, 6, ticks): dB over 40, so that -40 dB is 0."""
    mono = (x if key is None else key).mean(1, keepdim=True)
    batch, ticks = mono.shape[0], tick_count(mono.shape[-1])
    centres = torch.tensor([min(hertz, 0.45 * at.sample_rate) for hertz in CENTRES_HZ], dtype=torch.float64, device=x.device)
    c = design_svf(
        "band_pass", False, centres[:, None], 0.0 * centres[:, None], math.sqrt(2.0) + 0.0 * centres[:, None], at.sample_rate
    )
    repeated = mono.repeat_interleave(len(CENTRES_HZ), 0).contiguous()
    bands = svf_cascade(repeated, c.unsqueeze(2).repeat(batch, 1, 1, 1), at.path).reshape(batch, len(CENTRES_HZ), -1)
    sounds = torch.cat([mono, mono, bands], 1)
    padded = torch.nn.functional.pad(sounds, (0, ticks * TICK_FRAMES - sounds.shape[-1]))
    power = padded.reshape(batch, len(TIMES_S), ticks, TICK_FRAMES).square().mean(-1)
    coefficients = torch.tensor([1.0 - math.exp(-TICK_FRAMES / (t * at.sample_rate)) for t in TIMES_S], dtype=torch.float64)
    both = coefficients.to(x.device).reshape(-1, 1, 1).expand(-1, 1, 2).repeat(batch, 1, 1)
    level = follower(power.reshape(-1, 1, ticks).contiguous(), both, False, at.path).reshape(batch, len(TIMES_S), ticks)
    return 10.0 * torch.log10(level + 1e-10) / 40.0 + 1.0


def controls(x: Tensor, v: Values, at: Context, key: Tensor | None) -> dict[str, Tensor]:
    """The amount added to the position of each driven value, by address: (batch, ticks); one tick late, so 0 at first."""
    net = at.given.get("network")
    if not isinstance(net, ControlNetwork):
        return {}
    moves = mlp(features(x, at, key), net.architecture, at.resources["network"])
    moves = v.amount.to(x.dtype).unsqueeze(1) * moves
    delayed = torch.cat([torch.zeros_like(moves[..., :1]), moves[..., :-1]], -1)
    return dict(zip(net.targets, delayed.unbind(1), strict=True))
