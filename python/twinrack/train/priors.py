"""Priors: where values usually lie and how far they spread, from patches that people made, as a term of a loss.

A fit to a short or dull recording leaves values undetermined; there a prior decides (C.-Y. Yu et al., DiffVox: A Differentiable
Model for Capturing and Analysing Vocal Effects Distributions, arXiv 2504.14735, 2025; as a maximum a posteriori estimate in
C.-Y. Yu et al., Improving Inference-Time Optimisation for Vocal Effects Style Transfer with a Gaussian Prior, arXiv
2505.11315, 2025).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from ..rack.card import Parameter
from ..rack.patch import load
from ..twins.constrain import from_value, value_at
from .losses import Near

LEAST_PATCHES = 3
LEAST_SPREAD = 0.02  # of a whole range


def learned(folder: str | os.PathLike[str]) -> Near:
    """The term `losses.Near` with the means and spreads of all patches in a folder, address by address.

    Args:
        folder: of .rack.json files; values at an address that at least three of them have count, each in its parameter's own
            scale. Bands that are off do not count.

    Raises:
        FileNotFoundError, ValueError: no folder, or fewer than three patches.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder; give one with patches (.rack.json)")
    files = sorted(path.glob("*.rack.json"))
    if len(files) < LEAST_PATCHES:
        raise ValueError(f"{path} holds {len(files)} patches (.rack.json); at least {LEAST_PATCHES} are needed")
    positions: dict[str, tuple[Parameter, list[float]]] = {}
    for file in files:
        for effect_address, effect in load(file).addresses().items():
            unused = effect.switched_off()
            for name, p in effect.card.addresses.items():
                if p.kind == "continuous" and p.learnable and name not in unused and not effect.bypass:
                    _, values = positions.setdefault(f"{effect_address}.{name}", (p, []))
                    values.append(from_value(p, float(effect.get(name))))
    means, spreads = {}, {}
    for address, (p, values) in positions.items():
        if len(values) >= LEAST_PATCHES:
            means[address] = float(value_at(p, torch.tensor(float(np.mean(values)), dtype=torch.float64)))
            spreads[address] = max(float(np.std(values, ddof=1)), LEAST_SPREAD)
    return Near(means, spreads)
