"""Start values of a compressor: from the gain over the level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.starts import Values, best_values, levels_and_gains
from twinrack.twins.gain_curve import LEAST_KNEE_DB, reduction_db

FEWEST = 20  # windows with sound


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """The static curve, through the levels and what each has lost; times stay as they are."""
    dry, gain = levels_and_gains(pairs, rate, effect.get("detector") != "peak")
    if dry.size < FEWEST:
        return []
    choose = np.linspace(0, dry.size - 1, min(dry.size, 1500)).astype(int)
    order = np.argsort(dry)[choose]
    level, target = torch.from_numpy(dry[order]), torch.from_numpy(gain[order])
    names = [n for n in ("threshold_db", "ratio", "knee_db", "makeup_db") if n in learned]

    def loss(values: dict[str, Tensor]) -> Tensor:
        count = len(next(iter(values.values())))
        v = {
            n: values.get(n, torch.full((count,), float(effect.get(n)), dtype=torch.float64)).unsqueeze(1)
            for n in ("threshold_db", "ratio", "knee_db", "makeup_db", "range_db")
        }
        reduction = reduction_db(
            level, v["threshold_db"], 1.0 - 1.0 / v["ratio"], v["knee_db"].clamp(min=LEAST_KNEE_DB), v["range_db"]
        )
        return (v["makeup_db"] - reduction - target).abs().mean(1)

    return best_values(effect, names, loss) if names else []
