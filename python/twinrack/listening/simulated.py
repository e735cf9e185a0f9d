"""Simulated listeners, whose truth is known: they show whether the statistics find as much as they should, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .answers import Answers
from .kinds import KINDS, Kind
from .plan import registered
from .stimuli import REFERENCE

TEST = "0" * 64
LISTENERS = 20  # that are said to be planned, without a hypothesis


@dataclass(frozen=True)
class Truth:
    """Ratings as they would be without chance.

    Attributes:
        scores: of each condition.
        listeners, items, rest: standard deviations of listeners, of items (alike for all conditions), and of each rating.
    """

    scores: Mapping[str, float]
    listeners: float = 6.0
    items: float = 4.0
    rest: float = 8.0


def raters(
    truth: Truth, count: int, items: int, random: np.random.Generator, *, kind: Kind = "mushra", unreliable: int = 0
) -> list[Answers]:
    """Answers of so many listeners to a MUSHRA or BS.1116 test, the last `unreliable` of whom rate by chance.

    Scores end where the scale does. Reliable listeners recognise the hidden reference.
    """
    of_item = random.normal(0.0, truth.items, items)
    answers = []
    for n in range(count):
        by_chance = n >= count - unreliable
        own = random.normal(0.0, truth.listeners)
        rows = []
        for i in range(items):
            scores = {
                c: _score(c, mean + own + of_item[i] + random.normal(0.0, truth.rest), kind, by_chance, random)
                for c, mean in truth.scores.items()
            }
            rows.append({"name": f"item {i}", "conditions": list(scores), "scores": scores})
        answers.append(_answers(kind, f"listener {n}", rows, 1))
    return answers


def _score(condition: str, value: float, kind: Kind, by_chance: bool, random: np.random.Generator) -> float:
    low, high = (0.0, 100.0) if kind == "mushra" else (1.0, 5.0)
    if by_chance:
        return float(random.uniform(low, high))
    return high if condition == REFERENCE else float(np.clip(value, low, high))


def abx_listener(
    name: str, share: float, random: np.random.Generator, *, items: int = 1, trials: int = 16, alpha: float = 0.05
) -> Answers:
    """Somebody who is right in a share of the trials of an ABX test."""
    rows = []
    for i in range(items):
        own = []
        for _ in range(trials):
            x, other = random.permutation(["a", "b"]).tolist()
            own.append({"x": x, "answer": x if random.random() < share else other, "seconds": 2.0})
        rows.append({"name": f"item {i}", "conditions": [REFERENCE, "b"], "trials": own})
    return _answers("abx", name, rows, trials, alpha)


def ab_listener(name: str, share: float, random: np.random.Generator, *, items: int = 1, trials: int = 1) -> Answers:
    """Somebody who prefers "new" to "old" in a share of the trials of an AB test."""
    rows = []
    for i in range(items):
        own = [
            {"x": str(random.choice(["new", "old"])), "answer": "new" if random.random() < share else "old", "seconds": 2.0}
            for _ in range(trials)
        ]
        rows.append({"name": f"item {i}", "conditions": ["new", "old"], "trials": own})
    return _answers("ab", name, rows, trials)


def _answers(kind: Kind, name: str, items: Sequence[Mapping[str, object]], planned: int, alpha: float = 0.05) -> Answers:
    planned_by = registered([], LISTENERS, KINDS[kind])
    data = {
        "twinrack_listening": 1, "kind": kind, "test": TEST, "registered": planned_by, "title": "simulated",
        "planned": planned, "alpha": alpha,
        "listener": name, "began": "2026-01-31", "date": "2026-01-31", "complete": True, "items": items,
    }  # fmt: skip
    return Answers.model_validate(data)
