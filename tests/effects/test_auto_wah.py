"""The auto-wah: its filter goes as far as the level says, and a fit finds how it was set."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr

RATE = 48000


def strokes(seconds: float, rate: int) -> np.ndarray:
    """Chords of a rich sound that are struck more or less hard, and die away."""
    rng = np.random.default_rng(3)
    x = np.zeros(int(seconds * rate))
    at = 0
    while at < x.size:
        t = np.arange(min(int(rate * rng.uniform(0.15, 0.5)), x.size - at)) / rate
        f0 = np.exp(rng.uniform(np.log(80), np.log(300)))
        saw = sum(np.sin(2 * np.pi * f0 * k * t + k) / k for k in range(1, 30) if f0 * k < 0.4 * rate)
        x[at : at + t.size] = 10 ** (rng.uniform(-36, -9) / 20) * saw * np.exp(-t / 0.15)
        at += t.size
    return np.stack([x, 0.8 * x]).astype(np.float32)


def peak_hz(wah: tr.AutoWah, level_db: float) -> float:
    """Where noise of a level comes out strongest."""
    rng = np.random.default_rng(0)
    x = (10 ** (level_db / 20) * rng.standard_normal((1, 4 * RATE))).astype(np.float32)
    y = tr.Rack([wah.copy()])(x, RATE)
    power = np.abs(np.fft.rfft(y[0, RATE:].reshape(-1, 4800))) ** 2
    hertz = np.fft.rfftfreq(4800, 1 / RATE)
    return float(hertz[np.argmax(np.convolve(power.mean(0), np.ones(9), "same"))])


@pytest.mark.parametrize(("low", "high"), [(400.0, 2000.0), (2000.0, 400.0)])
def test_it_goes_from_one_end_to_the_other(low, high):
    wah = tr.AutoWah(low_hz=low, high_hz=high, q=6, threshold_db=-50, range_db=20, release_ms=500)
    assert peak_hz(wah, -80) == pytest.approx(low, rel=0.1)
    assert peak_hz(wah, -20) == pytest.approx(high, rel=0.1)
    between = peak_hz(wah, -54)  # whose peaks are some 10 dB higher
    assert min(low, high) * 1.3 < between < max(low, high) / 1.3


def test_a_sidechain_moves_it():
    quiet = np.full((1, RATE), 1e-4, np.float32) * np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32)
    loud = 1000 * quiet
    rack = tr.Rack([tr.AutoWah(key="drum")])
    still, moved = rack(quiet, RATE, sidechain={"drum": quiet}), rack(quiet, RATE, sidechain={"drum": loud})
    bright = [float(np.sum(np.diff(y[0].astype(float)) ** 2) / np.sum(y[0].astype(float) ** 2)) for y in (still, moved)]
    assert bright[1] > 4 * bright[0]


def test_a_fit_finds_the_hidden_wah():
    rate = 32000
    x = strokes(6.0, rate)
    hidden = {"low_hz": 280.0, "high_hz": 1500.0, "q": 5.0, "threshold_db": -44.0, "range_db": 26.0, "release_ms": 120.0}
    wet = tr.Rack([tr.AutoWah(**hidden)])(x, rate)
    result = tr.fit(tr.Rack([tr.AutoWah()]), x, wet, rate, progress=False, minutes=1.0)
    print(result)
    assert result.fitted.error_db < -40.0, str(result)
    assert result.rack["auto_wah"].low_hz == pytest.approx(280, rel=0.03)
    assert result.rack["auto_wah"].high_hz == pytest.approx(1500, rel=0.03)
