"""Search across effects: what is needed is found, in its order, and the study goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from support import music

pytest.importorskip("optuna", reason="optuna is not installed (pip install 'twinrack[search]')")
RATE = 16000
FAST = {"steps": 30, "final_steps": 60, "window_s": 0.75, "batch": 3, "patience": 50}


def effects() -> tr.Rack:
    return tr.Rack(
        [
            tr.Saturation(drive_db=6, oversampling="1"),
            tr.Compressor(threshold_db=-24, ratio=3),
            tr.Gate(threshold_db=-60),
            tr.Gain(),
        ]
    )


def device(x: np.ndarray) -> np.ndarray:
    return tr.Rack([tr.Saturation(drive_db=20, oversampling="1"), tr.Gain(gain_db=-9)])(x, RATE)


def test_what_is_needed_is_found_and_the_study_goes_on(tmp_path: Path):
    x = music(1, 3 * RATE, RATE, 1)
    study = tmp_path / "study.db"
    learn = ["saturation.drive_db", "saturation.output_db", "gain.gain_db", "compressor.threshold_db", "compressor.ratio"]
    settings = {"learn": learn, "study": study, **FAST}
    first = tr.search(effects(), x, device(x), RATE, trials=6, **settings)
    assert len(first.trials) == 6
    result = tr.search(effects(), x, device(x), RATE, trials=14, **settings)
    print(result)
    assert len(result.trials) == 14
    assert {t.score for t in first.trials} <= {t.score for t in result.trials}
    assert "saturation" in result.trials[0].effects
    assert max(result.helps, key=lambda what: result.helps[what]) == "saturation used"
    assert "gate" not in result.pruned.addresses()
    assert "saturation" in result.pruned.addresses()
    assert len(result.pruned.addresses()) <= 2
    page = result.plot(tmp_path / "search.html")
    assert "saturation used" in page.read_text()
    with pytest.raises(ValueError, match="a study of other recordings, effects or settings"):
        tr.search(effects(), x, x, RATE, trials=2, **settings)


def test_options_are_searched():
    x = music(1, 2 * RATE, RATE, 2)
    y = tr.Rack([tr.Saturation(drive_db=18, curve="hard_clip", oversampling="1")])(x, RATE)
    rack = tr.Rack([tr.Saturation(drive_db=12, oversampling="1")])
    choices = {"saturation.curve": ["tanh", "hard_clip", "fold"]}
    found = tr.search(
        rack, x, y, RATE, trials=6, use=False, order=False, choices=choices, learn=["saturation.drive_db"], **FAST
    )
    assert found.rack["saturation"].curve == "hard_clip"
    assert max(found.helps, key=lambda what: found.helps[what]) == "saturation.curve hard_clip"


def test_a_nested_rack_and_nothing_left_open_are_refused():
    x = music(1, RATE, RATE, 3)
    with pytest.raises(ValueError, match=r"^search orders a plain chain of effects; take them out of Chain and Parallel$"):
        tr.search(tr.Rack([tr.dry_wet(tr.Gain(), 0.5)]), x, x, RATE)
    with pytest.raises(ValueError, match=r"^nothing is left open; allow use or order, or name choices$"):
        tr.search(effects(), x, x, RATE, use=False, order=False)
