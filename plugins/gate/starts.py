"""Start values of a gate: from the gain over the level; and its choices, where the gain is a function of one level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from twinrack.rack.card import Value
from twinrack.rack.effect import Effect
from twinrack.rack.effect_files import effect_file
from twinrack.train.data import Pair, Split
from twinrack.train.gain_law import laws
from twinrack.train.starts import Values, levels_and_gains

FEWEST = 20  # windows with sound
CURVE = ("threshold_db", "ratio", "range_db", "knee_db", "smoothness_percent")
HOLDS = ("hysteresis_db", "hold_ms")


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """The threshold that parts what is let through from what is not, and how far down that is."""
    dry, gain = levels_and_gains(pairs, rate, effect.get("detector") != "peak")
    if dry.size < FEWEST:
        return []
    candidates = np.linspace(max(dry.min(), -70.0), dry.max() - 3.0, 100)

    def spread(threshold: float) -> float:
        sides = gain[dry >= threshold], gain[dry < threshold]
        return float(sum(np.abs(side - np.median(side)).sum() for side in sides if side.size))

    threshold = min(candidates, key=spread)
    closed = gain[dry < threshold - 6.0]
    return [{"threshold_db": float(threshold), "range_db": float(-np.percentile(closed, 5)) if closed.size > 5 else 40.0}]


def lawful(
    effect: Effect, pairs: Sequence[Pair], splits: Sequence[Split], rate: float, learned: set[str]
) -> list[dict[str, Value]]:
    """Choices and values of a gate that is alone between dry and wet, where the gain shows them; the best first.

    Of a gain that is a function of one level, the rest is the curve through it. Nothing is held then, and up is as down; where
    the gate is held so seldom that this hardly shows, hysteresis and hold may be what they are, which comes first.
    """
    if not {*CURVE, "attack_ms", "release_ms"} <= learned or float(effect.get("lookahead_ms")) > 0.0:
        return []
    curve = effect_file(effect.card, "twin").closing_db

    def gain_db(level: Tensor, threshold: Tensor, ratio: Tensor, most: Tensor, knee: Tensor, smooth: Tensor) -> Tensor:
        below: Tensor = (threshold + 0.5 * knee - level).clamp(min=0.0)
        reduction: Tensor = curve(below, ratio - 1.0, most, knee, smooth / 100.0)
        return -reduction

    answers: list[dict[str, Value]] = []
    for law in laws(pairs, splits, rate, attack_lowers=False):
        values = law.curve(effect, CURVE, gain_db)
        shown: dict[str, Value] = {**law.values_for(effect, learned), **values}
        answers.append(shown)
        if any(effect.get(n) for n in HOLDS):
            answers.append({**shown, **dict.fromkeys(HOLDS, 0.0)})
    return answers
