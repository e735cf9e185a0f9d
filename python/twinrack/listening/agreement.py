"""Which of the project's measures agrees with the listeners: rank correlations over all sounds of a test, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .ratings import CONFIDENCE, Scores
from .stimuli import REFERENCE

Numbers = npt.NDArray[np.float64]
DRAWS = 1000
LEAST_SOUNDS = 5  # for a correlation to mean anything


@dataclass(frozen=True)
class Agreement:
    """A measure beside the scores: Spearman's rank correlation, 1 where a smaller value always goes with a better score.

    Attributes:
        low, high: a 95 % interval by bootstrap over listeners and items.
        sounds: how many were compared.
    """

    measure: str
    correlation: float
    low: float
    high: float
    sounds: int

    def __str__(self) -> str:
        return f"{self.measure}: {self.correlation:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def agreements(scores: Scores, measures: Mapping[str, Mapping[str, Mapping[str, float]]], *, seed: int = 0) -> list[Agreement]:
    """Every measure, the one that agrees best first; nothing with fewer than five sounds.

    Args:
        scores: that were counted.
        measures: by item, condition and measure, smaller for nearer.
        seed: of the bootstrap.
    """
    cells = [
        (i, c) for i, item in enumerate(scores.items) for c, condition in enumerate(scores.conditions)
        if condition != REFERENCE and condition in measures.get(item, {}) and np.isfinite(scores.values[:, i, c]).all()
    ]  # fmt: skip
    if len(cells) < LEAST_SOUNDS:
        return []
    by_item = [[k for k, (i, _) in enumerate(cells) if i == item] for item in range(len(scores.items))]
    rated = np.stack([scores.values[:, i, c] for i, c in cells])  # (sounds, listeners)
    names = list(measures[scores.items[cells[0][0]]][scores.conditions[cells[0][1]]])
    values = np.array([[measures[scores.items[i]][scores.conditions[c]][name] for i, c in cells] for name in names])
    random = np.random.default_rng(seed)
    drawn = np.full((DRAWS, len(names)), np.nan)
    filled = [own for own in by_item if own]
    for n in range(DRAWS):
        sounds = np.concatenate([filled[k] for k in random.integers(0, len(filled), len(filled))]).astype(int)
        people = random.integers(0, rated.shape[1], rated.shape[1])
        drawn[n] = _correlations(values[:, sounds], rated[sounds][:, people].mean(1))
    now = _correlations(values, rated.mean(1))
    edges = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    rows = []
    for k, name in enumerate(names):
        own = drawn[:, k][np.isfinite(drawn[:, k])]
        low, high = np.quantile(own, edges) if own.size else (np.nan, np.nan)
        if np.isfinite(now[k]):
            rows.append(Agreement(name, float(now[k]), float(low), float(high), len(cells)))
    return sorted(rows, key=lambda a: -a.correlation)


def _correlations(values: Numbers, score: Numbers) -> Numbers:
    """Spearman's of each row with the scores, with the sign of agreement; NaN where all are the same."""
    from scipy import stats

    ranks, own = stats.rankdata(-values, axis=1), stats.rankdata(score)
    ranks, own = ranks - ranks.mean(1, keepdims=True), own - own.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((ranks @ own) / np.sqrt((ranks**2).sum(1) * (own**2).sum()), np.float64)
