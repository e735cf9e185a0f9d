"""The measures of the benchmark: an oracle gets all, who says nothing gets nothing; files, tables, methods of one's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import run
from twinrack.bench.method import Account
from twinrack.bench.methods import FittedRack
from twinrack.bench.problems import drawn, hidden_problems, real_problems
from twinrack.bench.run import method_named, table, write
from twinrack.bench.run import run as run_method
from twinrack.bench.scores import NAMES, scores_of, truth_of
from twinrack.explain.counterfactuals import counterfactual
from twinrack.explain.wishes import LoudnessOf


class Oracle:
    """Knows the hidden rack."""

    name = "oracle"

    def __init__(self, problem, off: float = 0.0):
        self.problem, self.truth, self.off = problem, truth_of(problem), off

    def fit(self, dry, wet, sample_rate, seed):
        """It knows already."""

    def process(self, dry, sample_rate):
        return self.problem.hidden.copy()(dry, sample_rate)

    def explain(self):
        truth = self.truth
        values = {place: (value * (1.0 + self.off), 1e-9 + abs(value) * 1e-6) for place, value in truth.values.items()}
        order = [e.card.id for e in truth.rack.addresses().values()]
        return Account(len(values), 0.0, order, values, truth.undetermined, truth.importance)

    def change(self, dry, sample_rate, loudness_lufs):
        rack = self.problem.hidden
        (answer, *_) = counterfactual(rack, dry, sample_rate, LoudnessOf(loudness_lufs, 0.5), ("*",))
        effects = rack.addresses()
        return {
            (effects[a].card.id, n): float(answer.rack.get(f"{a}.{n}"))
            for a in effects
            for n, p in effects[a].card.addresses.items()
            if p.kind == "continuous" and answer.rack.get(f"{a}.{n}") != rack.get(f"{a}.{n}")
        }


class Mute:
    """Plays the dry sound and says nothing."""

    name = "mute"

    def fit(self, dry, wet, sample_rate, seed):
        """It learns nothing."""

    def process(self, dry, sample_rate):
        return dry

    def explain(self):
        return Account(1, 1.0)

    def change(self, dry, sample_rate, loudness_lufs):
        return None


@pytest.fixture(scope="module")
def problems():
    return list(hidden_problems(5, 3))


@pytest.mark.parametrize("which", [0, 1, 4])
def test_an_oracle_gets_all(problems, which):
    problem, other = problems[which], problems[2]
    oracle = Oracle(problem)
    scores = scores_of(problem, oracle, oracle.explain(), Oracle(other).explain(), oracle.truth)
    for name in NAMES:
        assert getattr(scores, name) == 1.0, (name, scores)
    assert scores.fidelity.error_db < -100


def test_wrong_values_are_seen(problems):
    problem = problems[1]
    wrong = Oracle(problem, off=2.0)
    scores = scores_of(problem, wrong, wrong.explain(), Oracle(problems[2]).explain(), wrong.truth)
    assert scores.recovery < 0.5
    assert scores.coverage < 0.1
    same = scores_of(problem, wrong, wrong.explain(), wrong.explain(), wrong.truth)
    assert same.sanity == 0.0  # the account of another target must be another


def test_who_says_nothing_gets_nothing(problems):
    problem, mute = problems[0], Mute()
    scores = scores_of(problem, mute, mute.explain(), mute.explain(), truth_of(problem))
    assert scores.coverage is None
    for name in set(NAMES) - {"coverage"}:
        assert getattr(scores, name) == 0.0, name


def test_bands_are_compared_in_the_order_of_their_frequencies(problems):
    problem = problems[0]
    oracle = Oracle(problem)
    account = oracle.explain()
    swap = {"band2": "band3", "band3": "band2"}
    moved = {(c, f"{swap.get(n.split('.')[0], n.split('.')[0])}.{n.split('.')[1]}"): v for (c, n), v in account.values.items()}
    renamed = Account(account.numbers, 0.0, account.structure, moved, account.undetermined, account.importance)
    scores = scores_of(problem, oracle, renamed, Mute().explain(), oracle.truth)
    assert scores.recovery == 1.0
    assert scores.coverage == 1.0


def test_a_fitted_rack_explains_itself():
    method = FittedRack(("saturation", "gate"))
    problem = next(hidden_problems(1, 1))
    gained = tr.Rack([tr.Saturation(drive_db=18)])
    method.fit(problem.dry, gained(problem.dry, problem.sample_rate), problem.sample_rate, 0)
    account = method.explain()
    assert list(account.structure) == ["saturation"]
    assert account.values[("saturation", "drive_db")][0] == pytest.approx(18, abs=0.1)
    assert account.black_box_share == 0.0


def test_results_are_written_and_read(tmp_path, problems):
    result = run_method(Mute, problems[:2], say=lambda line: None)
    (file, markdown, page) = write([result], tmp_path)
    read = json.loads(file.read_text(encoding="utf-8"))
    assert read["method"] == "mute"
    assert len(read["problems"]) == 2
    assert markdown.read_text(encoding="utf-8").startswith("| method | recovery")
    assert "Plotly.newPlot" in page.read_text(encoding="utf-8")
    assert "| mute | 0.00 | — |" in table([read])
    with pytest.raises(ValueError, match="at least two problems"):
        run_method(Mute, problems[:1])


def test_a_method_of_ones_own_enters_by_its_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from twinrack.bench.method import Account\n\n\nclass Mine:\n    name = 'mine'\n\n"
        "    def fit(self, dry, wet, sample_rate, seed): pass\n\n    def process(self, dry, sample_rate): return dry\n\n"
        "    def explain(self): return Account(0, 0.0)\n\n    def change(self, dry, sample_rate, loudness_lufs): return None\n",
        encoding="utf-8",
    )
    done = run("bench", "interpretability", "--method", "mine.py:Mine", "--problems", "2", "--out", "o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| mine |" in done.stdout
    assert json.loads((tmp_path / "o" / "mine.json").read_text(encoding="utf-8"))["mean"]["recovery"] == 0.0
    for words, answer in (
        ("nobody", "is not a method; there are twinrack"),
        ("x.py:Y", "x.py does not exist"),
        ("mine.py:Y", "has no Y"),
    ):
        done = run("bench", "interpretability", "--method", words, cwd=tmp_path)
        assert done.returncode != 0
        assert answer in done.stderr.replace("\n", " ")


def test_real_pairs_have_no_answer(tmp_path):
    problem = next(hidden_problems(1))
    soundfile.write(tmp_path / "dry.wav", problem.dry.T, 48000)
    soundfile.write(tmp_path / "wet.wav", 0.5 * problem.dry.T, 48000)
    (pair,) = real_problems(tmp_path / "dry.wav", tmp_path / "wet.wav")
    scores = scores_of(pair, Mute(), Mute().explain(), Mute().explain(), None)
    assert scores.recovery is None
    assert scores.fidelity.error_db == pytest.approx(0.0, abs=0.2)
    with pytest.raises(ValueError, match="is not a method"):
        method_named("none")


def test_values_are_drawn_from_what_cards_expect():
    rack = drawn(tr.Rack([tr.Compressor()]), np.random.default_rng(0))
    p = tr.Compressor.card.addresses["ratio"]
    assert p.expected[0] <= rack["compressor"].ratio <= p.expected[1]
    assert rack["compressor"].mix == 1.0


class Odd(Mute):
    """Answers what no card has."""

    name = "odd"

    def explain(self):
        values = {
            ("limiter", "ceiling_db"): (1.0, None),
            ("compressor", "zzz"): (1.0, 0.1),
            ("gate", "ratio"): (np.nan, np.inf),
        }
        return Account(3, 0.0, ["limiter"], values, frozenset({("x", "y")}))

    def change(self, dry, sample_rate, loudness_lufs):
        return {("compressor", "makeup_db"): 1000.0, ("gate", "nonsense"): 0.0}


def test_odd_answers_count_nothing_and_wrong_sounds_are_named(problems):
    result = run_method(Odd, problems[:2], say=lambda line: None)
    assert result["mean"]["counterfactual"] == 0.0
    for wrong, words in ((lambda x: x[:, :-5], "must have the same shape"), (lambda x: x * np.nan, "NaN or infinity")):
        method = type("Wrong", (Mute,), {"process": lambda self, dry, sample_rate, wrong=wrong: wrong(dry)})
        with pytest.raises(ValueError, match=words):
            run_method(method, problems[:2], say=lambda line: None)
