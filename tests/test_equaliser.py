"""The equaliser against independent references: scipy's filters, and the analogue prototypes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal as ss

import twinrack as tr
from support import error_db, music

RATE = 48000
TYPES = tr.CARDS["parametric_eq"].addresses["band1.type"].options[1:]


def cookbook(kind: str, f: float, gain_db: float, q: float, rate: float) -> np.ndarray:
    """R. Bristow-Johnson's cookbook biquads as one second-order section, which the bilinear transform of each prototype is."""
    a, w = 10 ** (gain_db / 40), 2 * np.pi * f / rate
    c, alpha = np.cos(w), np.sin(w) / (2 * q)
    r = 2 * np.sqrt(a) * alpha
    table = {
        "bell": ([1 + alpha * a, -2 * c, 1 - alpha * a], [1 + alpha / a, -2 * c, 1 - alpha / a]),
        "low_shelf": (
            [a * (a + 1 - (a - 1) * c + r), 2 * a * (a - 1 - (a + 1) * c), a * (a + 1 - (a - 1) * c - r)],
            [a + 1 + (a - 1) * c + r, -2 * (a - 1 + (a + 1) * c), a + 1 + (a - 1) * c - r],
        ),
        "high_shelf": (
            [a * (a + 1 + (a - 1) * c + r), -2 * a * (a - 1 + (a + 1) * c), a * (a + 1 + (a - 1) * c - r)],
            [a + 1 - (a - 1) * c + r, 2 * (a - 1 - (a + 1) * c), a + 1 - (a - 1) * c - r],
        ),
        "low_cut": ([(1 + c) / 2, -1 - c, (1 + c) / 2], [1 + alpha, -2 * c, 1 - alpha]),
        "high_cut": ([(1 - c) / 2, 1 - c, (1 - c) / 2], [1 + alpha, -2 * c, 1 - alpha]),
        "notch": ([1, -2 * c, 1], [1 + alpha, -2 * c, 1 - alpha]),
        "band_pass": ([alpha, 0, -alpha], [1 + alpha, -2 * c, 1 - alpha]),
        "all_pass": ([1 - alpha, -2 * c, 1 + alpha], [1 + alpha, -2 * c, 1 - alpha]),
    }
    b, den = (np.array(row) for row in table[kind])
    return np.concatenate([b, den])[None] / den[0]


def analogue(kind: str, f: np.ndarray, f0: float, gain_db: float, q: float) -> np.ndarray:
    """Magnitude in dB of the analogue prototype."""
    a, s = 10 ** (gain_db / 40), 1j * f / f0
    h = {
        "bell": (s * s + s * a / q + 1) / (s * s + s / (a * q) + 1),
        "low_shelf": a * (s * s + np.sqrt(a) / q * s + a) / (a * s * s + np.sqrt(a) / q * s + 1),
        "high_shelf": a * (a * s * s + np.sqrt(a) / q * s + 1) / (s * s + np.sqrt(a) / q * s + a),
        "low_cut": s * s / (s * s + s / q + 1),
        "high_cut": 1 / (s * s + s / q + 1),
        "notch": (s * s + 1) / (s * s + s / q + 1),
        "band_pass": s / q / (s * s + s / q + 1),
        "all_pass": (s * s - s / q + 1) / (s * s + s / q + 1),
    }[kind]
    return 20 * np.log10(np.abs(h) + 1e-12)


def response_db(rack: tr.Rack, rate: float, size: int = 1 << 17) -> tuple[np.ndarray, np.ndarray]:
    impulse = np.zeros(size, np.float32)
    impulse[0] = 1
    h = np.fft.rfft(rack(impulse, rate).astype(np.float64))
    return np.fft.rfftfreq(size, 1 / rate), 20 * np.log10(np.abs(h) + 1e-12)


@pytest.mark.parametrize("kind", TYPES)
def test_bilinear_bands_equal_scipy(kind):
    x = music(1, 24000, RATE, 1)
    for f, gain_db, q in [(60, 6, 0.7), (1000, -12, 3.0), (9000, 9, 0.4), (15000, -6, 1.0)]:
        rack = tr.Rack([tr.ParametricEQ(warping="bilinear", bands=[tr.Band(kind, frequency_hz=f, gain_db=gain_db, q=q)])])
        expected = ss.sosfilt(cookbook(kind, f, gain_db, q, RATE), x.astype(np.float64))
        assert error_db(rack(x, RATE), expected) < -115


@pytest.mark.parametrize("slope", ["12", "24", "36", "48"])
@pytest.mark.parametrize(("kind", "kind_of_scipy"), [("low_cut", "highpass"), ("high_cut", "lowpass")])
def test_steep_cuts_are_butterworth(kind, kind_of_scipy, slope):
    x = music(1, 24000, RATE, 2)
    rack = tr.Rack([tr.ParametricEQ(warping="bilinear", bands=[tr.Band(kind, frequency_hz=500, slope_db_per_octave=slope)])])
    sos = ss.butter(int(slope) // 6, 500, kind_of_scipy, fs=RATE, output="sos")
    assert error_db(rack(x, RATE), ss.sosfilt(sos, x.astype(np.float64))) < -110


def test_matched_bands_follow_the_analogue_prototype(capsys):
    """How far from the prototype: worst dB over 20 Hz to 20 kHz at 48 kHz, where the prototype is above -40 dB."""
    worst: dict[str, float] = {}
    bilinear: dict[str, float] = {}
    for kind in TYPES:
        for f0, gain_db, q in [(100, 6, 0.7), (1000, -9, 2.0), (5000, 6, 1.0), (10000, 6, 0.7), (14000, -6, 1.0)]:
            for warping, found in (("matched", worst), ("bilinear", bilinear)):
                rack = tr.Rack([tr.ParametricEQ(warping=warping, bands=[tr.Band(kind, frequency_hz=f0, gain_db=gain_db, q=q)])])
                f, h = response_db(rack, RATE)
                expected = analogue(kind, np.maximum(f, 1e-3), f0, gain_db, q)
                heard = (f > 20) & (f < 20000) & (expected > -40) & (np.abs(f / f0 - 1) > 0.02)
                found[kind] = max(found.get(kind, 0.0), float(np.max(np.abs(h - expected)[heard])))
    with capsys.disabled():
        print("\ndistance from the analogue prototype in dB, 20 Hz to 20 kHz at 48 kHz, matched (bilinear)")
        for kind in TYPES:
            print(f"  {kind:<12}{worst[kind]:8.2f} ({bilinear[kind]:.2f})")
    for kind in ("bell", "low_shelf", "high_shelf"):
        assert worst[kind] < 1.0
        assert worst[kind] < 0.4 * bilinear[kind]
    for kind in TYPES:
        assert worst[kind] <= max(bilinear[kind], 0.05)


@pytest.mark.parametrize("warping", ["matched", "bilinear"])
def test_stable_while_everything_moves(warping):
    """All bands jump over their whole range at every tick for two seconds; the output stays finite and dies away after it."""
    rng = np.random.default_rng(0)
    bands = [tr.Band(kind) for kind in TYPES] + [tr.Band("bell")] * 8
    rack = tr.Rack([tr.ParametricEQ(warping=warping, bands=bands)])
    ticks = 3000
    automation = {}
    for i in range(1, 17):
        automation[f"parametric_eq.band{i}.frequency_hz"] = 10 * 2200 ** rng.uniform(size=ticks)
        automation[f"parametric_eq.band{i}.gain_db"] = rng.uniform(-6, 6, ticks)
        automation[f"parametric_eq.band{i}.q"] = 0.3 * 10 ** rng.uniform(size=ticks)
    x = np.concatenate([music(2, 96000, RATE, 3), np.zeros((2, 96000), np.float32)], axis=1)
    y = rack(x, RATE, automation=automation)
    assert np.isfinite(y).all()
    assert np.max(np.abs(y[:, -4800:])) < 1e-4
    assert np.max(np.abs(y)) < 1e4


def test_an_off_band_costs_no_precision():
    x = music(2, 4800, RATE, 1)
    assert np.array_equal(tr.Rack([tr.ParametricEQ()])(x, RATE), x)
