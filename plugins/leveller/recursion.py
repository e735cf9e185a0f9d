"""The leveller's recursion: a level that goes towards a goal, by at most so much a frame down and up."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import hold
from twinrack.twins.recursions import Recursion


def _ride(goal: Tensor, limits: Tensor) -> Tensor:
    held = hold(limits, goal.shape[-1])
    level = torch.zeros_like(goal[..., 0])
    levels = []
    for n in range(goal.shape[-1]):
        down, up, share = held[:, min(n, held.shape[1] - 1)].unsqueeze(1).unbind(-1)
        level = level + share * torch.maximum(torch.minimum(goal[..., n] - level, up), -down)
        levels.append(level)
    return torch.stack(levels, -1)


ride = Recursion("leveller.ride", _ride)
