"""The law of a gain: hidden detectors, places of the ballistics and times are found without knowing the curve."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from twinrack.audio import Audio
from twinrack.cloning.material import material
from twinrack.train.data import Pair, Split
from twinrack.train.fit import fit
from twinrack.train.gain_law import SURE, Law, laws

RATE = 48000
HIDDEN = (
    tr.Compressor(threshold_db=-32, ratio=4, attack_ms=12, release_ms=90, detector="moving_rms", rms_window_ms=9,
                  ballistics="level", channel_mode="mean"),
    tr.Compressor(threshold_db=-30, ratio=3, attack_ms=4, release_ms=150, ballistics="power", channel_mode="magnitude_mean"),
    tr.Compressor(threshold_db=-36, ratio=6, attack_ms=20, release_ms=200, channel_mode="power_mean", makeup_db=6),
    tr.Compressor(threshold_db=-30, ratio=4, attack_ms=6, release_ms=120, ballistics="level", envelope="decoupled"),
    tr.Gate(threshold_db=-26, ratio=3, range_db=30, knee_db=6, attack_ms=5, release_ms=70, hysteresis_db=0, hold_ms=0,
            ballistics="power", channel_mode="maximum"),
    tr.Gate(threshold_db=-24, ratio=4, range_db=24, smoothness_percent=100, attack_ms=10, release_ms=90, hysteresis_db=0,
            hold_ms=0, detector="rms", rms_window_ms=8, ballistics="level", channel_mode="mean"),
)  # fmt: skip
CHOICES = ("detector", "ballistics", "channel_mode", "envelope")


@pytest.fixture(scope="module")
def dry() -> Audio:
    return material(RATE)[:, 2 * RATE : 10 * RATE]


def laws_of(dry: Audio, wet: Audio, hidden: tr.Effect) -> list[Law]:
    pairs = [Pair("a", dry, wet, 0, "", "")]
    return laws(
        pairs,
        [Split([(0, dry.shape[1])], [])],
        RATE,
        attack_lowers=hidden.card.id == "compressor",
        envelopes=("branching", "decoupled"),
    )


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda h: f"{h.card.id} {h.detector} {h.ballistics}")
def test_choices_and_times_are_found(dry, hidden):
    law = laws_of(dry, tr.Rack([hidden.copy()])(dry, RATE), hidden)[0]
    assert {n: hidden.get(n) for n in law.choices} == law.choices
    for name, found in law.times_ms.items():
        assert found == pytest.approx(hidden.get(name), rel=0.03)
    assert law.scatter < SURE / 4


def test_a_fit_takes_them_and_the_curve(dry):
    hidden = HIDDEN[4].copy()
    result = fit(tr.Rack([tr.Gate()]), dry, tr.Rack([hidden])(dry, RATE), RATE, progress=False)
    gate = result.rack[0]
    assert result.fitted.error_db < -80
    for name in ("threshold_db", "knee_db", "range_db", "ratio", "attack_ms", "release_ms"):
        assert gate.get(name) == pytest.approx(hidden.get(name), rel=0.02)
    assert any("the gain is a function of one level: gate.ballistics = power (was gain)" in w for w in result.warnings)


def test_there_is_none_where_no_level_explains_the_gain(dry):
    dry = dry[:, : 3 * RATE]
    moving = 10 ** (-np.abs(np.sin(2 * np.pi * 1.7 * np.arange(dry.shape[1]) / RATE)) / 2)
    assert laws_of(dry, (dry * moving).astype(np.float32), HIDDEN[0]) == []
    assert laws_of(dry, 0.5 * dry, HIDDEN[0]) == []
    assert laws_of(np.zeros_like(dry), dry, HIDDEN[0]) == []
    noise = np.random.default_rng(0).normal(0.0, 0.01, dry.shape)
    assert laws_of(dry, (tr.Rack([HIDDEN[0].copy()])(dry, RATE) + noise).astype(np.float32), HIDDEN[0]) == []


def test_options_that_are_not_open_are_not_taken(dry):
    dry = dry[:, : 3 * RATE]
    wet = tr.Rack([HIDDEN[4].copy()])(dry, RATE)
    gate = fit(tr.Rack([tr.Gate()]), dry, wet, RATE, choices=(), progress=False).rack[0]
    assert gate.ballistics == "gain"
    assert gate.hold_ms == tr.Gate().hold_ms


def test_silence_at_first_and_what_is_not_compared_or_held_out_is_not_read(dry):
    hidden = HIDDEN[4]
    wet = tr.Rack([hidden.copy()])(dry, RATE)
    late = np.pad(dry, ((0, 0), (10 * RATE, 0))), np.pad(wet, ((0, 0), (10 * RATE, 0)))
    other = wet.copy()
    other[:, 3 * RATE : 5 * RATE] = 0.3 * dry[:, 3 * RATE : 5 * RATE]  # held out
    whole = [(0, 18 * RATE)]
    for pair, train in (
        (Pair("a", *late, 0, "", ""), whole),
        (Pair("a", *late, 0, "", "", compared_from=10 * RATE), whole),
        (Pair("a", dry, other, 0, "", ""), [(0, 3 * RATE), (5 * RATE, 8 * RATE)]),
    ):
        law = laws([pair], [Split(train, [])], RATE, attack_lowers=False)[0]
        assert law.choices["ballistics"] == "power"
        assert law.times_ms["attack_ms"] == pytest.approx(5, rel=0.05)


def test_many_short_pairs_and_few_frames_do_no_harm(dry):
    short = [Pair("a", dry[:, :400], dry[:, :400] * 0.5, 0, "", "")] * 400
    splits = [Split([(0, 400)], [])] * 400
    assert laws(short, splits, RATE, attack_lowers=True) == []
    assert laws(short[:1], [Split([], [(0, 400)])], RATE, attack_lowers=True) == []


def test_times_stay_in_the_range_of_the_card_and_what_is_not_learned_stays():
    times = {"attack_ms": 4000.0, "release_ms": 0.02, "rms_window_ms": 900.0}
    law = Law({"detector": "rms"}, times, 0.001, np.zeros(2), np.zeros(2))
    values = law.values_for(tr.Gate(), {"attack_ms", "release_ms"})
    assert values == {"detector": "rms", "attack_ms": 200.0, "release_ms": 1.0}
    assert law.values_for(tr.Compressor(), set(times))["rms_window_ms"] == 300.0
