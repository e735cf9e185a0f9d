"""The reverb by figures: decay times, density, tail without ringing modes, stereo, mono sum, stability."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal as ss

import twinrack as tr

RATE = 48000


def impulse_response(seconds: float, rate: float = RATE, channels: int = 2, **settings: object) -> np.ndarray:
    x = np.zeros((channels, int(seconds * rate)), np.float32)
    x[:, 0] = 1.0 / channels**0.5
    return tr.Rack([tr.FDNReverb(mix=1, **settings)])(x, rate).astype(np.float64)


def rt60(h: np.ndarray, rate: float, low: float | None = None, high: float | None = None) -> float:
    """Schroeder integration: 60 dB extrapolated from -5 to -35 dB of the backward-integrated energy."""
    if low or high:
        band = [b for b in (low, high) if b]
        kind = "bandpass" if len(band) == 2 else "lowpass" if high else "highpass"
        h = ss.sosfilt(ss.butter(4, band if len(band) == 2 else band[0], kind, fs=rate, output="sos"), h)
    energy = np.cumsum((h**2).sum(0)[::-1])[::-1]
    level = 10 * np.log10(energy / energy[0] + 1e-15)
    t = np.arange(len(level)) / rate
    fit = (level < -5) & (level > -35)
    return -60 / np.polyfit(t[fit], level[fit], 1)[0]


def echo_density(h: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Abel and Huang 2006: share of samples outside one standard deviation in 20 ms windows, 1 for Gaussian noise."""
    size = int(0.02 * rate)
    weight = np.hanning(size)
    weight /= weight.sum()
    starts = np.arange(0, int(0.4 * rate), int(0.002 * rate))
    density = []
    for start in starts:
        part = h[start : start + size]
        sigma = np.sqrt(np.sum(weight * part**2))
        density.append(np.sum(weight * (np.abs(part) > sigma)) / 0.3173)
    return (starts + size / 2) / rate, np.array(density)


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
    low, mid, high = rt60(h, RATE, 40, 90), rt60(h, RATE, 700, 1200), rt60(h, RATE, 10000, 16000)
    print(f"set 3.0 / 1.5 / 0.6 s, measured {low:.2f} / {mid:.2f} / {high:.2f} s")
    assert mid == pytest.approx(1.5, rel=0.05)
    assert low == pytest.approx(3.0, rel=0.05)
    assert high == pytest.approx(0.6, rel=0.05)


def test_decay_is_straight_in_db():
    h = impulse_response(2.5, decay_s=1.5, decay_low_s=1.5, decay_high_s=1.5)
    energy = np.cumsum((h**2).sum(0)[::-1])[::-1]
    level = 10 * np.log10(energy / energy[0])
    t = np.arange(len(level)) / RATE
    fit = (level < -5) & (level > -55)
    line = np.polyval(np.polyfit(t[fit], level[fit], 1), t[fit])
    assert np.max(np.abs(level[fit] - line)) < 1.0


def test_density_tail_and_stereo_at_the_defaults(capsys):
    h = impulse_response(3)
    late = h[:, int(0.2 * RATE) : int(1.2 * RATE)]
    rng = np.random.default_rng(0)
    plate = rng.standard_normal(h.shape) * 10 ** (-3 * np.arange(h.shape[1]) / RATE / 1.5)

    def reaches(x: np.ndarray) -> float:
        t, density = echo_density(x, RATE)
        return float(t[np.argmax(density >= 0.9)])

    def worst_mode(x: np.ndarray) -> float:
        """How far a mode stands above its neighbourhood (one sixth octave), in dB, in a decay-compensated late tail."""
        flat = x * 10 ** (3 * np.arange(x.shape[-1]) / RATE / 1.5)
        f, power = ss.welch(flat, RATE, nperseg=16384, axis=-1)
        worst = 0.0
        for row in np.atleast_2d(power):
            for centre in np.geomspace(100, 10000, 80):
                near = (f > centre / 2 ** (1 / 12)) & (f < centre * 2 ** (1 / 12))
                worst = max(worst, 10 * np.log10(row[near].max() / np.mean(row[near])))
        return worst

    def flatness_db(x: np.ndarray) -> float:
        f, power = ss.welch(x[0], RATE, nperseg=16384)
        inside = power[(f > 300) & (f < 3000)]
        return float(10 * np.log10(np.exp(np.mean(np.log(inside))) / np.mean(inside)))

    figures = {}
    for name, x in (("fdn_reverb", h), ("noise plate", plate)):
        tail = x[:, int(0.2 * RATE) : int(1.2 * RATE)]
        correlation = float(np.corrcoef(tail)[0, 1])
        figures[name] = (reaches(x[0]), worst_mode(tail), flatness_db(tail), correlation)
    with capsys.disabled():
        print("\n                 density 0.9 at   highest mode   flatness   correlation")
        for name, (density, mode, flat, correlation) in figures.items():
            print(f"  {name:<14}{density * 1e3:11.0f} ms {mode:11.1f} dB {flat:8.1f} dB {correlation:10.2f}")
    density, mode, flat, correlation = figures["fdn_reverb"]
    assert density <= 0.080
    assert mode < 12
    assert flat > figures["noise plate"][2] - 2
    assert abs(correlation) < 0.2
    mono = late.sum(0)
    assert np.sum(mono**2) > 0.5 * np.sum(late**2)  # the sum keeps its power: 1.0 for independent channels


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
