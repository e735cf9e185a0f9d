"""Impulse responses from recordings: hidden ones come back, decays are read, wrong input is refused."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from support import music
from twinrack.measure.deconvolution import impulse_response_of
from twinrack.measure.impulse import decay_in_bands

RATE = 16000


def hidden(channels: int, seconds: float, decay_s: float, seed: int = 0) -> np.ndarray:
    """(channels from, channels into, frames): a direct sound and a decaying noise, less of it across."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    h = 0.1 * rng.standard_normal((channels, channels, frames)) * 10 ** (-3 * np.arange(frames) / RATE / decay_s)
    for i in range(channels):
        h[i, i] *= 2.0
        h[i, i, 0] += 1.0
    return h


def through(x: np.ndarray, h: np.ndarray) -> np.ndarray:
    size = 1 << int(np.ceil(np.log2(x.shape[1] + h.shape[2])))
    spectrum = np.einsum("jif,jf->if", np.fft.rfft(h, size), np.fft.rfft(x.astype(np.float64), size))
    return np.fft.irfft(spectrum, size)[:, : x.shape[1]].astype(np.float32)


def error_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(np.sum((a - b) ** 2) / np.sum(b**2)))


def sound(channels: int, seconds: float, seed: int) -> np.ndarray:
    """Music over noise, which has something at each frequency."""
    rng = np.random.default_rng(seed)
    x = music(channels, int(seconds * RATE), RATE, seed)
    return (x + 0.05 * rng.standard_normal(x.shape)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_hidden_response_comes_back(channels):
    h = hidden(channels, 0.25, 0.15)
    x = sound(channels, 8.0, 1)
    response = tr.impulse_response_of(x, through(x, h), RATE, seconds=0.3)
    found = np.zeros((channels, channels, int(0.3 * RATE)))
    found[..., : response.samples.shape[1]] = response.samples.reshape(channels, channels, -1)
    assert error_db(found, np.pad(h, ((0, 0), (0, 0), (0, found.shape[2] - h.shape[2])))) < -60.0
    assert response.sample_rate == RATE


def test_what_is_not_looked_at_does_not_count():
    h = hidden(1, 0.1, 0.05)
    x = sound(1, 6.0, 2)
    y = through(x, h)
    spoilt = y.copy()
    spoilt[:, 3 * RATE : 4 * RATE] = 5.0
    frames = [(0, 3 * RATE), (4 * RATE, 6 * RATE)]
    response = impulse_response_of(x, spoilt, RATE, seconds=0.12, frames=frames)
    assert error_db(response.samples[:, : h.shape[2]], h[0]) < -50.0


def test_noise_is_not_learned():
    """With as much noise as sound, the response predicts other sound better than one of all steps would."""
    rng = np.random.default_rng(5)
    h = hidden(1, 0.1, 0.05)
    x, other = sound(1, 6.0, 3), sound(1, 6.0, 4)
    y = through(x, h)
    noisy = (y + float(np.std(y)) * rng.standard_normal(y.shape)).astype(np.float32)
    response = impulse_response_of(x, noisy, RATE, seconds=1.0)
    assert error_db(through(other, response.samples[None]), through(other, h)) < -8.0


def test_a_response_that_does_not_end_is_not_cut_off():
    """One that goes on at the same level looks like noise, and predicts."""
    rng = np.random.default_rng(9)
    h = 0.02 * rng.standard_normal((1, 1, RATE // 4))
    h[0, 0, 0] = 1.0
    x = sound(1, 8.0, 7)
    response = impulse_response_of(x, through(x, h), RATE, seconds=0.25)
    assert response.samples.shape[1] == RATE // 4
    assert error_db(response.samples, h[0]) < -40.0


def test_fit_reads_the_response_of_a_convolution_reverb():
    h = hidden(2, 0.3, 0.2)
    x = sound(2, 10.0, 6)
    result = tr.fit(tr.Rack([tr.ConvolutionReverb()]), x, through(x, h), RATE, progress=False)
    assert result.fitted.error_db < -50.0
    assert result.residual is not None
    assert any("had no impulse response" in note and "at 1000 Hz" in note for note in result.warnings)
    reverb = result.rack["convolution_reverb"]
    assert reverb.impulse_response.samples.shape[0] == 4
    assert reverb.get("mix") == 1.0


def test_decay_in_bands():
    """Noise that falls quicker in the treble."""
    rng = np.random.default_rng(0)
    frames = 2 * RATE
    spectrum = np.fft.rfft(rng.standard_normal((2, frames)), frames)
    hertz = np.fft.rfftfreq(frames, 1 / RATE)
    t = np.arange(frames) / RATE
    h = np.zeros(frames)
    for part, decay in ((hertz < 1000, 1.2), (hertz >= 1000, 0.4)):
        h += np.fft.irfft(spectrum[0] * part, frames) * 10 ** (-3 * t / decay)
    decays = decay_in_bands(h, RATE)
    assert list(decays) == [62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0]
    assert decays[250.0] == pytest.approx(1.2, rel=0.1)
    assert decays[4000.0] == pytest.approx(0.4, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(100), np.ones(99), RATE), "same channels and length"),
        ((np.ones((3, 100)), np.ones((3, 100)), RATE), "one or two"),
        ((np.zeros(100), np.ones(100), RATE), "dry is silent"),
        ((np.ones(100), np.zeros(100), RATE), "wet is silent"),
        ((np.ones(100), np.full(100, np.nan), RATE), "NaN or infinity"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        impulse_response_of(*arguments)


def test_a_length_that_the_recording_cannot_say_is_refused():
    with pytest.raises(ValueError, match="seconds must be above 0 and at most 0\\.5"):
        impulse_response_of(np.ones(RATE), np.ones(RATE), RATE, seconds=0.6)
