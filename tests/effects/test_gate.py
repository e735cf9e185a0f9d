"""The gate does what its card says: static line, hysteresis, hold, range, lookahead, what it hears; and asleep it is closed."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from support import music
from twinrack.audio import HIGH_CUT_OFF_HZ, LOW_CUT_OFF_HZ

RATE = 48000


def tone(level_db: float, seconds: float, frequency: float = 1000.0) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


def gain_db(rack: tr.Rack, x: np.ndarray, at: slice) -> float:
    """Gain over a stretch, from the energies."""
    y = rack(x, RATE)
    return float(20 * np.log10(np.linalg.norm(y[at]) / np.linalg.norm(x[at]) + 1e-12))


@pytest.mark.parametrize(("ratio", "below_db", "expected_db"), [(2.0, 12.0, -12.0), (4.0, 6.0, -18.0), (100.0, 20.0, -50.0)])
def test_static_line_and_range(ratio, below_db, expected_db):
    """Constant levels: an RMS detector on a constant hears exactly that level."""
    gate = tr.Gate(threshold_db=-30, ratio=ratio, range_db=50, attack_ms=1, release_ms=20, hold_ms=0, detector="rms")
    x = np.full(RATE, 10 ** ((-30 - below_db) / 20), np.float32)
    assert gain_db(tr.Rack([gate]), x, slice(RATE // 2, None)) == pytest.approx(expected_db, abs=0.01)


def test_open_above_closed_below_and_hysteresis_between():
    between = tone(-42, 1.0)
    gate = {"threshold_db": -40, "hysteresis_db": 6, "range_db": 60, "ratio": 100, "release_ms": 5, "hold_ms": 20}
    tail = slice(-RATE // 4, None)
    fresh = gain_db(tr.Rack([tr.Gate(**gate)]), between, tail)
    after_loud = gain_db(tr.Rack([tr.Gate(**gate)]), np.concatenate([tone(-20, 0.5), between]), tail)
    without = gain_db(tr.Rack([tr.Gate(**gate | {"hysteresis_db": 0})]), np.concatenate([tone(-20, 0.5), between]), tail)
    assert fresh < -50
    assert after_loud == pytest.approx(0.0, abs=0.01)
    assert without < -50


def test_hold_keeps_it_open_for_so_long():
    gate = tr.Gate(threshold_db=-40, hold_ms=100, release_ms=1, range_db=60, ratio=100, hysteresis_db=0)
    x = np.concatenate([np.full(RATE // 2, 0.5, np.float32), np.full(RATE // 2, 1e-3, np.float32)])
    y = tr.Rack([gate])(x, RATE)
    gain = 20 * np.log10(np.abs(y) / x)
    closing = int(np.argmax(gain[RATE // 2 :] < -1.0))  # frames after the level fell
    assert closing == pytest.approx(0.1 * RATE, abs=0.002 * RATE)


def test_what_it_hears_is_filtered():
    bass, treble = tone(-20, 1.0, 60.0), tone(-20, 1.0, 12000.0)
    tail = slice(-RATE // 4, None)
    gate = {"threshold_db": -35, "range_db": 60, "ratio": 100, "release_ms": 5}
    assert gain_db(tr.Rack([tr.Gate(**gate, sidechain_low_cut_hz=1000)]), bass, tail) < -40
    assert gain_db(tr.Rack([tr.Gate(**gate, sidechain_low_cut_hz=1000)]), treble, tail) == pytest.approx(0, abs=0.01)
    assert gain_db(tr.Rack([tr.Gate(**gate, sidechain_high_cut_hz=500)]), treble, tail) < -40


def test_a_key_opens_it():
    x, key = tone(-10, 1.0), np.concatenate([np.zeros(RATE // 2, np.float32), tone(-10, 0.5)])
    rack = tr.Rack([tr.Gate(threshold_db=-30, range_db=80, ratio=100, key="drum")])
    y = rack(x, RATE, sidechain=key)
    assert np.max(np.abs(y[: RATE // 2])) < 1e-3
    assert np.max(np.abs(y[-RATE // 4 :])) == pytest.approx(10 ** (-0.5), rel=0.01)


def test_lookahead_lets_the_whole_transient_through():
    x = np.concatenate([np.zeros(RATE // 2, np.float32), tone(-6, 0.2)])
    late, ahead = (tr.Rack([tr.Gate(threshold_db=-30, ratio=100, attack_ms=1, lookahead_ms=ms)])(x, RATE) for ms in (0.0, 10.0))
    first = slice(RATE // 2, RATE // 2 + 48)
    assert np.linalg.norm(late[first]) < 0.5 * np.linalg.norm(x[first])
    assert np.linalg.norm(ahead[first]) > 0.99 * np.linalg.norm(x[first])


def test_cuts_are_off_where_python_takes_them_as_off():
    """`audio` repeats the engine's limits, for what is computed without it."""
    x = music(1, RATE // 2, RATE, 2)

    def gated(**cuts: float) -> np.ndarray:
        return tr.Rack([tr.Gate(threshold_db=-20, ratio=3, attack_ms=1, release_ms=20, hold_ms=0, **cuts)])(x, RATE)

    plain = gated()
    assert np.array_equal(gated(sidechain_low_cut_hz=LOW_CUT_OFF_HZ - 5e-4), plain)
    assert np.array_equal(gated(sidechain_high_cut_hz=HIGH_CUT_OFF_HZ + 0.5), plain)
    assert not np.array_equal(gated(sidechain_low_cut_hz=LOW_CUT_OFF_HZ + 5e-4), plain)
    assert not np.array_equal(gated(sidechain_high_cut_hz=HIGH_CUT_OFF_HZ - 0.5), plain)


@pytest.mark.parametrize("ballistics", ["level", "power"])
@pytest.mark.parametrize("detector", ["peak", "moving_rms"])
def test_attack_and_release_on_the_level(ballistics, detector):
    """Frame by frame: the level is followed first, then the gate opens and its line says the gain."""
    x = np.abs(music(1, 24000, RATE, 3)) * np.repeat([1.0, 0.05, 0.4, 0.01], 6000).astype(np.float32) + 1e-6
    settings = {"threshold_db": -30.0, "hysteresis_db": 3.0, "ratio": 3.0, "range_db": 24.0, "hold_ms": 2.0}
    times = {"attack_ms": 4.0, "release_ms": 30.0, "rms_window_ms": 1.0}  # 48 frames
    y = tr.Rack([tr.Gate(ballistics=ballistics, detector=detector, **settings, **times)])(x, RATE)[0]
    rise, fall = (-np.expm1(-1 / (t * 1e-3 * RATE)) for t in (4.0, 30.0))
    power = x[0].astype(np.float64) ** 2
    if detector == "moving_rms":
        power = np.convolve(power, np.ones(48))[: x.shape[1]] / 48
    followed, is_open, since, gains = 0.0, False, 0, []
    for now in power if ballistics == "power" else np.sqrt(power):
        followed += (rise if now > followed else fall) * (now - followed)
        level = 10 * np.log10(max(followed, 1e-14)) * (1 if ballistics == "power" else 2)
        above = level >= (-33.0 if is_open else -30.0)
        since = 0 if above else since + 1
        is_open = above or (is_open and since <= 96)
        gains.append(0.0 if is_open else -min(2.0 * (-30.0 - level), 24.0) if level < -30.0 else 0.0)
    wrong = np.abs(y - x[0] * 10 ** (np.array(gains) / 20)) > 1e-4
    assert np.mean(wrong) < 0.001  # a frame at a threshold may fall on either side


@pytest.mark.parametrize(("before", "after"), [(a, b) for a in ("gain", "level", "power") for b in ("gain", "level", "power")])
def test_another_place_of_the_ballistics_goes_on_where_the_last_was(before, after):
    x = np.full((1, 9600), 10 ** (-36 / 20), np.float32)
    rack = tr.Rack([tr.Gate(threshold_db=-30, ratio=3, attack_ms=0.1, release_ms=20, ballistics=before)])
    rack.prepare(RATE, 1)
    first = rack.process(x)
    rack.set("gate.ballistics", after)
    assert np.max(np.abs(rack.process(x) / first[0, -1] - 1.0)) < 1e-3


def static_gain_db(gate: tr.Gate, below_db: float) -> float:
    x = np.full(RATE, 10 ** ((gate.threshold_db - below_db) / 20), np.float32)
    return gain_db(tr.Rack([gate.copy()]), x, slice(RATE // 2, None))


@pytest.mark.parametrize("ballistics", ["gain", "level"])
def test_a_knee_and_a_smooth_way(ballistics):
    common = {"threshold_db": -30, "ratio": 4, "range_db": 30, "hold_ms": 0, "hysteresis_db": 0, "ballistics": ballistics}
    common |= {"attack_ms": 1, "release_ms": 10}
    rounded = tr.Gate(**common, knee_db=8)
    for below, expected in ((-4.1, 0.0), (-2.0, 3 * 2**2 / 16), (0.0, 3 * 4**2 / 16), (6.0, 18.0), (20.0, 30.0)):
        assert static_gain_db(rounded, below) == pytest.approx(-expected, abs=0.01)
    smooth = tr.Gate(**common, smoothness_percent=100)
    half = tr.Gate(**common, smoothness_percent=50)
    for below, share in ((-1.0, 0.0), (2.5, 0.25), (5.0, 0.5), (7.5, 0.75), (12.0, 1.0)):
        curved = share * share * (3 - 2 * share)
        assert static_gain_db(smooth, below) == pytest.approx(-30 * curved, abs=0.01)
        assert static_gain_db(half, below) == pytest.approx(-15 * (curved + share), abs=0.01)


def test_another_place_of_the_ballistics_goes_on_where_the_reduction_was():
    gate = tr.Gate(threshold_db=-30, ratio=2, range_db=40, knee_db=6, smoothness_percent=80, release_ms=500, hold_ms=0)
    rack, x = tr.Rack([gate]), np.full((1, RATE), 0.01, np.float32)
    rack.prepare(RATE, 1)
    rack.process(x)
    before = float(rack.process(x[:, :64])[0, -1])
    gate.ballistics = "level"
    after = rack.process(x[:, :64])
    assert np.abs(20 * np.log10(after[0] / before)).max() < 0.05
