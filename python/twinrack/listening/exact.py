"""Exact statistics of ABX and AB tests: how probable an outcome is where nobody hears, or prefers, anything.

ABX: each trial plays A, B and X, which is one of them by chance; the listener says which. Who hears nothing is right half of
the time, so the probability of so many right answers by chance is that of the binomial distribution (W. A. Munson,
M. B. Gardner, Standardizing auditory tests, JASA 22, 1950). AB: each listener has one vote for each item, the one preferred
more often; who prefers neither does not vote (the sign test).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .answers import Answers, of_one_test

HEARD = (0.6, 0.7, 0.8, 0.9)  # shares of right answers, for which the power is said


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


def plan_of_abx(trials: int, alpha: float, items: int = 1) -> str:
    """The power of an ABX test of one listener in words; of several items of the one that is hardest to show."""
    strict = alpha / items
    least = needed(trials, strict)
    if least > trials:
        return f"With {trials} trials nothing can be shown at {100 * alpha:g} %: take more."
    listeners = ", ".join(
        f"{100 * power(trials, strict, s):.0f} % of those who are right {100 * s:.0f} times in 100" for s in HEARD
    )
    which = "a difference" if items == 1 else f"a difference in any one of {items} items"
    return (
        f"{least} of {trials} right answers show {which} (chance does so in at most {100 * alpha:g} % of tests). It finds "
        f"{listeners}."
    )


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
class AbxAnalysis:
    """Outcomes of an ABX test: by item for all listeners together, and of each listener."""

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


def analyse_abx(answers: Sequence[Answers]) -> AbxAnalysis:
    """The outcomes of one ABX test.

    Raises:
        ValueError: nobody finished, they are of different tests, or one listener answered twice.
    """
    answers = of_one_test(answers)
    first = answers[0]
    counts = [(i.name, a.listener, sum(t.x == t.answer for t in i.trials), len(i.trials)) for a in answers for i in a.items]
    items = dict.fromkeys(name for name, *_ in counts)
    sums = [
        (name, "all", sum(r for n, _, r, _ in counts if n == name), sum(t for n, _, _, t in counts if n == name))
        for name in items
    ]
    return AbxAnalysis(first.title, first.alpha, _outcomes(sums), _outcomes(counts))


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


def two_sided(a: int, b: int) -> float:
    """The probability of votes as uneven as `a` to `b`, or more so, where nobody prefers anything."""
    return min(1.0, 2.0 * right_by_chance(max(a, b), a + b))


def plan_of_preference(listeners: int, alpha: float, questions: int = 1) -> str:
    """The power of an AB test in words; of several questions (see `questions_of`) of the one that is hardest to show."""
    votes = range(listeners // 2 + 1, listeners + 1)
    least = next((k for k in votes if two_sided(k, listeners - k) <= alpha / questions), listeners + 1)
    if least > listeners:
        return f"With {listeners} listeners nothing can be shown at {100 * alpha:g} %: take more."
    shares = ", ".join(
        f"in {100 * (tail(least, listeners, s) + tail(least, listeners, 1 - s)):.0f} % of tests where {100 * s:.0f} % of "
        "people prefer it"
        for s in HEARD
    )
    more = "" if questions == 1 else f" in any one of {questions} questions"
    return f"{least} of {listeners} listeners must prefer the same for it to be shown{more}. It finds a preference {shares}."


@dataclass(frozen=True)
class Preference:
    """The votes on two conditions.

    Attributes:
        item: name; empty for every item with these two, where each listener has one vote on all of them.
        a, b: names of the conditions.
        for_a, for_b, neither: listeners.
        chance: the probability of votes as uneven by chance, two-sided.
        adjusted: the same after Holm's correction for as many questions as were asked.
    """

    item: str
    a: str
    b: str
    for_a: int
    for_b: int
    neither: int
    chance: float
    adjusted: float

    def __str__(self) -> str:
        votes = f"{self.a} {self.for_a}, {self.b} {self.for_b}, neither {self.neither}"
        return f"{self.item or 'over all items'}: {votes}; by chance {self.chance:.2g} (Holm {self.adjusted:.2g})"


@dataclass(frozen=True)
class PreferenceAnalysis:
    """Preferences of a test, by item and over all items with the same two conditions."""

    title: str
    alpha: float
    listeners: int
    preferences: tuple[Preference, ...]

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.listeners} listeners"]
        for p in self.preferences:
            better = p.a if p.for_a > p.for_b else p.b
            words = f"{better} is preferred" if p.adjusted <= self.alpha else "no preference shown"
            lines.append(f"  {p}: {words}")
        return "\n".join(lines)

    def shows(self, better: str, worse: str) -> bool | None:
        """Whether `better` is shown to be preferred, over all items; None where they were not compared."""
        own = [p for p in self.preferences if {p.a, p.b} == {better, worse}]
        p = next((p for p in own if not p.item), own[0] if len(own) == 1 else None)
        if p is None:
            return None
        ahead = p.for_a > p.for_b if p.a == better else p.for_b > p.for_a
        return ahead and p.adjusted <= self.alpha


def analyse_preference(answers: Sequence[Answers]) -> PreferenceAnalysis:
    """The preferences of one AB test.

    Raises:
        ValueError: nobody finished, they are of different tests, or one listener answered twice.
    """
    answers = of_one_test(answers)
    votes: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for listener in answers:
        together: dict[tuple[str, str], Counter[str]] = {}
        for item in listener.items:
            a, b = sorted(item.conditions)
            counts = Counter(trial.answer for trial in item.trials)
            votes.setdefault((item.name, a, b), []).append((counts[a], counts[b]))
            together.setdefault((a, b), Counter()).update(counts)
        for (a, b), counts in together.items():
            if sum({a, b} == set(item.conditions) for item in listener.items) > 1:
                votes.setdefault(("", a, b), []).append((counts[a], counts[b]))
    counted = [
        (item, a, b, sum(x > y for x, y in v), sum(y > x for x, y in v), sum(x == y for x, y in v))
        for (item, a, b), v in votes.items()
    ]
    chances = [two_sided(for_a, for_b) for *_, for_a, for_b, _ in counted]
    adjusted = holm(chances)
    return PreferenceAnalysis(
        answers[0].title, answers[0].alpha, len(answers),
        tuple(Preference(*c, p, q) for c, p, q in zip(counted, chances, adjusted, strict=True)),
    )  # fmt: skip


def questions_of(items: Sequence[Sequence[str]]) -> int:
    """How many questions an AB test asks: each item, and each two conditions that are in several items."""
    pairs = Counter(tuple(sorted(item)) for item in items)
    return len(items) + sum(n > 1 for n in pairs.values())


def power_in_words(kind: str, trials: int, alpha: float, listeners: int, items: Sequence[Sequence[str]]) -> str:
    """The power of a test, to be read before it begins; empty for kinds whose power depends on more than numbers.

    Args:
        items: names of the sounds of each item.
    """
    if kind == "abx":
        return plan_of_abx(trials, alpha, len(items))
    return plan_of_preference(listeners, alpha, questions_of(items)) if kind == "ab" else ""
