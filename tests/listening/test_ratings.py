"""MUSHRA and BS.1116: screening, intervals and differences, checked by simulated listeners and by other libraries' numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import twinrack as tr
from support import run
from twinrack.listening.agreement import agreements
from twinrack.listening.outcome import outcome, write_report
from twinrack.listening.plan import KINDS, Plan
from twinrack.listening.ratings import Scores, analyse_ratings, interval_of_median, mixed_model, signed_rank
from twinrack.listening.simulated import TEST, Truth, raters
from twinrack.listening.stimuli import LOW_ANCHOR, MID_ANCHOR, REFERENCE

pytest.importorskip("statsmodels")
EQUAL = {REFERENCE: 100.0, LOW_ANCHOR: 20.0, MID_ANCHOR: 45.0, "a": 70.0, "b": 70.0, "c": 70.0}
APART = EQUAL | {"b": 60.0, "c": 85.0}


def plan(**changes) -> Plan:
    data = {
        "twinrack_listening_plan": 1, "kind": "mushra", "test": TEST, "title": "t", "question": "q", "date": "2026-01-30",
        "version": "0", "listeners": 20, "trials": 1, "alpha": 0.05, "conditions": list(APART), "items": ["item 0"],
        "hypotheses": [], "exclusions": KINDS["mushra"], "gained_db": {}, "measures": {},
    }  # fmt: skip
    return Plan.model_validate(data | changes)


def test_unreliable_listeners_are_left_out_and_others_are_not():
    random = np.random.default_rng(1)
    bad = good = 0
    for _ in range(20):
        result = analyse_ratings(raters(Truth(APART), 12, 8, random, unreliable=4))
        out = {int(who.split()[1]) for who, _ in result.left_out}
        bad += len(out & {8, 9, 10, 11})
        good += len(out & set(range(8)))
    assert bad == 80
    assert good == 0
    everybody = raters(Truth(APART), 3, 8, random, unreliable=3)
    with pytest.raises(ValueError, match="no listener is left: listener 0: hidden reference below 90"):
        analyse_ratings(everybody)


def test_differences_are_found_as_often_as_they_should_be():
    random, runs = np.random.default_rng(2), 150
    wrong = 0
    for _ in range(runs):
        result = analyse_ratings(raters(Truth(EQUAL, items=0.0), 12, 4, random))
        wrong += any(c.adjusted <= 0.05 for c in result.compared if {c.a, c.b} <= {"a", "b", "c"})
    assert wrong / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    result = analyse_ratings(raters(Truth(APART), 20, 8, random))
    assert [r.condition for r in result.rated] == [REFERENCE, "c", "a", "b", MID_ANCHOR, LOW_ANCHOR]
    assert result.shows("c", "a") is True
    assert result.shows("a", "c") is False
    assert result.shows("a", "x") is None
    assert "Wilcoxon" in str(result)


def test_intervals_hold_the_truth():
    random, runs = np.random.default_rng(3), 600
    inside = sum(low <= 0 <= high for low, high in (interval_of_median(random.normal(0, 1, 20), random) for _ in range(runs)))
    assert 0.93 < inside / runs < 0.99
    held, of = 0, 60
    for _ in range(of):
        v = np.array([70.0, 60.0]) + random.normal(0, 6, (20, 1, 1)) + random.normal(0, 4, (1, 8, 1))
        v = v + random.normal(0, 8, (20, 8, 2))
        names = tuple(map(str, range(20)))
        means, _ = mixed_model(Scores(v, names, names[:8], ("a", "b")))
        held += means["a"][1] <= 70.0 <= means["a"][2]
    assert held / of > 0.85


def test_the_mixed_model_is_that_of_balanced_data():
    # Balanced and crossed: the means are plain means, and the spread is that of the analysis of variance.
    random = np.random.default_rng(4)
    v = np.array([70.0, 60.0, 30.0]) + random.normal(0, 6, (15, 1, 1)) + random.normal(0, 4, (1, 6, 1))
    v = v + random.normal(0, 8, (15, 6, 3))
    names = tuple(map(str, range(15)))
    means, (people, items, rest) = mixed_model(Scores(v, names, names[:6], ("a", "b", "c")))
    assert [means[c][0] for c in "abc"] == pytest.approx(v.mean((0, 1)).tolist(), abs=1e-3)
    left = v - v.mean((1, 2), keepdims=True) - v.mean((0, 2), keepdims=True) - v.mean((0, 1), keepdims=True) + 2 * v.mean()
    within = (left**2).sum() / (v.size - 15 - 6 - 3 + 2)
    assert rest**2 == pytest.approx(within, rel=0.02)
    assert people**2 == pytest.approx((v.mean((1, 2)).var(ddof=1) - within / 18), rel=0.05)
    assert items**2 == pytest.approx((v.mean((0, 2)).var(ddof=1) - within / 45), rel=0.1)
    assert mixed_model(Scores(v[:2], names[:2], names[:6], ("a", "b", "c")))[0] == {}


def test_small_impairments():
    random = np.random.default_rng(5)
    grades = {REFERENCE: 5.0, "codec": 3.6}
    truth = Truth(grades, 0.2, 0.1, 0.3)
    result = analyse_ratings(raters(truth, 15, 6, random, kind="bs1116"))
    assert result.left_out == ()
    assert [r.condition for r in result.rated] == ["codec"]
    assert result.rated[0].median == pytest.approx(-1.4, abs=0.25)
    assert result.shows(REFERENCE, "codec") is True
    deaf = raters(truth, 15, 6, random, kind="bs1116", unreliable=5)
    assert {who for who, _ in analyse_ratings(deaf).left_out} >= {"listener 12"}
    assert signed_rank(np.zeros(5)) == 1.0


def test_which_measure_agrees():
    random = np.random.default_rng(6)
    answers = raters(Truth(APART), 15, 8, random)
    scores = analyse_ratings(answers).scores
    measures = {
        item: {
            c: {"good": 100.0 - APART[c], "opposite": APART[c], "noise": float(random.normal()), "constant": 1.0}
            for c in APART if c != REFERENCE
        }
        for item in scores.items
    }  # fmt: skip
    rows = agreements(scores, measures)
    assert [r.measure for r in rows] == ["good", "noise", "opposite"]  # one that never differs says nothing
    assert rows[0].low > 0.8
    assert rows[-1].high < -0.8
    assert rows[1].low < 0.0 < rows[1].high
    assert agreements(scores, {"item 0": measures["item 0"] | {}}) != []
    assert agreements(scores, {"item 0": {"a": {"good": 1.0}}}) == []


def test_the_outcome_is_compared_with_the_plan(tmp_path):
    random = np.random.default_rng(7)
    answers = raters(Truth(APART), 14, 8, random)
    unfinished = answers[-1].model_copy(update={"complete": False, "listener": "late"})
    result = outcome([*answers[:-1], unfinished], plan(hypotheses=["c > a", "b > a"]))
    said = str(result)
    assert "1 did not finish" in said
    assert "13 of 20 planned listeners" in said
    assert "“c > a” was planned, and is shown" in said
    assert "“b > a” was planned, and is not shown" in said
    late = outcome(answers, plan(date="2026-12-01", listeners=14))
    assert "it was not made before" in str(late)
    assert "14 listeners, as planned" in str(late)
    assert "exploration" in str(late)
    with pytest.raises(ValueError, match="another test"):
        outcome(answers, plan(test="1" * 64))
    with pytest.raises(ValueError, match="not of the form"):
        plan(hypotheses=["c >> a"]).check_hypotheses()
    page = write_report(result, tmp_path / "r.html").read_text()
    assert "<svg" in page
    assert "Left out: " not in page
    assert result.details["kind"] == "mushra"


def test_the_outcome_stands_in_the_patch_and_its_model_card(tmp_path):
    random = np.random.default_rng(8)
    for n, a in enumerate(raters(Truth(APART), 4, 3, random)):
        (tmp_path / f"{n}.json").write_text(a.model_dump_json())
    plan(hypotheses=["c > a"], measures={}).write(tmp_path / "t.plan.json")
    tr.Rack([tr.Gain()]).save(tmp_path / "v.rack.json")
    files = [tmp_path / f"{n}.json" for n in range(4)]
    words = (
        "--plan",
        tmp_path / "t.plan.json",
        "--report",
        tmp_path / "o.html",
        "--into",
        tmp_path / "v.rack.json",
        "--by",
        "Lab",
    )
    done = run("listen", "analyse", *files, *words)
    assert done.returncode == 0, done.stderr
    assert "4 of 20 planned listeners" in done.stdout
    assert "<svg" in (tmp_path / "o.html").read_text()
    assert "listened" in run("trail", "show", tmp_path / "v.rack.json").stdout
    done = run("document", tmp_path / "v.rack.json", "--out", tmp_path / "card.md")
    assert done.returncode == 0, done.stderr
    assert "medians of 4 of 4 listeners" in (tmp_path / "card.md").read_text()
