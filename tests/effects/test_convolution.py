"""Convolution: exact for every length and layout, without latency, swapped without a click, learned by the twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve

import twinrack as tr
from support import decaying_noise, error_db, music

RATE = 48000
PLAIN = {"mix": 1.0, "normalise": False}


@pytest.mark.parametrize("frames", [1, 127, 128, 129, 200, 1024, 1153, 9000, 20000, 70001])
def test_exact_for_every_length(frames):
    h = np.random.default_rng(frames).standard_normal((1, frames))
    x = music(1, 90000, RATE, 1)
    y = tr.Rack([tr.ConvolutionReverb(impulse_response=(h, RATE), **PLAIN)])(x, RATE)
    expected = fftconvolve(x[0].astype(np.float64), h[0].astype(np.float32))[: x.shape[1]]
    assert error_db(y[0], expected) < -120


def test_thirty_seconds():
    h = decaying_noise(30.0, 1)
    x = np.zeros((1, 31 * RATE), np.float32)
    x[0, 1000] = 1.0
    y = tr.Rack([tr.ConvolutionReverb(impulse_response=h, **PLAIN)])(x, RATE)
    assert error_db(y[0, 1000 : 1000 + h.samples.shape[1]], h.samples[0]) < -120
    with pytest.raises(ValueError, match=r"lasts 30.1 s; up to 30 s"):
        tr.Response(np.ones(int(30.1 * RATE)), RATE)


@pytest.mark.parametrize(("channels", "responses"), [(1, 1), (2, 1), (2, 2), (2, 4), (5, 2), (5, 5), (16, 1)])
def test_layouts(channels, responses):
    h = np.random.default_rng(3).standard_normal((responses, 3000)).astype(np.float32)
    x = music(channels, 8000, RATE, 2)
    y = tr.Rack([tr.ConvolutionReverb(impulse_response=(h, RATE), **PLAIN)])(x, RATE)

    def through(c: int, r: int) -> np.ndarray:
        return fftconvolve(x[c].astype(np.float64), h[r])[: x.shape[1]]

    for c in range(channels):
        true_stereo = responses == 4
        expected = through(0, c) + through(1, 2 + c) if true_stereo else through(c, c % responses)
        assert error_db(y[c], expected) < -120


def test_a_layout_that_does_not_fit_is_one_sentence():
    rack = tr.Rack([tr.ConvolutionReverb(impulse_response=(np.ones((3, 10)), RATE))])
    with pytest.raises(ValueError, match="response of convolution_reverb has 3 channels, the sound 2"):
        rack(np.zeros((2, 100)), RATE)


def test_shaping():
    h = np.random.default_rng(1).standard_normal(2 * RATE).astype(np.float32)
    x = np.zeros(3 * RATE, np.float32)
    x[0] = 1.0

    def response(**values) -> np.ndarray:
        reverb = tr.ConvolutionReverb(impulse_response=(h, RATE), **(PLAIN | values))
        return tr.Rack([reverb])(x, RATE)

    assert np.allclose(response(pre_delay_ms=10)[480:], response()[:-480], atol=1e-5)
    assert np.allclose(response(trim_ms=10)[: RATE // 2], h[480 : 480 + RATE // 2], atol=1e-5)
    short = response(length_s=0.5)
    assert not np.any(np.abs(short[RATE // 2 :]) > 1e-5)
    assert np.allclose(short[: int(0.44 * RATE)], h[: int(0.44 * RATE)], atol=1e-5)
    decayed = response(decay_db_per_s=60)[: 2 * RATE]
    late = slice(RATE, RATE + 4800)
    fallen = 20 * np.log10(np.linalg.norm(decayed[late]) / np.linalg.norm(h[late]))
    assert fallen == pytest.approx(-63, abs=0.5)
    assert np.linalg.norm(response(normalise=True)) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("to_hz", [8000, 16000, 22050, 44100, 48000, 96000, 192000, 384000])
def test_a_resampled_response_keeps_its_gain_over_frequency(to_hz):
    """To 0.1 dB up to 0.9 of the lower Nyquist frequency, also where it begins at its first frame or is very short; causal."""
    rng = np.random.default_rng(to_hz)
    for from_hz in (8000, 11025, 44100, 48000, 96000, 192000, 384000):
        lower = min(from_hz, to_hz)
        f = np.linspace(20, 0.45 * lower, 90)
        for first, frames in ((0, 1), (0, 2), (1, 3), (0, 40), (3, 1000)):
            h = np.zeros((2, first + frames), np.float32)
            h[:, first:] = rng.standard_normal((2, frames)) * np.exp(-np.arange(frames) / 40)
            h[:, first] += 4.0  # far from a null, where decibels mean little
            turned = tr.Response(h, from_hz).at(to_hz)
            for before, after in zip(h.astype(float), turned.astype(float), strict=True):
                want, got = (
                    np.exp(-2j * np.pi * np.outer(f, np.arange(x.size)) / rate) @ x
                    for x, rate in ((before, from_hz), (after, to_hz))
                )
                assert np.abs(20 * np.log10(np.abs(got / want))).max() < 0.1
                late = -np.diff(np.unwrap(np.angle(got / want)))[:6].mean() / (2 * np.pi * (f[1] - f[0]))  # seconds
                assert 0 <= late * lower + 1e-3 < 4


def test_the_response_is_resampled():
    t = np.arange(44100) / 44100
    h = np.sin(2 * np.pi * 1000 * t) * np.exp(-t / 0.01)
    rack = tr.Rack([tr.ConvolutionReverb(impulse_response=(h, 44100), **PLAIN)])
    x = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    gain48 = np.max(np.abs(rack(x, RATE)[-4800:]))
    y = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100).astype(np.float32)
    assert gain48 == pytest.approx(np.max(np.abs(rack(y, 44100)[-4410:])), rel=1e-3)


def test_swapping_the_response_does_not_click():
    """A low tone through two rooms of the same gain: nothing appears above it while one replaces the other."""
    t = np.arange(4 * RATE) / RATE
    x = np.tile(0.5 * np.sin(2 * np.pi * 100 * t), (2, 1)).astype(np.float32)
    reverb = tr.ConvolutionReverb(impulse_response=(np.array([0.0] * 10 + [1.0]), RATE), **PLAIN)
    rack = tr.Rack([reverb])
    rack.prepare(RATE, 2)
    parts = []
    for i in range(0, x.shape[1], 64):
        if i == RATE:
            reverb.impulse_response = (np.array([0.0] * 20 + [-0.7]), RATE)
        if i == 2 * RATE:
            reverb.decay_db_per_s = 30
        parts.append(rack.process(np.ascontiguousarray(x[:, i : i + 64])))
    y = np.concatenate(parts, 1)[0]
    high = y.astype(np.float64)
    for _ in range(4):  # what a click has and the tone has not
        high = np.diff(high)
    assert np.max(np.abs(high[1000:])) < 1e-4


def test_wrong_responses_are_one_sentence(tmp_path):
    for given, words in [
        ((np.zeros(10), RATE), "is silent"),
        ((np.array([]), RATE), "is empty"),
        ((np.array([np.nan]), RATE), "NaN or infinity in 1 sample"),
        ((np.ones(10), 100), "sample rate 100 Hz is outside"),
    ]:
        with pytest.raises(ValueError, match=words):
            tr.ConvolutionReverb(impulse_response=given)
    with pytest.raises(FileNotFoundError):
        tr.ConvolutionReverb(impulse_response=tmp_path / "no.wav")
    with pytest.raises(TypeError, match="a path"):
        tr.ConvolutionReverb(impulse_response=5)
    with pytest.raises(ValueError, match="changes what the effect is built from"):
        tr.Rack([tr.ConvolutionReverb()])(np.zeros(100), RATE, automation={"convolution_reverb.trim_ms": [1.0]})


def test_the_twin_learns_the_response():
    hidden = decaying_noise(0.02, 1)
    x = music(1, 24000, RATE, 5)
    target = torch.from_numpy(tr.Rack([tr.ConvolutionReverb(impulse_response=hidden, **PLAIN)])(x, RATE))[None]
    start = np.zeros((1, hidden.samples.shape[1]))
    start[0, 0] = 1.0
    twin = tr.Rack([tr.ConvolutionReverb(impulse_response=(start, RATE), **PLAIN)]).twin(RATE)
    response = twin["convolution_reverb"].resources["impulse_response"].requires_grad_()
    optimiser = torch.optim.LBFGS([response], max_iter=100, history_size=50, line_search_fn="strong_wolfe")
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 24000)).astype(np.float32))
    heard = torch.cat([torch.from_numpy(x)[None], noise])
    with torch.no_grad():
        exact = tr.Rack([tr.ConvolutionReverb(impulse_response=hidden, **PLAIN)]).twin(RATE)(heard)
    assert error_db(exact[:1].numpy(), target.numpy()) < -120

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = ((twin(heard) - exact) ** 2).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    learned = twin.to_rack()["convolution_reverb"].impulse_response
    assert error_db(learned.samples, hidden.samples) < -60


def test_the_twin_learns_the_decay():
    room = decaying_noise(0.5, 2)
    x = music(2, 24000, RATE, 6)
    target = torch.from_numpy(tr.Rack([tr.ConvolutionReverb(impulse_response=room, mix=1, decay_db_per_s=80)])(x, RATE))[None]
    twin = tr.Rack([tr.ConvolutionReverb(impulse_response=room, mix=1, decay_db_per_s=20)]).twin(RATE)
    raw = twin.raw_of("convolution_reverb.decay_db_per_s")
    optimiser = torch.optim.Adam([raw], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        ((twin(torch.from_numpy(x)[None]) - target) ** 2).sum().backward()
        optimiser.step()
    assert twin.to_rack()["convolution_reverb"].decay_db_per_s == pytest.approx(80, abs=0.5)
