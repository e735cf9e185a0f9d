"""The compressor against closed forms: the static curve, the time constants, the detectors."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from support import music

RATE = 48000


def curve(level: np.ndarray, threshold: float, ratio: float, knee: float) -> np.ndarray:
    """Giannoulis, Massberg, Reiss 2012, equation 4: output level in dB."""
    over = level - threshold
    bent = level + (1 / ratio - 1) * (over + knee / 2) ** 2 / (2 * max(knee, 1e-9))
    above = threshold + over / ratio
    return np.where(2 * over < -knee, level, np.where(2 * np.abs(over) <= knee, bent, above))


@pytest.mark.parametrize("ballistics", ["gain", "level", "power"])
@pytest.mark.parametrize(("threshold", "ratio", "knee"), [(-24, 4, 6), (-40, 2, 0), (-12, 50, 12), (-30, 1.5, 24)])
def test_static_curve(threshold, ratio, knee, ballistics):
    levels = np.arange(-70.0, 1.0, 2.0)
    rack = tr.Rack([tr.Compressor(threshold_db=threshold, ratio=ratio, knee_db=knee, attack_ms=0.1, ballistics=ballistics)])
    measured = []
    for level in levels:
        x = np.full(4800, 10 ** (level / 20), np.float32)  # a constant is its own peak
        measured.append(20 * np.log10(rack(x, RATE)[-1]))
    assert np.max(np.abs(np.array(measured) - curve(levels, threshold, ratio, knee))) < 0.001


def test_range_makeup_and_mix():
    x = np.full(4800, 1.0, np.float32)

    def level(**settings: object) -> float:
        rack = tr.Rack([tr.Compressor(threshold_db=-40, ratio=4, knee_db=0, attack_ms=0.1, **settings)])
        return float(20 * np.log10(rack(x, RATE)[-1]))

    assert level() == pytest.approx(-30, abs=0.001)
    assert level(range_db=12) == pytest.approx(-12, abs=0.001)
    assert level(makeup_db=6) == pytest.approx(-24, abs=0.001)
    assert level(auto_makeup=True) == pytest.approx(-15, abs=0.001)
    assert level(mix=0.5) == pytest.approx(20 * np.log10(0.5 + 0.5 * 10 ** (-30 / 20)), abs=0.001)


@pytest.mark.parametrize(("attack", "release"), [(5.0, 100.0), (30.0, 400.0)])
def test_attack_and_release_are_time_constants(attack, release):
    """The reduction in dB covers 1 - 1/e of a step in one time constant."""
    t = np.arange(RATE * 3) / RATE
    x = np.where((t > 0.5) & (t < 1.5), 1.0, 0.01).astype(np.float32)
    rack = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4, knee_db=0, attack_ms=attack, release_ms=release)])
    reduction = -20 * np.log10(rack(x, RATE) / x)
    end = 30 * 0.75
    up = np.argmax(reduction > end * (1 - np.exp(-1))) / RATE - 0.5
    after = reduction[int(1.5 * RATE) + 1 :]
    down = np.argmax(after < after[0] * np.exp(-1)) / RATE
    assert up == pytest.approx(attack / 1000, rel=0.02)
    assert down == pytest.approx(release / 1000, rel=0.02)


def test_rms_detector_reads_power():
    """A sine's RMS is 3.01 dB below its peak, so that much less is over the threshold."""
    x = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    rack = tr.Rack([tr.Compressor(threshold_db=-40, ratio=2, knee_db=0, detector="rms", rms_window_ms=100, attack_ms=5)])
    y = rack(x, RATE)[-4800:]
    assert 20 * np.log10(np.max(np.abs(y))) == pytest.approx(-(40 - 3.01) / 2, abs=0.1)


@pytest.mark.parametrize("window_ms", [0.1, 1.0, 7.03, 300.0])
def test_moving_rms_is_the_mean_power_of_its_window(window_ms):
    """All frames of the window count alike, one that lies in it partly counts partly, none before it counts at all."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.05, 0.1, 40000).astype(np.float32) * np.repeat([1, 9, 0.3, 0.01], 10000).astype(np.float32)
    settings = {"ballistics": "level", "detector": "moving_rms", "rms_window_ms": window_ms}
    rack = tr.Rack([tr.Compressor(threshold_db=-80, ratio=2, knee_db=0, attack_ms=0.02, release_ms=1, **settings)])
    window = window_ms * 1e-3 * RATE
    whole = int(window)
    power = np.convolve(x.astype(np.float64) ** 2, [*np.ones(whole), window - whole])[: len(x)] / window
    rise, fall = (-np.expm1(-1 / (t * 1e-3 * RATE)) for t in (0.02, 1.0))
    level, expected = 0.0, []
    for p in np.sqrt(power):
        level += (rise if p > level else fall) * (p - level)
        expected.append((20 * np.log10(level) + 80) / 2)
    assert np.max(np.abs(-20 * np.log10(rack(x, RATE) / x) - expected)[100:]) < 0.005


def test_moving_rms_forgets_what_was_far_too_loud():
    """After a spike beyond all measure, its window over, the level is as if it had never been."""
    x = np.full(30000, 1e-3, np.float32)
    loud = x.copy()
    loud[1000] = 1e15
    rack = tr.Rack([tr.Compressor(threshold_db=-70, detector="moving_rms", ballistics="level", attack_ms=0.1, release_ms=1)])
    assert np.allclose(rack(x, RATE)[2600:], rack(loud, RATE)[2600:], rtol=1e-6)


def test_moving_rms_of_channels_that_are_linked_later():
    """Each channel's detector begins with the past of the one that they shared."""
    x = np.repeat(music(1, 24000, RATE, 4), 2, 0)
    settings = {"threshold_db": -40, "detector": "moving_rms", "rms_window_ms": 100.0}
    rack = tr.Rack([tr.Compressor(**settings)])
    whole = rack(x, RATE)
    rack.prepare(RATE, 2)
    first = rack.process(x[:, :12000])
    rack.set("compressor.link_percent", 0.0)
    assert np.allclose(np.concatenate([first, rack.process(x[:, 12000:])], 1), whole, atol=1e-6)


@pytest.mark.parametrize("detector", ["peak", "rms"])
@pytest.mark.parametrize("topology", ["feed_forward", "feedback"])
def test_times_on_the_power(detector, topology):
    """A step down: the power falls with the release, so that the level does with twice of it."""
    x = np.concatenate([np.full(24000, 1.0), np.full(48000, 1e-4)]).astype(np.float32)
    settings = {"ballistics": "power", "detector": detector, "topology": topology, "rms_window_ms": 0.1}
    y = tr.Rack([tr.Compressor(threshold_db=-60, ratio=2, knee_db=0, attack_ms=1, release_ms=50, **settings)])(x, RATE)
    reduction = -20 * np.log10(y[24000:] / x[24000:])
    if topology == "feed_forward":
        assert reduction[4800] - reduction[9600] == pytest.approx(0.5 * 100 / 100 * 20 / np.log(10), rel=0.01)
    else:
        assert reduction[4800] > reduction[9600] > reduction[14400]


@pytest.mark.parametrize("ballistics", ["gain", "level", "power"])
def test_two_stages(ballistics):
    """The loop of zita-dc1, frame by frame."""
    x = music(1, 24000, RATE, 3)
    settings = {"threshold_db": -45.0, "ratio": 3.0, "knee_db": 12.0, "attack_ms": 5.0, "release_ms": 60.0}
    y = tr.Rack([tr.Compressor(envelope="two_stage", ballistics=ballistics, **settings)])(x, RATE)[0]
    rise, fall = (-np.expm1(-1 / (t * 1e-3 * RATE)) for t in (5.0, 60.0))

    def reduction(level):
        db = 20 * np.log10(max(level, 1e-7))
        return db - float(curve(np.array([db]), -45.0, 3.0, 12.0)[0])

    smoothed = peak = level = 0.0
    gains = []
    for v in np.abs(x[0].astype(np.float64)):
        now = {"gain": reduction(v), "level": v, "power": v * v}[ballistics]
        smoothed += rise * (now - smoothed)
        peak = max(smoothed, peak * (1 - fall))
        level = max(smoothed, level + fall * (peak - level))
        gains.append({"gain": level, "level": reduction(level), "power": reduction(np.sqrt(level))}[ballistics])
    assert np.max(np.abs(y - x[0] * 10 ** (-np.array(gains) / 20))) < 1e-5


@pytest.mark.parametrize(("before", "after"), [(a, b) for a in ("gain", "level", "power") for b in ("gain", "level", "power")])
def test_another_place_of_the_ballistics_goes_on_where_the_last_was(before, after):
    x = np.full((1, 9600), 0.3, np.float32)
    rack = tr.Rack([tr.Compressor(threshold_db=-40, ratio=4, attack_ms=0.1, release_ms=5000, ballistics=before)])
    rack.prepare(RATE, 1)
    first = rack.process(x)
    rack.set("compressor.ballistics", after)
    assert np.max(np.abs(rack.process(x) - first[0, -1])) < 1e-4


@pytest.mark.parametrize(
    ("mode", "level"), [("maximum", 0.0), ("mean", 20 * np.log10(0.5)), ("power_mean", 10 * np.log10(0.5))]
)
def test_channel_modes(mode, level):
    """One channel at full scale, the other silent: what the linked detector sees."""
    x = np.zeros((2, 4800), np.float32)
    x[0] = 1.0
    rack = tr.Rack([tr.Compressor(threshold_db=-40, ratio=2, knee_db=0, attack_ms=0.1, channel_mode=mode)])
    assert 20 * np.log10(rack(x, RATE)[0, -1]) == pytest.approx(-(40 + level) / 2, abs=0.002)


def test_unlinked_channels_do_not_touch_each_other():
    x = music(2, 24000, RATE, 1)
    together = tr.Rack([tr.Compressor(threshold_db=-40, link_percent=0)])(x, RATE)
    for c in range(2):
        alone = tr.Rack([tr.Compressor(threshold_db=-40)])(x[c], RATE)
        assert np.allclose(together[c], alone, atol=1e-6)


def test_lookahead_acts_before_the_transient():
    x = np.full(9600, 0.001, np.float32)
    x[4800:] = 1.0
    late = tr.Rack([tr.Compressor(threshold_db=-40, ratio=20, attack_ms=0.5)])(x, RATE)
    early = tr.Rack([tr.Compressor(threshold_db=-40, ratio=20, attack_ms=0.5, lookahead_ms=5)])(x, RATE)
    assert late[4800] > 0.8
    assert early[4800] < 0.05


def test_sidechain_low_cut_ignores_bass():
    bass = np.sin(2 * np.pi * 40 * np.arange(RATE) / RATE).astype(np.float32)
    full = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4)])(bass, RATE)
    cut = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4, sidechain_low_cut_hz=800)])(bass, RATE)
    assert np.max(np.abs(cut[-4800:])) > 3 * np.max(np.abs(full[-4800:]))


def test_key_from_outside():
    """The key, not the sound, decides."""
    x = music(2, 24000, RATE, 1)
    rack = tr.Rack([tr.Compressor(threshold_db=-40, ratio=10, key="duck")])
    assert np.allclose(rack(x, RATE, sidechain=np.zeros_like(x)), x, atol=1e-7)
    loud = rack(x, RATE, sidechain=np.ones((1, 24000), np.float32))
    assert np.max(np.abs(loud[:, -4800:])) < 0.1 * np.max(np.abs(x[:, -4800:]))


def test_feedback_is_softer_than_feed_forward():
    x = np.full(48000, 1.0, np.float32)
    forward = tr.Rack([tr.Compressor(threshold_db=-20, ratio=4, knee_db=0, attack_ms=5)])(x, RATE)[-1]
    back = tr.Rack([tr.Compressor(threshold_db=-20, ratio=4, knee_db=0, attack_ms=5, topology="feedback")])(x, RATE)[-1]
    slope = 1 - 1 / 4  # the loop settles where reduction = slope * (level - reduction - threshold)
    assert 20 * np.log10(forward) == pytest.approx(-20 * slope, abs=0.01)
    assert 20 * np.log10(back) == pytest.approx(-20 * slope / (1 + slope), abs=0.01)
