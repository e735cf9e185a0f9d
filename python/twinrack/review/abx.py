"""ABX listening tests: can people hear a difference at all? A page for listeners, and exact statistics of what they answer.

Each trial plays A, B and X, which is one of them by chance; the listener says which. Who hears nothing is right half of the
time, so the probability of so many right answers by chance is that of the binomial distribution (W. A. Munson, M. B. Gardner,
Standardizing auditory tests, JASA 22, 1950; ITU-R BS.1116-3 for blind, in-step switching at one level).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..audio import Audio, check_rate
from ..checks import brief, check_integer, check_number
from ..measure.loudness import loudness
from ..pages.player import as_json, encoded
from ..rack.patch import first_complaint
from ..system import disk
from ..system.disk import atomic
from ..version import __version__

MOST_ITEMS, MOST_TRIALS = 20, 200
LEAST_S = 0.3
HEARD = (0.6, 0.7, 0.8, 0.9)  # shares of right answers, for which the power is said
QUIETER_DB = 1.0  # than full scale, after the loudness was matched
LARGEST = 4 << 20  # bytes of a file of answers
SILENT_LUFS = -69.0


@dataclass(frozen=True)
class Item:
    """Two sounds of which people shall say whether they differ: (channels, frames), equally long, one or two channels."""

    name: str
    a: Audio
    b: Audio


def right_by_chance(right: int, trials: int) -> float:
    """The probability of so many right answers, or more, by somebody who hears nothing."""
    return tail(right, trials, 0.5)


def tail(right: int, trials: int, share: float) -> float:
    """The probability of at least `right` of `trials`, each of which is right with the probability `share`."""
    return min(
        math.fsum(math.comb(trials, k) * share**k * (1.0 - share) ** (trials - k) for k in range(right, trials + 1)), 1.0
    )


def needed(trials: int, alpha: float) -> int:
    """How many right answers are needed so that chance gives as many with a probability of at most `alpha`; trials + 1 where
    no number is enough."""
    return next((k for k in range(trials + 1) if right_by_chance(k, trials) <= alpha), trials + 1)


def power(trials: int, alpha: float, share: float) -> float:
    """The probability that somebody who is right in a share of trials is found to hear the difference."""
    return tail(needed(trials, alpha), trials, share)


def plan(trials: int, alpha: float) -> str:
    """The power of a test in words, to be read before it begins."""
    least = needed(trials, alpha)
    if least > trials:
        return f"With {trials} trials nothing can be shown at {100 * alpha:g} %: take more."
    listeners = ", ".join(
        f"{100 * power(trials, alpha, s):.0f} % of those who are right {100 * s:.0f} times in 100" for s in HEARD
    )
    return (
        f"{least} of {trials} right answers show a difference (chance gives as many in at most {100 * alpha:g} % of tests). It "
        f"finds {listeners}."
    )


def write_abx(
    items: Sequence[Item], sample_rate: float, path: str | os.PathLike[str], *, title: str = "Listening test", trials: int = 16,
    alpha: float = 0.05,
) -> Path:  # fmt: skip
    """Write the page of a test: one file, whose listeners save a small file of answers.

    Both sounds of an item are played at the same loudness (ITU-R BS.1770), and all so much quieter that none clips.

    Args:
        items: 1 to 20.
        sample_rate: Hz.
        path: of the page.
        title: shown above.
        trials: of each item, 5 to 200.
        alpha: how often chance alone may seem to be a difference, 0.0001 to 0.5.

    Raises:
        ValueError: sounds that do not fit each other, silence, NaN; one sentence that names the item.
    """
    rate = check_rate(sample_rate)
    trials = check_integer(trials, "trials", 5, MOST_TRIALS)
    alpha = check_number(alpha, "alpha", 0.0001, 0.5)
    if not 1 <= len(items) <= MOST_ITEMS:
        raise ValueError(f"a test has 1 to {MOST_ITEMS} pairs of sounds, not {len(items)}")
    if len({item.name for item in items}) < len(items):
        raise ValueError("two pairs of the test have the same name; give each its own")
    data = {
        "title": title, "trials": trials, "alpha": alpha, "plan": plan(trials, alpha),
        "rate": rate, "version": __version__, "items": [_item(item, rate) for item in items],
    }  # fmt: skip
    data["test"] = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    from ..explain.plots import templates

    script = (files(__package__) / "static" / "abx.js").read_text(encoding="utf-8")
    page = templates("twinrack.review").get_template("abx.html").render(title=title, data=as_json(data), script=script)
    out = disk.path_of(path)
    with atomic(out) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")
    return out


def _item(item: Item, rate: float) -> dict[str, Any]:
    a, b = (np.atleast_2d(np.asarray(x, np.float32)) for x in (item.a, item.b))
    if a.shape != b.shape or a.shape[0] > 2:
        raise ValueError(
            f"{brief(item.name)}: the sounds are {_shape(a)} and {_shape(b)}; give two alike, of one or two channels"
        )
    if a.shape[1] < LEAST_S * rate:
        raise ValueError(f"{brief(item.name)} is shorter than {LEAST_S:g} s")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"{brief(item.name)} has NaN or infinity in it")
    levels = [float(loudness(x, rate).integrated) for x in (a, b)]
    if min(levels) < SILENT_LUFS:
        raise ValueError(f"{brief(item.name)}: one of the sounds is silent")
    gains = [10 ** ((min(levels) - level) / 20) for level in levels]
    peak = max(float(np.max(np.abs(x))) * g for x, g in zip((a, b), gains, strict=True))
    lower = min(1.0, 10 ** (-QUIETER_DB / 20) / peak)
    sounds, _ = encoded({"a": a * np.float32(gains[0] * lower), "b": b * np.float32(gains[1] * lower)}, rate, lossless=True)
    return {"name": item.name, "sounds": sounds, "matched_db": round(levels[0] - levels[1], 2)}


def _shape(x: Audio) -> str:
    return f"{x.shape[0]} channels × {x.shape[1]} frames"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trial(_Strict):
    """One answer: what X was, and what the listener said; seconds as text."""

    x: Literal["a", "b"]
    answer: Literal["a", "b"]
    seconds: str = Field(pattern=r"^\d{1,7}(\.\d)?$")


class ItemAnswers(_Strict):
    """All answers to one item, in order."""

    name: str = Field(max_length=1000)
    trials: list[Trial] = Field(max_length=MOST_TRIALS)


class Answers(_Strict):
    """The file that a listener saves."""

    twinrack_abx: Literal[1]
    test: str = Field(pattern=r"^[0-9a-f]{64}$")
    title: str = Field(max_length=1000)
    planned: int = Field(ge=5, le=MOST_TRIALS)
    alpha: float = Field(ge=0.0001, le=0.5)
    listener: str = Field(min_length=1, max_length=200)
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    items: list[ItemAnswers] = Field(min_length=1, max_length=MOST_ITEMS)


def read_answers(path: Path) -> Answers:
    """A listener's file, checked.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not one, or not whole; one sentence.
    """
    content = disk.read_whole(disk.path_of(path), "file of answers", LARGEST)
    try:
        answers = Answers.model_validate(json.loads(content.decode("utf-8")))
    except ValidationError as error:
        raise ValueError(f"{path} is not a file of answers: {first_complaint(error, Answers, ItemAnswers, Trial)}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is not a file of answers: it is not JSON; give the files that listeners saved") from None
    for item in answers.items:
        if len(item.trials) != answers.planned:
            raise ValueError(
                f"{path}: {brief(item.name)} has {len(item.trials)} of {answers.planned} trials; who stops or goes on as they "
                "please finds differences by chance"
            )
    return answers


@dataclass(frozen=True)
class Outcome:
    """Answers of one listener, or of all together, to one item.

    Attributes:
        item, listener: names; of all together the listener is "all".
        right, trials: answers.
        chance: the probability of as many right answers by chance.
        adjusted: the same after Holm's correction for as many questions as were asked of this kind.
    """

    item: str
    listener: str
    right: int
    trials: int
    chance: float
    adjusted: float

    def heard(self, alpha: float) -> bool:
        """Whether the difference was heard, with `alpha` as the chance of saying so wrongly."""
        return self.adjusted <= alpha


@dataclass(frozen=True)
class Analysis:
    """Outcomes of a test: by item for all listeners together, and of each listener."""

    title: str
    alpha: float
    together: tuple[Outcome, ...]
    alone: tuple[Outcome, ...]

    def __str__(self) -> str:
        lines = [self.title]
        for o in self.together:
            words = (
                "the difference is heard"
                if o.heard(self.alpha)
                else "not shown to be heard, which does not show that it is not"
            )
            share = f"{o.right} of {o.trials} right"
            lines.append(f"  {o.item}: {share}, by chance {o.chance:.2g} (Holm {o.adjusted:.2g}): {words}")
            for one in (x for x in self.alone if x.item == o.item):
                mark = "heard" if one.heard(self.alpha) else "not shown"
                lines.append(
                    f"    {one.listener}: {one.right} of {one.trials}, {one.chance:.2g} (Holm {one.adjusted:.2g}): {mark}"
                )
        return "\n".join(lines)


def analyse(answers: Sequence[Answers]) -> Analysis:
    """The outcomes of one test.

    Raises:
        ValueError: none was given, they are of different tests, or one listener answered twice.
    """
    if not answers:
        raise ValueError("give the files that listeners saved")
    first = answers[0]
    for other in answers[1:]:
        if other.test != first.test:
            raise ValueError(
                f"the answers of {brief(other.listener)} are to another test than those of {brief(first.listener)}"
            )
    names = [a.listener for a in answers]
    if twice := next((n for n in names if names.count(n) > 1), ""):
        raise ValueError(f"{brief(twice)} answered twice; leave one of the files out")
    counts = [(i.name, a.listener, sum(t.x == t.answer for t in i.trials), len(i.trials)) for a in answers for i in a.items]
    items = dict.fromkeys(name for name, *_ in counts)
    sums = [
        (name, "all", sum(r for n, _, r, _ in counts if n == name), sum(t for n, _, _, t in counts if n == name))
        for name in items
    ]
    return Analysis(first.title, first.alpha, _outcomes(sums), _outcomes(counts))


def _outcomes(counts: Sequence[tuple[str, str, int, int]]) -> tuple[Outcome, ...]:
    chances = [right_by_chance(right, trials) for *_, right, trials in counts]
    adjusted = holm(chances)
    return tuple(Outcome(*c, p, q) for c, p, q in zip(counts, chances, adjusted, strict=True))


def holm(chances: Sequence[float]) -> list[float]:
    """Probabilities after the correction for so many questions (S. Holm, A simple sequentially rejective multiple test
    procedure, Scandinavian Journal of Statistics 6, 1979)."""
    order = sorted(range(len(chances)), key=lambda i: chances[i])
    adjusted, most = [0.0] * len(chances), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(chances) - rank) * chances[i]))
        adjusted[i] = most
    return adjusted
