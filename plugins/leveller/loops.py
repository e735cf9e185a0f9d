"""Loops of a leveller: the filters of its loudness, and the level itself, which keeps nothing that its limits do not allow."""

import math

from twinrack.explain.certify import Loop
from twinrack.rack.effect import Effect

from .twin import k_weighting


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    import torch

    every = []
    for name, (g, k) in zip(
        ("head", "low cut"), k_weighting(sample_rate, torch.device("cpu"))[0, 0, :, :2].tolist(), strict=True
    ):
        a0, a1, a2 = 1.0 + g * k + g * g, 2.0 * (g * g - 1.0), 1.0 - g * k + g * g
        real = a1 * a1 - 4.0 * a0 * a2
        radius = math.sqrt(a2 / a0) if real < 0.0 else (abs(a1) + math.sqrt(real)) / (2.0 * a0)
        every.append(Loop(f"K weighting, {name}", "poles", radius))
    return every
