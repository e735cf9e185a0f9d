"""The denoiser's recursion: the noise in a band, from the power of its ticks."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import hold
from twinrack.twins.recursions import Recursion

MIDDLE, SHARPNESS = 0.25, 3.0  # octaves of power above the minimum, and how sharply noise ends there
LOUDEST_START, SILENCE = 1e-5, 1e-12


def _noise(power: Tensor, settings: Tensor) -> Tensor:
    held = hold(settings, power.shape[-1])
    level = minimum = noise = age = torch.zeros_like(power[..., 0])
    steps = []
    for n in range(power.shape[-1]):
        slow, adapt, rise, start = held[:, min(n, held.shape[1] - 1)].unsqueeze(1).unbind(-1)
        x = power[..., n]
        level = level + slow * (x - level)
        begin = level.clamp(max=LOUDEST_START)
        running = age + 0.5 > start
        minimum = torch.where(running, torch.minimum(minimum * rise, level), begin)
        likely = 1.0 / (1.0 + torch.exp2(SHARPNESS * (torch.log2(level) - torch.log2(minimum) - MIDDLE)))
        noise = torch.where(running, noise + likely * adapt * (x - noise), begin)
        steps.append(noise)
        age = age + ((age > 0) | (x > 1.5 * SILENCE))
    return torch.stack(steps, -1)


noise_power = Recursion("denoiser.noise", _noise)
