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
        sounds = x > 1.5 * SILENCE
        next_level = level + slow * (x - level)
        begin = next_level.clamp(max=LOUDEST_START)
        running = age + 0.5 > start
        next_minimum = torch.where(running, torch.minimum(minimum * rise, next_level), begin)
        octaves = torch.log2(next_level) - torch.log2(next_minimum)
        likely = 1.0 / (1.0 + torch.exp2(SHARPNESS * (octaves - MIDDLE)))
        next_noise = torch.where(running, noise + likely * adapt * (x - noise), begin)
        level, minimum = torch.where(sounds, next_level, level), torch.where(sounds, next_minimum, minimum)
        noise = torch.where(sounds, next_noise, noise)
        steps.append(noise.clamp(min=SILENCE))
        age = age + sounds
    return torch.stack(steps, -1)


noise_power = Recursion("denoiser.noise", _noise)
