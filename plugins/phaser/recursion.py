"""The phaser's recursion: all-passes of first order in series, with feedback from the last output."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import ramp
from twinrack.twins.recursions import Recursion


def _stages(x: Tensor, settings: Tensor, options: list[int]) -> Tensor:
    moving = ramp(settings, x.shape[-1])
    s = [torch.zeros_like(x[..., 0])] * options[0]
    y = torch.zeros_like(x[..., 0])
    out = []
    for n in range(x.shape[-1]):
        b, feedback = moving[:, min(n, moving.shape[1] - 1)].unsqueeze(1).unbind(-1)
        u = x[..., n] + feedback * y
        after = []
        for state in s:
            d = u - state
            after.append(state + b * d)
            u = after[-1] - d
        s, y = after, u
        out.append(y)
    return torch.stack(out, -1)


stages = Recursion("phaser.stages", _stages)
