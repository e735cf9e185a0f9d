"""Loops of a leveller: the filters of its loudness, and the level itself, which keeps nothing that its limits do not allow."""

from twinrack.explain.certify import Loop, pole_loop
from twinrack.rack.effect import Effect

from .twin import k_weighting


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    import torch

    filters = k_weighting(sample_rate, torch.device("cpu"))[0, 0, :, :2].tolist()
    return [pole_loop(f"K weighting, {name}", g, k) for name, (g, k) in zip(("head", "low cut"), filters, strict=True)]
