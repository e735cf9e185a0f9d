"""Saturation: the curves, how little folds back, levels, and what the mix does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr

RATE = 48000
CURVES = tr.CARDS["saturation"].addresses["curve"].options


def folded_db(frequency: float, **values) -> float:
    """Level of everything below 20 kHz that is no harmonic of a tone, relative to the tone as it comes out, in dB."""
    size = 1 << 15
    cycles = int(frequency * size / RATE) | 1
    x = 0.5 * np.sin(2 * np.pi * cycles * np.arange(3 * size) / size)
    y = tr.Rack([tr.Saturation(**values)])(x.astype(np.float32), RATE)[-size:].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(y))
    audible = np.arange(len(spectrum)) <= 20000 * size / RATE
    harmonic = np.zeros(len(spectrum), bool)
    harmonic[cycles::cycles] = True
    harmonic[:8] = True  # what the cut at 5 Hz is for
    return float(20 * np.log10(spectrum[audible & ~harmonic].max() / spectrum[cycles]))


@pytest.mark.parametrize("filters", ["linear_phase", "minimum_phase"])
def test_what_folds_back(filters):
    """A 5 kHz tone, driven by 18 dB (peak 4 at the curve): prints the table that docs quote."""
    print(f"\nhighest inharmonic tone below 20 kHz in dB, {filters}; 5 kHz at -6 dBFS, 18 dB drive")
    print(f"{'curve':<12}" + "".join(f"{f'{o} x':>9}" for o in "1248"))
    for curve in CURVES:
        found = [folded_db(5000, curve=curve, drive_db=18, oversampling=o, filters=filters) for o in "1248"]
        print(f"{curve:<12}" + "".join(f"{f:>9.1f}" for f in found))
        assert found[1] < found[0] - 10
        assert found[2] < found[1] + 0.5
        assert found[3] < found[2] + 0.5
        if curve == "tanh":
            assert found[2] < -80


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("oversampling", ["1", "4"])
def test_quiet_sounds_pass(curve, oversampling):
    """At 0 dB drive, 80 dB down, the curve is a straight line; only the cut at 5 Hz turns the phase by 0.4 degrees."""
    x = (1e-4 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype(np.float32)
    y = tr.Rack([tr.Saturation(curve=curve, drive_db=0, oversampling=oversampling)])(x, RATE)
    assert np.max(np.abs(y[RATE // 2 :] - x[RATE // 2 :])) < 1e-2 * 1e-4


@pytest.mark.parametrize("curve", CURVES)
def test_automatic_gain_keeps_the_level_of_a_tone(curve):
    x = (10 ** (-18 / 20) * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)).astype(np.float32)
    levels = []
    for drive in (0, 9, 18) if curve == "fold" else (0, 12, 24):
        y = tr.Rack([tr.Saturation(curve=curve, drive_db=drive, bias=0.1)])(x, RATE)
        levels.append(20 * np.log10(np.linalg.norm(y[RATE // 2 :]) / np.linalg.norm(x[RATE // 2 :])))
    assert np.max(np.abs(levels)) < 0.3


def test_bias_brings_even_harmonics_and_no_direct_current():
    size, cycles = 1 << 15, 341
    x = (0.5 * np.sin(2 * np.pi * cycles * np.arange(4 * size) / size)).astype(np.float32)

    def spectrum(bias: float) -> np.ndarray:
        return np.abs(np.fft.rfft(tr.Rack([tr.Saturation(bias=bias, drive_db=12)])(x, RATE)[-size:]))

    without, with_bias = spectrum(0.0), spectrum(0.4)
    assert without[2 * cycles] < 1e-5 * without[cycles]
    assert with_bias[2 * cycles] > 1e-2 * with_bias[cycles]
    assert with_bias[0] < 1e-4 * with_bias[cycles]


def test_the_dry_signal_waits_for_the_wet_one():
    """Half and half of a quiet sound is the sound: nothing cancels."""
    x = (1e-3 * np.random.default_rng(1).standard_normal(RATE)).astype(np.float32)
    full, half = (tr.Rack([tr.Saturation(drive_db=0, mix=m)])(x, RATE) for m in (1.0, 0.5))
    assert np.linalg.norm(half - 0.5 * (x + full)) < 1e-4 * np.linalg.norm(x)
    spectrum = np.abs(np.fft.rfft(half)) / np.abs(np.fft.rfft(x))
    assert np.min(spectrum[200:20000]) > 0.95


@pytest.mark.parametrize("oversampling", ["1", "2", "4", "8"])
@pytest.mark.parametrize("filters", ["linear_phase", "minimum_phase"])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_a_quiet_sound_is_flat_at_every_mix(filters, oversampling, rate):
    """Within 0.1 dB, also beside a dry branch; what is left there is the filters' phase in the highest octave."""
    impulse = np.zeros((1, 2 * rate), np.float32)
    impulse[0, 1000] = 1e-3
    f = np.fft.rfftfreq(impulse.size, 1 / rate)

    def level(effect: tr.Effect | tr.Parallel) -> np.ndarray:
        return 20 * np.log10(np.abs(np.fft.rfft(tr.Rack([effect])(impulse, rate)[0].astype(float))) / 1e-3)

    for mix in (0.0, 0.2, 0.5, 0.8, 1.0):
        heard = (f > 50) & (f < 0.4 * rate)
        one = tr.Saturation(drive_db=0, oversampling=oversampling, filters=filters, mix=mix, auto_gain=False)
        assert np.abs(level(one)[heard]).max() < 0.1
    wet = tr.Saturation(drive_db=0, oversampling=oversampling, filters=filters, auto_gain=False)
    beside = level(tr.Parallel([[tr.Gain(gain_db=-6.0206)], [tr.Gain(gain_db=-6.0206), wet]]))
    top = 0.4 if filters == "linear_phase" else 0.2
    assert np.abs(beside[(f > 60) & (f < top * rate)]).max() < 0.3


@pytest.mark.parametrize("oversampling", ["2", "4", "8"])
def test_nothing_is_lost_of_a_sound_that_begins_at_once(oversampling):
    """With minimum phase the low frequencies come 3 to 4 frames late, but what comes before belongs to the sound: an impulse at
    the first frame is as flat as a later one, alone and beside a dry branch, in engine and twin."""
    for beside in (False, True):
        wet = tr.Saturation(drive_db=0, oversampling=oversampling, filters="minimum_phase", auto_gain=False)
        rack = tr.Rack([tr.Parallel([[tr.Gain(gain_db=-60)], [wet]]) if beside else wet])
        curves = []
        for at in (0, 2000):
            x = np.zeros((1, 16384), np.float32)
            x[0, at] = 1e-3
            y = rack(x, RATE)
            with torch.no_grad():
                assert np.max(np.abs(rack.twin(RATE)(torch.from_numpy(x)[None])[0].numpy() - y)) < 1e-8
            curves.append(20 * np.log10(np.abs(np.fft.rfft(y[0].astype(float)))[100:7000] / 1e-3))
        assert np.abs(curves[0] - curves[1]).max() < 0.02
        assert np.abs(curves[0]).max() < (0.15 if not beside else 0.1)


def test_latency_is_compensated_and_reported():
    rack = tr.Rack([tr.Saturation(oversampling="4")])
    rack.prepare(RATE, 1)
    assert rack.latency_frames == 47
    rack["saturation"].filters = "minimum_phase"
    assert rack.latency_frames == 0  # a turned phase is no delay that may be cut off
    rack["saturation"].oversampling = "1"
    assert rack.latency_frames == 0
