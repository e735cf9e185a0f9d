"""The outcome of a listening test beside its plan: what was to be shown, what was, and what nobody planned."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ..system import disk
from ..system.disk import atomic
from .agreement import Agreement, agreements
from .answers import Answers
from .exact import AbxAnalysis, PreferenceAnalysis, analyse_abx, analyse_preference
from .plan import Plan
from .ratings import RatingAnalysis, analyse_ratings, interval_words

Analysis = AbxAnalysis | PreferenceAnalysis | RatingAnalysis


@dataclass(frozen=True)
class Outcome:
    """A test's outcome.

    Attributes:
        analysis: of the answers.
        against_plan: sentences; empty without a plan.
        agreements: of the project's measures with the scores; empty where there are none, or too few sounds.
        unfinished: listeners who did not finish.
    """

    analysis: Analysis
    plan: Plan | None
    against_plan: tuple[str, ...]
    agreements: tuple[Agreement, ...]
    unfinished: int

    def __str__(self) -> str:
        lines = [str(self.analysis)]
        lines += [f"  {self.unfinished} did not finish, and do not count"] if self.unfinished else []
        if self.agreements:
            lines.append("which measure agrees with the listeners (Spearman's rank correlation, 95 % interval):")
            lines += [f"  {a}" for a in self.agreements]
        lines += ["against the plan:", *(f"  {s}" for s in self.against_plan)] if self.plan else []
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """A sentence for a trail."""
        a = self.analysis
        if isinstance(a, RatingAnalysis):
            best = "; ".join(f"{r.condition} {r.median:.2f} {interval_words(r.low, r.high)}" for r in a.rated)
            return f"{a.title}: medians of {len(a.scores.listeners)} of {a.listeners} listeners: {best}"
        if isinstance(a, PreferenceAnalysis):
            return f"{a.title}: {'; '.join(map(str, a.preferences))}"
        return f"{a.title}: " + "; ".join(f"{o.item} {o.right} of {o.trials} right ({o.adjusted:.2g})" for o in a.together)

    @property
    def details(self) -> dict[str, Any]:
        """The same as JSON can have it."""
        test = {} if self.plan is None else {"test": self.plan.test, "kind": self.plan.kind, "planned_on": self.plan.date}
        return test | {
            "outcome": self.summary, "against_plan": list(self.against_plan), "agreements": [str(a) for a in self.agreements],
        }  # fmt: skip


def outcome(answers: Sequence[Answers], plan: Plan | None = None) -> Outcome:
    """Analyse the answers to one test, and compare them with its plan.

    Raises:
        ValueError: nobody finished, the answers are of different tests or not of the plan's, or one listener answered twice.
    """
    for a in answers:
        if plan is not None and (fault := plan.fault_of(a)):
            raise ValueError(fault)
    kind = answers[0].kind if answers else "abx"
    analysis: Analysis
    if kind == "abx":
        analysis = analyse_abx(answers)
    elif kind == "ab":
        analysis = analyse_preference(answers)
    else:
        analysis = analyse_ratings(answers)
    own: list[Agreement] = []
    if plan is not None and isinstance(analysis, RatingAnalysis):
        own = agreements(analysis.scores, plan.measures)
    unfinished = sum(not a.complete for a in answers)
    sentences = () if plan is None else tuple(_against(plan, analysis, [a for a in answers if a.complete]))
    return Outcome(analysis, plan, sentences, tuple(own), unfinished)


def _against(plan: Plan, analysis: Analysis, complete: Sequence[Answers]) -> list[str]:
    count = len(complete)
    first = min(a.began for a in complete)
    when = "before" if plan.date < first else "on the same day as" if plan.date == first else "after"
    words = [f"Written on {plan.date}, {when} the first answers ({first}, by the listeners' clocks)."]
    if when == "after":
        words.append("So it was not made before.")
    if count == plan.listeners:
        words.append(f"{count} listeners, as planned.")
    elif count < plan.listeners:
        words.append(f"{count} of {plan.listeners} planned listeners: what is not shown may still be there.")
    else:
        words.append(f"{count} listeners, {plan.listeners} planned: say why there are more.")
    words.append(f"Left out by the rule that was planned: {plan.exclusions}")
    if isinstance(analysis, AbxAnalysis):
        return words
    for a, b in plan.pairs:
        shown = analysis.shows(a, b)
        if shown is None:
            words.append(f"“{a} > {b}” was planned, and the test does not compare them.")
        else:
            words.append(f"“{a} > {b}” was planned, and is {'shown' if shown else 'not shown'}.")
    if not plan.hypotheses:
        words.append("No hypothesis was planned, so all differences are exploration.")
    else:
        words.append("All other differences are exploration: a new test may confirm them.")
    return words


def write_report(result: Outcome, path: str | os.PathLike[str]) -> Path:
    """Write the outcome as a page: for ratings with a figure of the medians, their intervals and every listener."""
    from ..explain.plots import templates

    a = result.analysis
    figure = _figure(a) if isinstance(a, RatingAnalysis) else ""
    page = templates("twinrack.listening").get_template("outcome.html").render(
        title=a.title, text=str(result), figure=figure, analysis=a, interval=interval_words,
        outcome=result,
    )  # fmt: skip
    out = disk.path_of(path)
    with atomic(out) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")
    return out


WIDTH, ROW, LEFT = 720.0, 34.0, 200.0


def _figure(a: RatingAnalysis) -> str:
    """Medians with intervals and every listener's score, as SVG."""
    low, high = (0.0, 100.0) if a.kind == "mushra" else (-4.0, 1.0)
    step = 20.0 if a.kind == "mushra" else 1.0

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - 20.0)

    height = ROW * len(a.rated) + 40.0
    parts = [f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="Medians and intervals of each condition">']
    ticks = [low + step * k for k in range(round((high - low) / step) + 1)]
    for t in ticks:
        parts.append(f'<line class="grid" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="8" y2="{height - 28:.1f}"/>')
        parts.append(f'<text class="soft" x="{x(t):.1f}" y="{height - 10:.1f}" text-anchor="middle">{t:g}</text>')
    for n, r in enumerate(a.rated):
        y = ROW * n + 24.0
        for k, value in enumerate(a.scores.by_listener(r.condition)):
            parts.append(f'<circle class="one" cx="{x(float(value)):.1f}" cy="{y + 5 * ((k % 5) - 2) / 2:.1f}" r="2.5"/>')
        parts.append(f'<text x="{LEFT - 10:g}" y="{y + 5:.1f}" text-anchor="end">{escape(r.condition)}</text>')
        if not math.isnan(r.low):
            parts.append(f'<line class="interval" x1="{x(r.low):.1f}" x2="{x(r.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<circle class="median" cx="{x(r.median):.1f}" cy="{y:.1f}" r="5"/>')
    return "".join([*parts, "</svg>"])
