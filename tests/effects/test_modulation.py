"""Effects that an oscillator moves: its waves, its notes, its phase, and that fits find it in recordings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr
from support import CARD_IDS
from twinrack.rack.effect import CLASSES
from twinrack.twins.modulation import NOTE_BEATS, wave

RATE = 48000


def gain(**values: object) -> np.ndarray:
    """The gain of a tremolo of full depth over two seconds, (channels, frames)."""
    x = np.ones((2, 2 * RATE), np.float32)
    return tr.Rack([tr.Tremolo(depth=1.0, **values)])(x, RATE)


@pytest.mark.parametrize("name", ["sine", "triangle", "saw", "square", "random"])
def test_the_waves_are_those_of_the_twin(name):
    turns = torch.arange(2 * RATE, dtype=torch.float64)[None] * 3.0 / RATE
    expected = wave(name, turns, torch.tensor([[3.0]], dtype=torch.float64))[0].numpy()
    assert np.abs(2.0 * gain(rate_hz=3.0, wave=name)[0] - 1.0 - expected).max() < 1e-5
    assert expected.min() >= -1.0
    assert expected.max() <= 1.0


def test_square_and_saw_reach_their_ends_and_jump_within_two_milliseconds():
    square = gain(rate_hz=2.0, wave="square")[0]
    between = np.count_nonzero((square > 0.01) & (square < 0.99))
    assert between <= 2 * 2 * 2 * 0.002 * RATE
    saw = gain(rate_hz=2.0, wave="saw")[0]
    assert np.abs(np.diff(saw)).max() == pytest.approx(1.0 / (0.002 * RATE), rel=0.1)


@pytest.mark.parametrize("card", [c for c in CARD_IDS if "sync" in tr.CARDS[c].addresses])
def test_every_card_has_the_notes_in_their_order(card):
    assert tr.CARDS[card].addresses["sync"].options == tuple(NOTE_BEATS)


@pytest.mark.parametrize("note", list(NOTE_BEATS)[1:])
def test_the_engine_has_the_notes_of_the_twin(note):
    y = gain(sync=note, tempo_bpm=300.0, wave="sine")[0].astype(np.float64)
    turns = np.arange(y.size) / RATE * 300.0 / 60.0 / NOTE_BEATS[note]
    assert np.abs(y - (0.5 + 0.5 * np.sin(2 * np.pi * turns))).max() < 1e-4


def test_a_phaser_sleeps_after_its_stages_were_lowered():
    rack = tr.Rack([tr.Phaser(stages="12")])
    rack.prepare(RATE, 2)
    rack.process((0.1 * np.random.default_rng(1).standard_normal((2, 9600))).astype(np.float32))
    rack.set("phaser.stages", "4")
    silence = np.zeros((2, 24000), np.float32)
    rack.process(silence)
    before = rack.running.engine.slept
    rack.process(silence)
    assert rack.running.engine.slept - before == silence.shape[1]


def test_a_note_is_a_turn():
    y = gain(sync="1_8", tempo_bpm=90.0, wave="sine")[0]
    turn = round(0.5 * 60.0 / 90.0 * RATE)
    assert np.abs(y[:turn] - y[2 * turn : 3 * turn]).max() < 1e-4


def test_the_right_side_is_ahead_by_its_phase():
    y = gain(rate_hz=4.0, stereo_deg=180.0)
    assert np.abs(y[0] + y[1] - 1.0).max() < 1e-5
    quarter = gain(rate_hz=4.0, stereo_deg=90.0)
    ahead = RATE // 16
    assert np.abs(quarter[1, :-ahead] - quarter[0, ahead:]).max() < 1e-4


def strokes(seconds: float, rate: int) -> np.ndarray:
    """Stereo sound of many bursts, of noise and of tones that decay."""
    rng, frames = np.random.default_rng(3), int(seconds * rate)
    x = np.zeros((2, frames))
    at = 0
    while at < frames:
        t = np.arange(min(int(rng.uniform(0.08, 0.4) * rate), frames - at)) / rate
        tones = sum(np.sin(2 * np.pi * f * t) for f in np.exp(rng.uniform(np.log(50), np.log(6000), 3)))
        for side in range(2):
            loud = 10 ** (rng.uniform(-30, -6) / 20) * np.exp(-t / rng.uniform(0.02, 0.2))
            x[side, at : at + t.size] = 0.4 * loud * (tones + rng.standard_normal(t.size))
        at += t.size
    return x.astype(np.float32)


HIDDEN = {
    "tremolo": {"rate_hz": 3.3, "depth": 0.7, "start_deg": 200.0, "stereo_deg": 120.0},
    "auto_pan": {"rate_hz": 1.1, "depth": 0.8, "start_deg": 70.0},
    "vibrato": {"rate_hz": 4.2, "depth_cents": 45.0, "start_deg": 130.0, "stereo_deg": 30.0},
    "flanger": {"delay_ms": 1.6, "sweep_ms": 2.2, "rate_hz": 0.4, "feedback": 0.5},
    "chorus": {"delay_ms": 15.0, "depth_ms": 3.0, "rate_hz": 0.5, "mix": 0.6},
    "delay": {"time_ms": 233.7, "feedback": 0.55, "mix": 0.4, "right_percent": 112.0, "high_cut_hz": 3000.0},
    "ring_modulator": {"frequency_hz": 173.4, "mix": 0.6, "start_deg": 250.0, "stereo_deg": 40.0},
}


@pytest.mark.parametrize("card", HIDDEN)
def test_a_fit_finds_the_hidden_movement(card):
    rate = 32000
    x = strokes(5.0, rate)
    hidden = CLASSES[card](**HIDDEN[card])
    result = tr.fit(tr.Rack([CLASSES[card]()]), x, tr.Rack([hidden])(x, rate), rate, progress=False, minutes=0.5)
    assert result.fitted.error_db < -40.0, str(result)
    for name, value in HIDDEN[card].items():
        assert float(result.rack.effects[0].get(name)) == pytest.approx(value, rel=0.02), name


def test_a_ring_modulator_moves_every_frequency_up_and_down():
    t = np.arange(RATE) / RATE
    x = np.sin(2 * np.pi * 1000 * t).astype(np.float32)[None]
    for mix, strengths in ((1.0, (0.0, 0.5, 0.5)), (0.5, (0.5, 0.25, 0.25))):
        y = tr.Rack([tr.RingModulator(frequency_hz=300, mix=mix)])(x, RATE)
        spectrum = np.abs(np.fft.rfft(y[0])) / (0.5 * RATE)
        assert spectrum[[1000, 700, 1300]] == pytest.approx(strengths, abs=1e-3)
        spectrum[[1000, 700, 1300]] = 0.0
        assert spectrum.max() < 1e-4
