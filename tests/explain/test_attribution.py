"""Saliency of the input lies where the cause is, adds up to the figure, and passes the checks that random maps fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr
from support import music
from twinrack.explain import DecisionAt, ErrorOf, LevelAt, ReductionAt, faithfulness, saliency
from twinrack.explain.attribution import Spectrum

RATE = 16000


def with_burst(start: float, end: float, hertz: float) -> np.ndarray:
    x = (np.random.default_rng(0).standard_normal((1, RATE)) * 10 ** (-60 / 20)).astype(np.float32)
    t = np.arange(round((end - start) * RATE)) / RATE
    x[:, round(start * RATE) : round(start * RATE) + t.size] += (0.3 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)
    return x


def test_the_spectrum_gives_the_sound_back():
    x = torch.from_numpy(music(2, 5000, RATE, 1))
    spectrum = Spectrum(5000, RATE)
    torch.testing.assert_close(spectrum.sound(spectrum.of(x)), x, atol=1e-5, rtol=0)
    nothing = torch.zeros(len(spectrum.edges_hz) - 1, len(spectrum.times_s), dtype=torch.bool)
    torch.testing.assert_close(spectrum.without(x, nothing), x, atol=1e-5, rtol=0)
    assert float(spectrum.without(x, ~nothing).abs().max()) == 0.0


@pytest.mark.parametrize("method", ["gradient", "integrated", "smooth"])
def test_gain_reduction_is_caused_by_the_burst_before_it(method):
    x = with_burst(0.40, 0.48, 1000.0)
    rack = tr.Rack([tr.Gain(gain_db=3), tr.Compressor(threshold_db=-30, ratio=4, attack_ms=3, release_ms=300)])
    of = ReductionAt(rack, "compressor", 0.6, RATE)
    s = saliency(x, RATE, of, method=method)
    assert s.value == pytest.approx(9.0, abs=6.0)
    assert s.share_within(0.36, 0.50) > 0.6
    time, hertz = s.strongest()
    assert 0.38 < time < 0.5
    assert hertz == pytest.approx(1000.0, rel=0.2)
    checked = faithfulness(s, x, RATE, of)
    assert checked.holds
    assert checked.deletion > 2 * checked.deletion_random
    assert checked.other_sound < 0.5
    assert checked.stable > 0.5
    if method == "integrated":
        assert checked.missing < 0.03  # of the figure


def test_a_map_at_random_fails_the_check():
    x = with_burst(0.40, 0.48, 1000.0)
    of = ReductionAt(tr.Rack([tr.Compressor(threshold_db=-30, ratio=4, release_ms=300)]), "compressor", 0.6, RATE)
    s = saliency(x, RATE, of)
    shuffled = np.random.default_rng(0).permutation(s.cells.ravel()).reshape(s.cells.shape)
    wrong = type(s)(s.figure, s.unit, s.value, s.baseline, shuffled, s.edges_hz, s.times_s, s.method)
    assert faithfulness(wrong, x, RATE, of).deletion < 0.5 * faithfulness(s, x, RATE, of).deletion


def test_error_and_level_are_caused_where_they_are():
    x = with_burst(0.2, 0.25, 500.0) + with_burst(0.7, 0.75, 3000.0)
    target = x.copy()
    target[:, : RATE // 2] = 0.0  # the first burst is what is wrong
    s = saliency(x, RATE, ErrorOf(tr.Rack([tr.Gain()]), target, RATE))
    first = (s.times_s > 0.15) & (s.times_s < 0.3)
    second = (s.times_s > 0.65) & (s.times_s < 0.8)
    assert s.cells[:, first].sum() == pytest.approx(1.0, abs=0.1)  # adds as much as the target has
    assert s.cells[:, second].sum() == pytest.approx(-1.0, abs=0.1)  # takes away what silence would miss
    level = saliency(x, RATE, LevelAt(tr.Rack([tr.Gain()]), 0.72, RATE), method="gradient")
    assert level.share_within(0.6, 0.85) > 0.99


def test_a_controllers_decision_is_caused_by_what_it_hears():
    random = np.random.default_rng(3)
    targets, hidden = ["compressor.threshold_db"], (5,)
    network = tr.ControlNetwork(targets, hidden, random.standard_normal(tr.ControlNetwork(targets, hidden).weights.size))
    rack = tr.Rack([tr.Controller(network=network), tr.Compressor()])
    x = with_burst(0.40, 0.48, 1000.0)
    s = saliency(x, RATE, DecisionAt(rack, "controller", "compressor.threshold_db", 0.5, RATE))
    assert s.share_within(0.0, 0.56) > 0.99  # nothing after the moment
    with pytest.raises(ValueError, match="does not drive 'gain"):
        saliency(x, RATE, DecisionAt(rack, "controller", "gain.gain_db", 0.5, RATE))


def test_what_cannot_be_asked_is_one_sentence():
    x = music(1, 4000, RATE, 1)
    rack = tr.Rack([tr.Compressor()])
    with pytest.raises(ValueError, match="must be 'gradient'"):
        saliency(x, RATE, LevelAt(rack, 0.1, RATE), method="guess")
    with pytest.raises(ValueError, match="outside the sound"):
        saliency(x, RATE, LevelAt(rack, 3.0, RATE))
    with pytest.raises(KeyError, match="gate"):
        ReductionAt(rack, "gate", 0.1, RATE)
