"""The equaliser against independent references: scipy's filters, and the analogue prototypes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.signal as ss

import twinrack as tr
from support import error_db, music
from twinrack import _engine

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


SWEPT_RATES = (8000, 16000, 22050, 44100, 48000, 96000, 192000, 384000)


def power_db(coefficients: np.ndarray, f: np.ndarray, rate: float) -> np.ndarray:
    """Of filters (n, 5), rounded to float32 as the engine has them, at frequencies (m,): dB, (n, m)."""
    g, k, m0, m1, m2 = coefficients.reshape(-1, 5).astype(np.float32).astype(float).T[..., None]
    x = np.tan(np.pi * f / rate) / g
    power = ((m0 * (1 - x * x) + m2) ** 2 + ((m0 * k + m1) * x) ** 2) / ((1 - x * x) ** 2 + (k * x) ** 2)
    return 10 * np.log10(power + 1e-24)


def test_matched_bands_over_the_whole_card(capsys):
    """112,000 settings over every type, frequency, gain, Q, slope and rate of the card, 5 Hz to 0.9 of Nyquist: within 1 dB of
    the prototype or nearer to it than the bilinear design; what never cuts, never lifts or only falls there does so here."""
    rng = np.random.default_rng(0)
    p = tr.CARDS["parametric_eq"].addresses
    lowest, highest, least, most = (p[f"band1.{n}"] for n in ("frequency_hz", "frequency_hz", "q", "q"))
    gain_range = p["band1.gain_db"]
    table, settings = [], 0
    for kind in (k for k in TYPES if k != "all_pass"):
        within, nearer, worst, worst_bilinear = [], [], [], []
        for rate in SWEPT_RATES:
            n = 2000
            f0 = np.exp(rng.uniform(np.log(lowest.min), np.log(highest.max), n))
            q = np.exp(rng.uniform(np.log(least.min), np.log(most.max), n))
            q[: n // 4] = 0.5**0.5  # as most are
            gain = rng.uniform(gain_range.min, gain_range.max, n)
            stages = rng.integers(1, 5, n) if kind.endswith("cut") else np.ones(n, int)
            f = np.concatenate([np.geomspace(5, 0.45 * rate, 70), np.linspace(0.02, 0.45, 40) * rate])
            f.sort()
            want, matched, bilinear = (np.zeros((n, f.size)) for _ in range(3))
            for stage in range(4):
                on = stages > stage
                if kind.endswith("cut"):
                    section_q = np.array([_engine.cut_section_q(stage, int(k), v) for k, v in zip(stages, q, strict=True)])
                else:
                    section_q = q
                numbers = [t[on, None] for t in (f0, gain, section_q)]
                shape = [TYPES.index(kind)]
                if on.any():
                    want[on] += analogue(kind, f[None], numbers[0], numbers[1], numbers[2])
                    matched[on] += power_db(_engine.design_filters(shape, True, *numbers, rate)[0], f, rate)
                    bilinear[on] += power_db(_engine.design_filters(shape, False, *numbers, rate)[0], f, rate)
            floor = -80.0  # a null is as deep as the coefficients' rounding lets it be
            errors = (np.abs(np.maximum(h, floor) - np.maximum(want, floor)) for h in (matched, bilinear))
            error, error_bilinear = errors
            settings += n
            within.append((error <= 1).all(1))
            nearer.append(error.max(1) <= error_bilinear.max(1) + 0.01)
            worst.append(error.max(1))
            worst_bilinear.append(error_bilinear.max(1))
            slack, flat = 1e-3, q <= 0.5**0.5 + 1e-9  # up to there cuts and shelves are monotonic
            if kind != "bell" and "shelf" not in kind:
                raised, lowered = np.zeros(n, bool), flat if kind.endswith("cut") else np.ones(n, bool)
            else:
                raised, lowered = ((sign * gain > 0) & ((kind == "bell") | flat) for sign in (1, -1))
            assert (matched[lowered] <= slack).all()
            assert (matched[raised] >= -slack).all()
            rising = {
                "low_cut": flat,
                "high_cut": ~flat & flat,
                "low_shelf": flat & (gain < 0),
                "high_shelf": flat & (gain > 0),
            }
            falling = {
                "low_cut": ~flat & flat,
                "high_cut": flat,
                "low_shelf": flat & (gain > 0),
                "high_shelf": flat & (gain < 0),
            }
            if kind in rising:
                assert (np.diff(matched[rising[kind]], axis=1) >= -slack).all()
                assert (np.diff(matched[falling[kind]], axis=1) <= slack).all()
        within, nearer, worst, worst_bilinear = map(np.concatenate, (within, nearer, worst, worst_bilinear))
        bad = ~(within | nearer)
        assert not bad.any(), f"{kind}: {int((~within & ~nearer).sum())} settings are worse than bilinear"
        table.append(
            f"| {kind.replace('_', ' ')} | {100 * within.mean():.1f} % ({100 * (worst_bilinear <= 1).mean():.1f} %) "
            f"| {np.median(worst):.2f} ({np.median(worst_bilinear):.2f}) | {np.quantile(worst, 0.99):.1f} "
            f"({np.quantile(worst_bilinear, 0.99):.1f}) | {worst.max():.1f} ({worst_bilinear.max():.1f}) |"
        )
    assert settings >= 100_000
    with capsys.disabled():
        print("\n| band | within 1 dB everywhere | median of the worst dB | 99 % | worst | , matched (bilinear)")
        print("\n".join(table))


@pytest.mark.parametrize("warping", ["matched", "bilinear"])
def test_bands_that_the_rate_does_not_hold(warping):
    """Nothing jumps where a frequency passes half the sample rate, and far above it the band does nothing below."""
    for kind in TYPES:
        for gain_db, q, edge in itertools.product((12, -12), (0.3, 0.7, 4.0), (0.45, 0.49, 0.5)):
            levels = []
            for f0 in (edge * 16000 * (1 - 1e-5), edge * 16000 * (1 + 1e-5)):
                band = tr.Band(kind, frequency_hz=f0, gain_db=gain_db, q=q)
                f, h = response_db(tr.Rack([tr.ParametricEQ(warping=warping, bands=[band])]), 16000, 1 << 12)
                levels.append(np.maximum(h, -60)[(f > 50) & (f < 7000)])
            assert np.abs(levels[1] - levels[0]).max() < 0.05
        if kind in ("bell", "notch"):
            band = tr.Band(kind, frequency_hz=22000, gain_db=12, q=4.0)
            f, h = response_db(tr.Rack([tr.ParametricEQ(warping=warping, bands=[band])]), 8000)
            assert np.abs(h[f < 3600]).max() < 0.5


@pytest.mark.parametrize("warping", ["matched", "bilinear"])
def test_bands_of_one_channel(warping):
    """A band of the left or right is that band in a rack of its own, on that channel only; in mono the right does nothing."""
    x = music(3, 9600, RATE, 4)
    bands = {
        "all": tr.Band("bell", frequency_hz=500, gain_db=4),
        "left": tr.Band("low_cut", frequency_hz=300, slope_db_per_octave="48", channel="left"),
        "right": tr.Band("high_shelf", frequency_hz=6000, gain_db=-9, channel="right"),
    }
    y = tr.Rack([tr.ParametricEQ(warping=warping, bands=list(bands.values()))])(x, RATE)
    for index, own in enumerate(("left", "right", None)):
        alone = [bands["all"]]
        if own is not None:
            band = bands[own]
            alone.append(tr.Band(band.type, frequency_hz=band.frequency_hz, gain_db=band.gain_db,
                                 slope_db_per_octave=band.slope_db_per_octave))  # fmt: skip
        want = tr.Rack([tr.ParametricEQ(warping=warping, bands=alone)])(x[index : index + 1], RATE)
        assert error_db(y[index : index + 1], want) < -120
    mono = tr.Rack([tr.ParametricEQ(warping=warping, bands=[bands["right"]])])
    assert np.array_equal(mono(x[:1], RATE), x[:1])


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
