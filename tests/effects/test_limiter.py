"""The limiter's ceiling holds for samples and true peaks, over random and adversarial signals; and how it comes back."""

from __future__ import annotations

import os

import numpy as np
import pytest

import twinrack as tr
from twinrack import _engine

RATE = 48000
SIGNALS = int(os.environ.get("TWINRACK_LIMITER_SIGNALS", "3000"))
FIRST, SECOND = (np.array(row) for row in _engine.true_peak_phases())
PHASES = (FIRST, SECOND, SECOND[::-1], FIRST[::-1])


def true_peaks(x: np.ndarray) -> np.ndarray:
    """Rec. ITU-R BS.1770-4, annex 2, for each row: (rows, frames) to (rows,)."""
    size = 1 << (x.shape[1] + 16).bit_length()
    spectrum = np.fft.rfft(x, size)
    found = [np.abs(np.fft.irfft(spectrum * np.fft.rfft(phase, size), size)).max(1) for phase in PHASES]
    return np.maximum(np.max(found, 0), np.abs(x).max(1))


def adversarial(rng: np.random.Generator, frames: int) -> np.ndarray:
    """One signal that is hard on limiters: noise, random signs, tones, aligned alternations, clicks, bursts."""
    t = np.arange(frames)
    kind = rng.integers(7)
    if kind == 0:
        return rng.standard_normal(frames)
    if kind == 1:
        return rng.choice([-1.0, 1.0], frames)
    if kind == 2:
        return np.sin(2 * np.pi * rng.uniform(0.2, 0.5) * t + rng.uniform(0, 6)) * np.hanning(frames)
    if kind == 3:  # signs that all add up half way between two samples
        place = t - frames // 2 + rng.uniform(0, 1)
        return np.sign(np.sinc(place)) * (np.abs(place) < rng.integers(3, 60))
    if kind == 4:
        x = np.zeros(frames)
        x[rng.integers(20, frames - 20, 8)] = rng.uniform(-1, 1, 8)
        return x
    if kind == 5:  # full scale at a quarter of the rate, between the samples
        return np.sign(np.sin(2 * np.pi * (t + 0.5) / 4)) * (rng.random(frames // 64 + 1) < 0.5).repeat(64)[:frames]
    x = np.fft.rfft(rng.standard_normal(frames))
    x[int(len(x) * rng.uniform(0.1, 0.9)) :] = 0
    return np.fft.irfft(x, frames)


def test_no_peak_above_the_ceiling():
    """`TWINRACK_LIMITER_SIGNALS` of them, sixteen at a time, each channel on its own."""
    highest_sample = highest_true = -np.inf
    for batch in range(-(-SIGNALS // 16)):
        rng = np.random.default_rng([batch, 1770])
        frames = int(rng.integers(200, 1200))
        x = np.stack([adversarial(rng, frames) for _ in range(16)])
        x *= 10 ** (rng.uniform(-12, 40, (16, 1)) / 20) / np.maximum(np.abs(x).max(1, keepdims=True), 1e-9)
        limiter = tr.Limiter(
            ceiling_db=rng.uniform(-24, 0),
            lookahead_ms=rng.choice([1.0, 1.5, 3.0, 5.0, 20.0]),
            release_ms=10 ** rng.uniform(0, 3),
            adaptive=rng.uniform(),
            link_percent=rng.choice([0.0, 50.0, 100.0]),
        )
        y = tr.Rack([limiter])(x.astype(np.float32), float(rng.choice([44100, 48000, 96000])), tail=0.05)
        ceiling = 10 ** (np.float64(np.float32(limiter.ceiling_db)) / 20)
        highest_sample = max(highest_sample, 20 * np.log10(np.abs(y).max() / ceiling))
        highest_true = max(highest_true, float(20 * np.log10(true_peaks(y.astype(np.float64)).max() / ceiling)))
    print(
        f"\n{SIGNALS} signals: highest sample {highest_sample:+.6f} dB, highest true peak {highest_true:+.4f} dB of the ceiling"
    )
    assert highest_sample < 1e-5  # the ceiling itself, as float32 has it
    assert highest_true < 0.1


def test_below_the_ceiling_nothing_changes():
    x = (0.3 * np.sin(2 * np.pi * 997 * np.arange(RATE) / RATE)).astype(np.float32)
    assert np.array_equal(tr.Rack([tr.Limiter(ceiling_db=-1)])(x, RATE), x)


@pytest.mark.parametrize(("seconds", "longest_s"), [(0.005, 0.25), (2.0, 2.0)])
def test_release_adapts(seconds, longest_s):
    """After a click the gain is back soon; after a loud passage it takes its time."""
    x = np.full(6 * RATE, 0.05)
    x[RATE : RATE + int(seconds * RATE)] = 2.0
    y = tr.Rack([tr.Limiter(ceiling_db=-6, release_ms=50, adaptive=1.0)])(x.astype(np.float32), RATE)
    gain_db = 20 * np.log10(np.abs(y) / x)
    back = np.flatnonzero(gain_db < -0.5)[-1] / RATE - 1.0 - seconds
    assert 0 < back < longest_s
    if seconds > 1:
        plain = tr.Rack([tr.Limiter(ceiling_db=-6, release_ms=50, adaptive=0.0)])(x.astype(np.float32), RATE)
        plain_back = np.flatnonzero(20 * np.log10(np.abs(plain) / x) < -0.5)[-1] / RATE - 1.0 - seconds
        assert back > 3 * plain_back


def test_link():
    x = np.stack([np.full(RATE, 2.0), np.full(RATE, 0.1)]).astype(np.float32)
    for percent, expected_db in ((100.0, -12.04), (50.0, -6.02), (0.0, 0.0)):
        y = tr.Rack([tr.Limiter(ceiling_db=-6.02, link_percent=percent)])(x, RATE)
        assert 20 * np.log10(y[1, RATE // 2] / 0.1) == pytest.approx(expected_db, abs=0.1)
