"""A graphic equaliser: its response goes through the sliders, and a fit finds them."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr

RATE = 48000
HZ = 1000.0 * 2.0 ** ((np.arange(31) - 17) / 3.0)


def response_db(effect: tr.Effect, hz: np.ndarray, rate: int = RATE) -> np.ndarray:
    x = np.zeros((1, 4 * rate), np.float32)
    x[0, 0] = 1.0
    y = np.asarray(tr.Rack([effect])(x, rate))[0]
    return 20 * np.log10(np.abs(np.exp(-2j * np.pi * np.outer(hz / rate, np.arange(len(y)))) @ y))


def set_to(gains: np.ndarray) -> tr.GraphicEQ:
    return tr.GraphicEQ(bands=[tr.GraphicBand(float(g)) for g in gains])


@pytest.mark.parametrize("seed", range(4))
def test_the_response_goes_through_the_sliders(seed):
    rng = np.random.default_rng(seed)
    gains = rng.uniform(-12, 12, 31) if seed else np.where(np.arange(31) % 2, 12.0, -12.0)
    error = np.abs(response_db(set_to(gains), HZ) - gains)
    print(f"worst {error.max():.3f} dB at {HZ[error.argmax()]:.0f} Hz")
    assert error.max() < 0.25


def test_between_equal_sliders_it_is_flat():
    between = np.sqrt(HZ[8:22] * HZ[9:23])
    assert np.max(np.abs(response_db(set_to(np.full(31, 6.0)), between) - 6.0)) < 0.3


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_a_rate_has_the_bands_that_it_holds(rate):
    gains = np.random.default_rng(1).uniform(-6, 6, 31)
    held = 0.45 * rate > HZ
    assert np.max(np.abs(response_db(set_to(gains), HZ[held], rate) - gains[held])) < 0.25


def test_hidden_sliders_are_found():
    gains = np.round(np.random.default_rng(3).uniform(-8, 8, 31), 1)
    x = np.random.default_rng(0).standard_normal((1, 4 * RATE)).astype(np.float32) * 0.1
    found = tr.fit(tr.Rack([tr.GraphicEQ()]), x, np.asarray(tr.Rack([set_to(gains)])(x, RATE)), RATE, steps=150)
    error = np.abs(np.array([b.gain_db for b in found.rack["graphic_eq"].bands]) - gains)
    print(f"worst {error.max():.3f} dB")
    assert error[2:].max() < 0.2
