"""Statistics of MUSHRA and BS.1116 tests: who is left out, medians with intervals, differences, and a mixed model.

A listener's score of a condition is the mean over the items, so that listeners, who are independent of each other, are what is
counted. Intervals are by bootstrap over listeners (B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993);
differences by Wilcoxon's signed-rank test with Holm's correction; the mixed model has conditions as fixed and listeners and
items as random effects (statsmodels' MixedLM, by restricted maximum likelihood).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from .answers import Answers, of_one_test
from .exact import holm
from .stimuli import ANCHORS, MID_ANCHOR, REFERENCE

Numbers = npt.NDArray[np.float64]
DRAWS = 4000
CONFIDENCE = 0.95
WRONG_SHARE, LEAST_REFERENCE, MOST_ANCHOR = 0.15, 90.0, 90.0  # BS.1534-3, 4.1.2
MOST_FOOLED = 0.25  # of listeners who give an item's mid anchor more than 90, above which it screens nobody
EXPERT, LEAST_ITEMS = 0.05, 5  # BS.1116-3: one-sided t-test of each listener, where there are so many items
LEAST_LISTENERS = 6  # for an interval by bootstrap


@dataclass(frozen=True)
class Scores:
    """All scores of a test: (listeners, items, conditions), with the names along each axis."""

    values: Numbers
    listeners: tuple[str, ...]
    items: tuple[str, ...]
    conditions: tuple[str, ...]

    def of(self, condition: str) -> Numbers:
        """(listeners, items) of one condition."""
        return self.values[:, :, self.conditions.index(condition)]

    def by_listener(self, condition: str) -> Numbers:
        """Of each listener the mean over the items that have a condition."""
        return np.asarray(np.nanmean(self.of(condition), axis=1), np.float64)

    def without(self, names: Sequence[str]) -> Scores:
        """The same without some listeners."""
        stay = [i for i, n in enumerate(self.listeners) if n not in names]
        return Scores(self.values[stay], tuple(self.listeners[i] for i in stay), self.items, self.conditions)


@dataclass(frozen=True)
class Rated:
    """Scores of one condition, over the items.

    Attributes:
        median, low, high: of listeners, with a 95 % interval by bootstrap; NaN with fewer than six.
        quarters: the first and third quartile of listeners.
        mean, mean_low, mean_high: by the mixed model, with a 95 % interval; NaN where it could not be fitted.
    """

    condition: str
    median: float
    low: float
    high: float
    quarters: tuple[float, float]
    mean: float
    mean_low: float
    mean_high: float


@dataclass(frozen=True)
class Compared:
    """Two conditions: the median difference over listeners (a minus b), Wilcoxon's probability, and Holm's."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    chance: float
    adjusted: float


@dataclass(frozen=True)
class RatingAnalysis:
    """A MUSHRA or BS.1116 test.

    Attributes:
        kind: "mushra", or "bs1116", whose scores are differences: grade of the object minus grade of the hidden reference.
        left_out: listeners whose answers do not count, with the reason.
        rated: best first.
        compared: in MUSHRA all pairs of conditions but anchors and hidden reference, by which listeners were screened; in
            BS.1116 each condition against the hidden reference, by all who finished.
        spread: standard deviations of the mixed model: of listeners, of items, and of what is left.
        scores: what was counted.
    """

    kind: str
    title: str
    alpha: float
    listeners: int
    left_out: tuple[tuple[str, str], ...]
    rated: tuple[Rated, ...]
    compared: tuple[Compared, ...]
    spread: tuple[float, float, float]
    scores: Scores = field(repr=False)

    def shows(self, better: str, worse: str) -> bool | None:
        """Whether `better` is shown to be rated higher; None where they were not compared."""
        for c in self.compared:
            if {c.a, c.b} == {better, worse}:
                ahead = c.difference > 0 if c.a == better else c.difference < 0
                return ahead and c.adjusted <= self.alpha
        return None

    def __str__(self) -> str:
        counted = len(self.scores.listeners)
        lines = [f"{self.title}: {counted} of {self.listeners} listeners counted, {len(self.scores.items)} items"]
        lines += [f"  left out: {who}: {why}" for who, why in self.left_out]
        unit = "difference grade" if self.kind == "bs1116" else "score"
        for r in self.rated:
            model = "" if np.isnan(r.mean) else f"; mean {r.mean:.2f} [{r.mean_low:.2f}, {r.mean_high:.2f}] by the mixed model"
            lines.append(f"  {r.condition}: median {unit} {r.median:.2f} {interval_words(r.low, r.high)}{model}")
        for c in self.compared:
            mark = "differ" if c.adjusted <= self.alpha else "not shown to differ"
            words = f"{c.a} − {c.b}: {c.difference:+.2f} {interval_words(c.low, c.high)}"
            lines.append(f"  {words}, Wilcoxon {c.chance:.2g} (Holm {c.adjusted:.2g}): {mark}")
        if not np.isnan(self.spread[0]):
            lines.append("  spread: listeners {:.2f}, items {:.2f}, the rest {:.2f}".format(*self.spread))
        return "\n".join(lines)


def interval_words(low: float, high: float) -> str:
    """An interval as text; with too few listeners, that there is none."""
    return "[too few listeners for an interval]" if np.isnan(low) else f"[{low:.2f}, {high:.2f}]"


def analyse_ratings(answers: Sequence[Answers], *, seed: int = 0) -> RatingAnalysis:
    """The outcome of one MUSHRA or BS.1116 test.

    Args:
        answers: of one test; unfinished ones do not count.
        seed: of the bootstrap.

    Raises:
        ValueError: nobody finished, they are of different tests, one listener answered twice, or nobody is left.
    """
    answers = of_one_test(answers)
    first = answers[0]
    if first.kind == "mushra":
        scores = _scores(answers)
        left_out = screened_mushra(scores)
    else:
        left_out = screened_bs1116(answers)
        scores = _difference_grades(answers)
    everybody = scores
    counted = scores.without([name for name, _ in left_out])
    if not counted.listeners:
        raise ValueError("no listener is left: " + "; ".join(f"{who}: {why}" for who, why in left_out))
    random = np.random.default_rng(seed)
    # Who recognises the hidden reference gives it 100: that varies with nobody, and is left to the medians.
    stay = [n for n, c in enumerate(counted.conditions) if c != REFERENCE]
    names = tuple(counted.conditions[n] for n in stay)
    model, spread = mixed_model(Scores(counted.values[:, :, stay], counted.listeners, counted.items, names))
    rated = [_rated(counted, c, model.get(c), random) for c in counted.conditions]
    rated.sort(key=lambda r: -r.median)
    return RatingAnalysis(
        first.kind, first.title, first.alpha, len(answers), tuple(left_out), tuple(rated),
        tuple(_compared(everybody if first.kind == "bs1116" else counted, first.kind, random)), spread, counted,
    )  # fmt: skip


def _scores(answers: Sequence[Answers]) -> Scores:
    items = [i.name for i in answers[0].items]
    conditions = list(answers[0].items[0].scores)
    for a in answers:
        if {i.name for i in a.items} != set(items) or any(set(i.scores) != set(conditions) for i in a.items):
            raise ValueError(f"{a.listener!r} rated other items or conditions than {answers[0].listener!r}")
    by_name = [{i.name: i.scores for i in a.items} for a in answers]
    values = np.array([[[of[i][c] for c in conditions] for i in items] for of in by_name], np.float64)
    return Scores(values, tuple(a.listener for a in answers), tuple(items), tuple(conditions))


def _difference_grades(answers: Sequence[Answers]) -> Scores:
    """Grade of the object minus that of the hidden reference; items with one condition each are told apart by both names.

    Every listener grades every item, so what one condition has in items where it does not stand is NaN.
    """
    items = [i.name for i in answers[0].items]
    objects = {i.name: next(c for c in i.scores if c != REFERENCE) for i in answers[0].items}
    conditions = list(dict.fromkeys(objects.values()))
    values = np.full((len(answers), len(items), len(conditions)), np.nan)
    for n, a in enumerate(answers):
        for i in a.items:
            if i.name not in objects or objects[i.name] not in i.scores:
                raise ValueError(f"{a.listener!r} graded other items than {answers[0].listener!r}")
            c = objects[i.name]
            values[n, items.index(i.name), conditions.index(c)] = i.scores[c] - i.scores[REFERENCE]
        if len(a.items) != len(items):
            raise ValueError(f"{a.listener!r} graded other items than {answers[0].listener!r}")
    return Scores(values, tuple(a.listener for a in answers), tuple(items), tuple(conditions))


def screened_mushra(scores: Scores) -> list[tuple[str, str]]:
    """Whom BS.1534-3 leaves out, and why."""
    out = []
    wrong_reference = (scores.of(REFERENCE) < LEAST_REFERENCE).mean(1)
    fooled = scores.of(MID_ANCHOR) > MOST_ANCHOR
    telling = fooled.mean(0) <= MOST_FOOLED  # items whose anchor takes away what one hears
    wrong_anchor = fooled[:, telling].sum(1) / max(len(scores.items), 1)
    for name, reference, anchor in zip(scores.listeners, wrong_reference, wrong_anchor, strict=True):
        if reference > WRONG_SHARE:
            out.append((name, f"hidden reference below {LEAST_REFERENCE:g} in {100 * reference:.0f} % of items"))
        elif anchor > WRONG_SHARE:
            out.append((name, f"7 kHz anchor above {MOST_ANCHOR:g} in {100 * anchor:.0f} % of items"))
    return out


def screened_bs1116(answers: Sequence[Answers]) -> list[tuple[str, str]]:
    """Who cannot tell the hidden reference from the objects, over all items; nobody with fewer than five."""
    from scipy import stats

    out: list[tuple[str, str]] = []
    if len(answers[0].items) < LEAST_ITEMS:
        return out
    for a in answers:
        gaps = [i.scores[REFERENCE] - next(s for c, s in i.scores.items() if c != REFERENCE) for i in a.items]
        if np.ptp(gaps) == 0.0:
            is_expert = min(gaps) > 0.0
        else:
            is_expert = bool(stats.ttest_1samp(gaps, 0.0, alternative="greater").pvalue <= EXPERT)
        if not is_expert:
            out.append((a.listener, f"does not tell the hidden reference from the objects (mean {np.mean(gaps):+.2f} grades)"))
    return out


def interval_of_median(values: Numbers, random: np.random.Generator, draws: int = DRAWS) -> tuple[float, float]:
    """A 95 % interval of the median by bootstrap over listeners, percentiles; NaN where they are too few."""
    if values.size < LEAST_LISTENERS:
        return float("nan"), float("nan")
    drawn = np.median(values[random.integers(0, values.size, (draws, values.size))], axis=1)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _rated(scores: Scores, condition: str, model: tuple[float, float, float] | None, random: np.random.Generator) -> Rated:
    values = scores.by_listener(condition)
    quarters = np.quantile(values, [0.25, 0.75])
    mean = (float("nan"),) * 3 if model is None else model
    edges = interval_of_median(values, random)
    return Rated(condition, float(np.median(values)), *edges, (float(quarters[0]), float(quarters[1])), *mean)


def _compared(scores: Scores, kind: str, random: np.random.Generator) -> list[Compared]:
    if kind == "bs1116":
        pairs = [(c, REFERENCE, scores.by_listener(c)) for c in scores.conditions]
    else:
        plain = [c for c in scores.conditions if c not in (*ANCHORS, REFERENCE)]
        pairs = [(a, b, scores.by_listener(a) - scores.by_listener(b)) for a, b in combinations(plain, 2)]
    chances = [signed_rank(gaps) for *_, gaps in pairs]
    adjusted = holm(chances)
    return [
        Compared(a, b, float(np.median(gaps)), *interval_of_median(gaps, random), p, q)
        for (a, b, gaps), p, q in zip(pairs, chances, adjusted, strict=True)
    ]


def signed_rank(gaps: Numbers) -> float:
    """Wilcoxon's signed-rank test of differences against 0, two-sided; 1 where none differs."""
    from scipy import stats

    gaps = gaps[gaps != 0.0]
    if not gaps.size:
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few listeners: the answer is then not small, and that is all
        return float(stats.wilcoxon(gaps, method="auto").pvalue)


def mixed_model(scores: Scores) -> tuple[dict[str, tuple[float, float, float]], tuple[float, float, float]]:
    """Means of conditions with 95 % intervals, and the spread of listeners, items and the rest.

    Conditions are fixed, listeners and items random effects, crossed. Nothing, and NaN, where there is too little for it.
    """
    nothing: dict[str, tuple[float, float, float]] = {}
    nan = float("nan")
    listeners, items, conditions = scores.values.shape
    flat = [
        (float(scores.values[n, i, c]), n, i, c)
        for n in range(listeners) for i in range(items) for c in range(conditions) if np.isfinite(scores.values[n, i, c])
    ]  # fmt: skip
    if listeners < 3 or len(flat) < 2 * (listeners + conditions):
        return nothing, (nan, nan, nan)
    import pandas
    from scipy import stats
    from statsmodels.regression.mixed_linear_model import MixedLM

    table = pandas.DataFrame(flat, columns=["score", "listener", "item", "condition"])
    table["all"] = 1
    # Where every condition has one item, the two cannot be told apart.
    crossed = items > 1 and any(np.isfinite(scores.values[0, :, c]).sum() > 1 for c in range(conditions))
    parts = {"listener": "0 + C(listener)"} | ({"item": "0 + C(item)"} if crossed else {})
    model: Any
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a spread of nothing lies at the edge, of which it warns
        try:
            fitted = MixedLM.from_formula("score ~ 0 + C(condition)", table, groups="all", vc_formula=parts, re_formula="0")
            model = fitted.fit(reml=True)
            if not model.converged:  # a spread at the edge, which gradients do not reach
                model = fitted.fit(reml=True, method="powell")
        except (np.linalg.LinAlgError, ValueError):
            return nothing, (nan, nan, nan)
    means, errors = np.asarray(model.fe_params), np.asarray(model.bse_fe)
    if not (model.converged and np.isfinite(means).all() and np.isfinite(errors).all()):
        return nothing, (nan, nan, nan)
    spread = dict(zip(model.model.exog_vc.names, np.sqrt(np.maximum(model.vcomp, 0.0)), strict=True))
    people, pieces, rest = (
        float(spread.get("listener", 0.0)), float(spread.get("item", 0.0)), float(np.sqrt(model.scale))
    )  # fmt: skip
    # Degrees of freedom of a sum of variances: F. E. Satterthwaite, Biometrics Bulletin 2, 1946.
    parts_of_variance = (
        (people**2 / listeners, listeners),
        (pieces**2 / items, items),
        (rest**2 / (listeners * items), len(flat)),
    )
    below = sum(v**2 / max(n - 1, 1) for v, n in parts_of_variance)
    freedom = sum(v for v, _ in parts_of_variance) ** 2 / below if below > 0.0 else float(len(flat))
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, max(freedom, 1.0)))
    intervals = {
        c: (float(m), float(m - quantile * e), float(m + quantile * e))
        for c, m, e in zip(scores.conditions, means, errors, strict=True)
    }
    return intervals, (people, pieces, rest)
