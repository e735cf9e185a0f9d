"""The reverb by figures: decay times, density, tail without ringing modes, stereo, mono sum, stability."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal as ss

import twinrack as tr
from twinrack.measure.impulse import echo_density, energy_decay_db, highest_mode_db, reverb_figures, rt60

RATE = 48000


def impulse_response(seconds: float, rate: float = RATE, channels: int = 2, **settings: object) -> np.ndarray:
    x = np.zeros((channels, int(seconds * rate)), np.float32)
    x[:, 0] = 1.0 / channels**0.5
    return tr.Rack([tr.FDNReverb(mix=1, **settings)])(x, rate).astype(np.float64)


def band(h: np.ndarray, rate: float, low: float, high: float) -> np.ndarray:
    return ss.sosfilt(ss.butter(4, [low, high], "bandpass", fs=rate, output="sos"), h)


@pytest.mark.parametrize("rate", [16000, 48000, 96000])
@pytest.mark.parametrize("decay", [0.3, 0.8, 1.8, 4.0, 10.0])
def test_mid_decay_is_what_is_set(decay, rate):
    h = impulse_response(min(1.2 * decay + 0.3, 12), rate, decay_s=decay, decay_low_s=decay, decay_high_s=decay)
    assert rt60(h, rate) == pytest.approx(decay, rel=0.05)


def test_decay_in_three_bands():
    h = impulse_response(
        5,
        decay_s=1.5,
        decay_low_s=3.0,
        decay_high_s=0.6,
        crossover_low_hz=200,
        crossover_high_hz=4000,
        low_cut_hz=10,
        high_cut_hz=22000,
    )
    low, mid, high = (rt60(band(h, RATE, *edges), RATE) for edges in ((40, 90), (700, 1200), (10000, 16000)))
    print(f"set 3.0 / 1.5 / 0.6 s, measured {low:.2f} / {mid:.2f} / {high:.2f} s")
    assert mid == pytest.approx(1.5, rel=0.05)
    assert low == pytest.approx(3.0, rel=0.05)
    assert high == pytest.approx(0.6, rel=0.05)


def test_decay_is_straight_in_db():
    h = impulse_response(2.5, decay_s=1.5, decay_low_s=1.5, decay_high_s=1.5)
    level = energy_decay_db(h)
    t = np.arange(len(level)) / RATE
    fit = (level < -5) & (level > -55)
    line = np.polyval(np.polyfit(t[fit], level[fit], 1), t[fit])
    assert np.max(np.abs(level[fit] - line)) < 1.0


def test_density_tail_and_stereo_at_the_defaults(capsys):
    """Beside a plate of white noise with the same decay; benchmarks/reverb_figures.py adds Calf's reverb."""
    h = impulse_response(3)
    plate = np.random.default_rng(0).standard_normal(h.shape) * 10 ** (-3 * np.arange(h.shape[1]) / RATE / 1.5)
    ours, noise = reverb_figures(h, RATE, 1.5), reverb_figures(plate, RATE, 1.5)
    with capsys.disabled():
        for name, figures in (("fdn_reverb", ours), ("noise plate", noise)):
            print(f"\n  {name:<12}", "  ".join(f"{key} {value:.3g}" for key, value in figures.items()), end="")
        print()
    assert ours["dense_after_s"] <= 0.080
    assert ours["highest_mode_db"] < 12
    assert ours["flatness_db"] > noise["flatness_db"] - 2
    assert abs(ours["correlation"]) < 0.2
    late = h[:, int(0.2 * RATE) : int(1.2 * RATE)]
    assert np.sum(late.sum(0) ** 2) > 0.5 * np.sum(late**2)  # mono keeps its power: 1.0 for independent channels


def test_the_measures_themselves():
    """On signals whose figures are known: Gaussian noise, a single ringing mode, a decay made to measure."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((2, 2 * RATE))
    decaying = noise * 10 ** (-3 * np.arange(2 * RATE) / RATE / 0.7)
    assert rt60(decaying, RATE) == pytest.approx(0.7, rel=0.02)
    _, density = echo_density(noise[0], RATE)
    assert np.mean(density) == pytest.approx(1.0, abs=0.03)
    sparse = np.where(rng.random(RATE) < 0.002, 1.0, 0.0)
    assert np.mean(echo_density(sparse, RATE)[1]) < 0.2
    ringing = noise + 1.0 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)
    assert highest_mode_db(ringing, RATE) > 12
    assert highest_mode_db(noise, RATE) < 8


def test_width_zero_is_mono():
    h = impulse_response(0.5, width=0)
    assert np.allclose(h[0], h[1], atol=1e-7)


def test_pre_delay_comes_first():
    h = impulse_response(0.5, pre_delay_ms=50, early_db=0)
    first = np.argmax(np.abs(h).max(0) > 1e-4) / RATE
    assert 0.050 <= first < 0.056


def test_stable_for_extreme_settings():
    """Every corner of the decay settings: the energy of the response falls."""
    p = tr.CARDS["fdn_reverb"].addresses
    for seed in range(40):
        rng = np.random.default_rng(seed)
        settings = {
            a: float(rng.choice([p[a].min, p[a].max]))
            for a in ("decay_s", "decay_low_s", "decay_high_s", "crossover_low_hz", "crossover_high_hz", "diffusion")
        }
        settings |= {"modulation_depth": 1.0, "modulation_rate_hz": 4.0}
        rate = (8000, 48000)[seed % 2]
        h = impulse_response(6, rate, **settings)
        first, last = np.sum(h[:, rate : 2 * rate] ** 2), np.sum(h[:, 5 * rate :] ** 2)
        assert last <= first * 1.01 + 1e-20
