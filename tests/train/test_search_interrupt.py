"""Ctrl-C in a search, a fit of choices and a fit through a mix: it stops, what is finished is kept, and it says so."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

import twinrack as tr

RATE = 22050


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    x = (np.random.default_rng(0).standard_normal((1, RATE * 2)) * 0.1).astype(np.float32)
    return x, tr.Rack([tr.Compressor(threshold_db=-24, ratio=5)])(x, RATE)


def interrupting(at: int, calls: list[int]):
    def on_step(step: int, loss: float) -> None:
        calls.append(step)
        if len(calls) == at:
            raise KeyboardInterrupt

    return on_step


def states(path) -> list[str]:
    study = optuna.load_study(study_name="twinrack", storage=f"sqlite:///{path}")
    return [t.state.name for t in study.trials]


@pytest.mark.parametrize("at", [5, 12, 20])
def test_a_search_stops_with_what_it_has_and_goes_on_later(pair, tmp_path, at):
    rack, path, calls = tr.Rack([tr.Compressor(), tr.Gain()]), tmp_path / "s.db", list[int]()
    settings = {"trials": 4, "steps": 8, "final_steps": 8, "study": path}
    if at < 8:  # nothing is finished
        with pytest.raises(KeyboardInterrupt):
            tr.search(rack, *pair, RATE, on_step=interrupting(at, calls), **settings)
    else:
        found = tr.search(rack, *pair, RATE, on_step=interrupting(at, calls), **settings)
        assert found.stopped == f"interrupted after {(at - 1) // 8} of 4 racks"
        assert found.stopped in str(found)
        assert len(found.trials) == (at - 1) // 8
        assert found.pruned == found.rack
    assert len(calls) == at  # not one step more
    assert states(path).count("COMPLETE") == (at - 1) // 8
    assert "RUNNING" not in states(path)
    resumed = tr.search(rack, *pair, RATE, **settings)
    assert not resumed.stopped
    whole = tr.search(rack, *pair, RATE, **(settings | {"study": None}))
    assert len(resumed.trials) == len(whole.trials) == 4
    assert {t.effects for t in resumed.trials} >= {t.effects for t in whole.trials[:1]}


def test_a_search_that_is_cut_in_its_last_fit_keeps_the_trials(pair):
    calls = list[int]()
    rack = tr.Rack([tr.Compressor(), tr.Gain()])
    found = tr.search(rack, *pair, RATE, trials=3, steps=8, final_steps=30, on_step=interrupting(3 * 8 + 12, calls))
    assert len(found.trials) == 3
    assert "longer" in found.stopped
    assert len(calls) == 3 * 8 + 12


def test_a_fit_of_choices_keeps_the_best_of_those_that_were_tried(pair, monkeypatch):
    from twinrack.train.run import Run

    count = 0
    train = Run.train

    def stopping(self, *args):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return train(self, *args)

    monkeypatch.setattr(Run, "train", stopping)
    result = tr.fit(tr.Rack([tr.Compressor()]), *pair, RATE, steps=20, choices=["compressor.detector", "compressor.ballistics"])
    assert result.stopped.startswith("interrupted")
    assert len(result.structures) == 2
    assert count == 3


def test_before_the_first_was_tried_it_raises(pair, monkeypatch):
    from twinrack.train.run import Run

    def stopping(self, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        tr.fit(tr.Rack([tr.Compressor()]), *pair, RATE, steps=20, choices=["compressor.detector"])
