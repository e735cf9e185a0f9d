"""MUSHRA and BS.1116: screening, intervals and differences, checked by simulated listeners and by other libraries' numbers."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import twinrack as tr
from support import run
from twinrack.listening.agreement import agreements
from twinrack.listening.answers import Answers
from twinrack.listening.kinds import KINDS
from twinrack.listening.outcome import outcome, write_report
from twinrack.listening.plan import Plan
from twinrack.listening.ratings import Scores, analyse_ratings, interval_of_median, mixed_model, signed_rank
from twinrack.listening.simulated import TEST, Truth, raters
from twinrack.listening.stimuli import LOW_ANCHOR, MID_ANCHOR, REFERENCE
from twinrack.rack.trail import content_of, digest

pytest.importorskip("statsmodels")
EQUAL = {REFERENCE: 100.0, LOW_ANCHOR: 20.0, MID_ANCHOR: 45.0, "a": 70.0, "b": 70.0, "c": 70.0}
APART = EQUAL | {"b": 60.0, "c": 85.0}


def plan(**changes) -> Plan:
    data = {
        "twinrack_listening_plan": 1, "kind": "mushra", "test": TEST, "title": "t", "question": "q", "date": "2026-01-30",
        "version": "0", "listeners": 20, "trials": 1, "alpha": 0.05, "conditions": list(APART), "items": ["item 0"],
        "hypotheses": [], "exclusions": KINDS["mushra"], "sounds": {f"item {n}": list(APART) for n in range(8)},
        "gained_db": {}, "measures": {},
    }  # fmt: skip
    return Plan.model_validate(data | changes)


def registered_as(answers: list[Answers], hypotheses: list[str], listeners: int = 20) -> list[Answers]:
    own = plan(hypotheses=hypotheses, listeners=listeners).registered
    return [a.model_copy(update={"registered": own}) for a in answers]


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
    # Deaf ones are left out as often as the test says: 95 %; those who hear stay.
    deaf = keen = 0
    for _ in range(20):
        out = {who for who, _ in analyse_ratings(raters(truth, 15, 6, random, kind="bs1116", unreliable=5)).left_out}
        deaf += sum(f"listener {n}" in out for n in range(10, 15))
        keen += sum(f"listener {n}" in out for n in range(10))
    assert deaf >= 85
    assert keen == 0
    assert signed_rank(np.zeros(5)) == 1.0


@pytest.mark.parametrize(("count", "items"), [(20, 1), (60, 6)])
def test_a_difference_that_nobody_hears_is_not_shown(count, items):
    """Whoever guesses the hidden reference right must not be the only one who is asked."""
    random, runs = np.random.default_rng(9), 60
    shown = 0
    for _ in range(runs):
        answers = []
        for a in raters(Truth({REFERENCE: 5.0, "codec": 4.5}), count, items, random, kind="bs1116"):
            for item in a.items:  # one gets 5.0 and the other less, by chance
                pair = [5.0, round(float(random.uniform(3, 4.9)), 1)]
                random.shuffle(pair)
                item.scores.update(zip((REFERENCE, "codec"), pair, strict=True))
            answers.append(a)
        try:
            shown += analyse_ratings(answers).compared[0].adjusted <= 0.05
        except ValueError:  # nobody is left
            continue
    assert shown / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_few_listeners_and_items_say_so():
    random = np.random.default_rng(10)
    result = analyse_ratings(raters(Truth(APART), 4, 3, random))
    assert "too few listeners for an interval" in str(result)
    # An anchor that nobody hears the loss of screens nobody.
    same = APART | {MID_ANCHOR: 97.0}
    assert analyse_ratings(raters(Truth(same, 1.0, 1.0, 1.0), 12, 4, random)).left_out == ()
    # One item for each condition: the two cannot be told apart, and the interval says nothing of items.
    v = np.full((15, 3, 3), np.nan)
    for k in range(3):
        v[:, k, k] = -k + random.normal(0, 0.3, 15)
    names = tuple(map(str, range(15)))
    means, spread = mixed_model(Scores(v, names, names[:3], ("a", "b", "c")))
    assert spread[1] == 0.0
    assert all(high - low < 1.0 for _, low, high in means.values())


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
    hypotheses = ["c > a", "b > a"]
    result = outcome(registered_as([*answers[:-1], unfinished], hypotheses), plan(hypotheses=hypotheses))
    said = str(result)
    assert "1 did not finish" in said
    assert "13 of 20 planned listeners" in said
    assert "“c > a” was planned, and is shown" in said
    assert "“b > a” was planned, and is not shown" in said
    late = outcome(registered_as(answers, [], 14), plan(date="2026-12-01", listeners=14))
    assert "So it was not made before" in str(late)
    assert "14 listeners, as planned" in str(late)
    assert "exploration" in str(late)
    assert "on the same day as the first answers" in str(outcome(answers, plan(date="2026-01-31")))
    with pytest.raises(ValueError, match="were changed after the page of 'listener 0' was made"):
        outcome(answers, plan(hypotheses=["c > a"]))
    for changes, words in (
        ({"test": "1" * 64}, "another test"),
        ({"alpha": 0.5}, "alpha than"),
        ({"sounds": {}}, "other sounds"),
    ):
        with pytest.raises(ValueError, match=words):
            outcome(answers, plan(**changes))
    with pytest.raises(ValueError, match="was asked something else"):
        analyse_ratings([answers[0], answers[1].model_copy(update={"alpha": 0.5})])
    with pytest.raises(ValueError, match="not of the form"):
        plan(hypotheses=["c >> a"]).check_hypotheses()
    page = write_report(result, tmp_path / "r.html").read_text()
    assert "<svg" in page
    assert "Left out: " not in page
    assert result.details["kind"] == "mushra"


def test_the_outcome_stands_in_the_patch_and_its_model_card(tmp_path):
    random = np.random.default_rng(8)
    for n, a in enumerate(registered_as(raters(Truth(APART), 4, 3, random), ["c > a"])):
        (tmp_path / f"{n}.json").write_text(a.model_dump_json())
    tr.Rack([tr.Gain()]).save(tmp_path / "v.rack.json")
    own = digest(content_of(json.loads((tmp_path / "v.rack.json").read_text())))
    sounds = {f"item {n}": list(APART) for n in range(3)}
    plan(hypotheses=["c > a"], sounds=sounds, racks={"a": own}).write(tmp_path / "t.plan.json")
    tr.Rack([tr.Gain(gain_db=1)]).save(tmp_path / "other.rack.json")
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
    other = run("listen", "analyse", *files, *words[:2], "--into", tmp_path / "other.rack.json", "--by", "Lab")
    assert "is not one of the patches that this test played" in other.stderr
    (tmp_path / "copy.json").write_text((tmp_path / "0.json").read_text())
    twice = run("listen", "analyse", *files, tmp_path / "copy.json")
    assert "0.json and" in twice.stderr
    assert "4 of 20 planned listeners" in done.stdout
    assert "<svg" in (tmp_path / "o.html").read_text()
    assert "too few listeners for an interval" in (tmp_path / "o.html").read_text()
    assert "nan" not in (tmp_path / "o.html").read_text()
    assert "nan" not in run("trail", "show", tmp_path / "v.rack.json").stdout
    assert "listened" in run("trail", "show", tmp_path / "v.rack.json").stdout
    done = run("document", tmp_path / "v.rack.json", "--out", tmp_path / "card.md")
    assert done.returncode == 0, done.stderr
    assert "medians of 4 of 4 listeners" in (tmp_path / "card.md").read_text()
