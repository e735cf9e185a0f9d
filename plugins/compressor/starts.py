"""Start values of a compressor: from the gain over the level; and its choices, where the gain is a function of one level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from twinrack.rack.card import Value
from twinrack.rack.effect import Effect
from twinrack.train.data import Pair, Split
from twinrack.train.gain_law import laws
from twinrack.train.starts import Values, best_values, levels_and_gains
from twinrack.twins.gain_curve import LEAST_KNEE_DB, reduction_db

FEWEST = 20  # windows with sound
CURVE = ("threshold_db", "ratio", "knee_db", "makeup_db", "range_db")


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


def lawful(
    effect: Effect, pairs: Sequence[Pair], splits: Sequence[Split], rate: float, learned: set[str]
) -> list[dict[str, Value]]:
    """Choices and values of a compressor that is alone between dry and wet, where the gain shows them; the best first.

    Of a gain that is a function of one level, the rest is the curve through it.
    """
    if not {*CURVE, "attack_ms", "release_ms"} <= learned or float(effect.get("lookahead_ms")) > 0.0:
        return []

    def gain_db(level: Tensor, threshold: Tensor, ratio: Tensor, knee: Tensor, makeup: Tensor, most: Tensor) -> Tensor:
        return makeup - reduction_db(level, threshold, 1.0 - 1.0 / ratio, knee.clamp(min=LEAST_KNEE_DB), most)

    answers: list[dict[str, Value]] = []
    for law in laws(pairs, splits, rate, attack_lowers=True, envelopes=("branching", "decoupled")):
        values = law.curve(effect, CURVE, gain_db)
        fixed: dict[str, Value] = {"topology": "feed_forward", "envelope": "branching", "auto_makeup": False}
        answers.append({**fixed, **law.values_for(effect, learned), **values})
    return answers
