"""Dynamic equaliser, de-esser and leveller: what they do to sound, and hidden settings of them that fits find."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt

import twinrack as tr
from support import error_db, music
from twinrack.measure.loudness import loudness

RATE = 48000


def tone(hz: float, level_db: float, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.stack([10 ** (level_db / 20) * np.sin(2 * np.pi * hz * t)] * 2).astype(np.float32)


def gain_db(rack: tr.Rack, x: np.ndarray, **given) -> float:
    y = rack(x, RATE, **given)
    half = x.shape[1] // 2
    return 10 * np.log10(np.mean(y[:, half:].astype(float) ** 2) / np.mean(x[:, half:].astype(float) ** 2))


@pytest.mark.parametrize(("level", "wanted"), [(-50, 0.0), (-30, 0.0), (-20, -7.5), (-10, -12.0), (-6, -12.0)])
def test_a_band_moves_by_its_own_level(level, wanted):
    """By 0.75 dB for each dB above -30 dB, 12 dB at most; what is beside it does not move."""
    band = tr.DynamicBand("bell", frequency_hz=2000, q=2, threshold_db=-30, ratio=4, range_db=-12)
    rack = tr.Rack([tr.DynamicEQ(bands=[band])])
    knee = 0.75 * 9 / 12 if level == -30 else 0.0
    assert gain_db(rack, tone(2000, level)) == pytest.approx(wanted - knee, abs=0.3)
    assert gain_db(rack, tone(100, level)) == pytest.approx(0.0, abs=0.05)


def test_below_the_threshold_and_upwards():
    lift = tr.DynamicBand("bell", when="below", frequency_hz=1000, threshold_db=-30, ratio=2, range_db=6)
    rack = tr.Rack([tr.DynamicEQ(bands=[lift])])
    assert gain_db(rack, tone(1000, -10)) == pytest.approx(0.0, abs=0.05)
    assert gain_db(rack, tone(1000, -38)) == pytest.approx(4.0, abs=0.3)
    assert gain_db(rack, tone(1000, -60)) == pytest.approx(6.0, abs=0.1)


def test_a_sidechain_moves_the_bands():
    band = tr.DynamicBand("low_shelf", frequency_hz=150, threshold_db=-40, ratio=10, range_db=-9)
    rack = tr.Rack([tr.DynamicEQ(bands=[band], key="kick")])
    x = tone(50, -20)
    assert gain_db(rack, x, sidechain=np.zeros_like(x)) == pytest.approx(0.0, abs=0.05)
    assert gain_db(rack, x, sidechain=tone(60, -6)) == pytest.approx(-9.0, abs=0.6)
    assert gain_db(rack, x, sidechain=tone(6000, -6)) == pytest.approx(0.0, abs=0.1)


def voice_with_sibilants() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vowels of a saw's overtones with bursts of noise above 5 kHz between them; and which frames are bursts."""
    rng = np.random.default_rng(0)
    t = np.arange(4 * RATE) / RATE
    vowel = sum(np.sin(2 * np.pi * 140 * k * t) / k**1.3 for k in range(1, 30)) * 0.12
    burst = (t % 0.5) > 0.38
    hiss = sosfilt(butter(4, [5000, 11000], "bp", fs=RATE, output="sos"), rng.standard_normal(t.size)) * 0.12
    vowels, sibilants = vowel * ~burst, hiss * burst
    return np.stack([vowels] * 2).astype(np.float32), np.stack([sibilants] * 2).astype(np.float32), burst


@pytest.mark.parametrize("mode", ["shelf", "bell", "wide"])
@pytest.mark.parametrize("level_db", [0.0, -20.0])
def test_sibilants_go_down_and_vowels_stay(mode, level_db):
    """In a loud and a soft voice alike; `removed` is the difference."""
    vowels, sibilants, burst = voice_with_sibilants()
    x = (vowels + sibilants) * np.float32(10 ** (level_db / 20))
    effect = tr.Deesser(mode=mode, frequency_hz=7000 if mode == "bell" else 5500, range_db=9, ratio=8)
    y = tr.Rack([effect])(x, RATE)
    inside = np.convolve(burst, np.ones(2400), "same") > 2399  # away from where they begin and end
    outside = np.convolve(~burst, np.ones(9600), "same") > 9599
    powers = [[float(np.mean(s[:, w].astype(float) ** 2)) for w in (inside, outside)] for s in (x, y)]
    change = 10 * np.log10(np.array(powers[1]) / powers[0])
    assert change[0] < (-4.0 if mode == "bell" else -6.0)
    assert abs(change[1]) < 0.2
    removed = effect.copy()
    removed.listen = "removed"
    assert error_db(x - tr.Rack([removed])(x, RATE), y) < -120


def test_hiss_in_pauses_is_left_alone():
    rng = np.random.default_rng(1)
    hiss = (1e-3 * rng.standard_normal((2, RATE))).astype(np.float32)  # of -60 dBFS
    assert error_db(tr.Rack([tr.Deesser()])(hiss, RATE), hiss) < -40


def loudness_of(x: np.ndarray) -> float:
    return loudness(x, RATE).integrated


def test_two_speakers_come_together_and_pauses_stay_quiet():
    """A loud and a soft voice with a noisy pause between: within 1 dB of each other, and the noise is not brought up."""
    rng = np.random.default_rng(2)
    talk = sosfilt(butter(2, [150, 4000], "bp", fs=RATE, output="sos"), rng.standard_normal(12 * RATE))
    talk *= 0.6 + 0.4 * np.sin(2 * np.pi * 3 * np.arange(talk.size) / RATE)
    pause = 1e-3 * rng.standard_normal(4 * RATE)
    x = np.concatenate([0.2 * talk, pause, 0.04 * talk]).astype(np.float32)[None]
    y = tr.Rack([tr.Leveller(target_lufs=-20, max_boost_db=20, rise_db_per_s=8, window_s=1.5)])(x, RATE)
    ends = [y[:, 8 * RATE : 12 * RATE], y[:, 24 * RATE :]]
    loud, soft = (loudness_of(e) for e in ends)
    assert loud == pytest.approx(-20, abs=1.0)
    assert soft == pytest.approx(-20, abs=1.0)
    early, late = (gain_between(*(s[:, i * RATE : (i + 1) * RATE] for s in (x, y))) for i in (13, 15))
    assert early == pytest.approx(late, abs=0.01)


def gain_between(x: np.ndarray, y: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(y.astype(float) ** 2) / np.mean(x.astype(float) ** 2)))


def test_one_huge_sample_is_forgotten_with_its_window():
    x = tone(1000, -26, 12.0)[:1]
    hit = x.copy()
    hit[0, RATE] = 1e9
    rack = tr.Rack([tr.Leveller(rise_db_per_s=20, fall_db_per_s=20)])
    y, z = rack(x, RATE), rack(hit, RATE)
    assert error_db(z[:, 8 * RATE :], y[:, 8 * RATE :]) < -60
    twin = rack.twin(RATE)(torch.from_numpy(hit)[None])[0].detach().numpy()
    assert error_db(twin[:, 8 * RATE :], y[:, 8 * RATE :]) < -60


def test_the_gain_moves_by_so_many_db_a_second():
    t = np.arange(8 * RATE) / RATE
    x = (0.02 * np.sin(2 * np.pi * 1000 * t))[None].astype(np.float32)
    y = tr.Rack([tr.Leveller(target_lufs=-14, max_boost_db=30, rise_db_per_s=3, window_s=0.4)])(x, RATE)
    level = [gain_between(x[:, i : i + 4800], y[:, i : i + 4800]) for i in (RATE, 3 * RATE, 5 * RATE)]
    assert level[1] - level[0] == pytest.approx(6.0, abs=0.05)
    assert level[2] - level[1] == pytest.approx(6.0, abs=0.05)


def found(start: tr.Rack, hidden: tr.Rack, learn: list[str], minutes: float = 2.0, seed: int = 3) -> tr.FitResult:
    x = 2 * music(2, 8 * RATE, RATE, seed)
    return tr.fit(start, x, hidden(x, RATE), RATE, learn=learn, minutes=minutes, progress=False)


def test_hidden_bands_of_a_dynamic_equaliser_are_found():
    """Their place, threshold, range and times, from the card's defaults."""
    bands = [
        tr.DynamicBand("bell", frequency_hz=2600, q=1.4, threshold_db=-38, ratio=4, range_db=-10, attack_ms=4, release_ms=60),
        tr.DynamicBand("low_shelf", frequency_hz=160, threshold_db=-26, ratio=3, range_db=-8, attack_ms=20, release_ms=200),
    ]
    start = tr.Rack([tr.DynamicEQ(bands=[tr.DynamicBand("bell"), tr.DynamicBand("low_shelf", frequency_hz=300)])])
    result = found(start, tr.Rack([tr.DynamicEQ(bands=bands)]), ["*"])
    assert result.fitted.error_db < -40


def test_a_hidden_deesser_is_found():
    hidden = tr.Rack([tr.Deesser(frequency_hz=4200, threshold_db=-15, ratio=3, range_db=14, attack_ms=2, release_ms=50)])
    result = found(tr.Rack([tr.Deesser()]), hidden, ["*"])
    assert result.fitted.error_db < -40
    assert result.rack.get("deesser.frequency_hz") == pytest.approx(4200, rel=0.03)


def test_a_hidden_leveller_is_found():
    hidden = tr.Rack([tr.Leveller(target_lufs=-14, rise_db_per_s=7, fall_db_per_s=12)])
    result = found(tr.Rack([tr.Leveller()]), hidden, ["*"])
    assert result.fitted.error_db < -40
    assert result.rack.get("leveller.target_lufs") == pytest.approx(-14, abs=0.3)
