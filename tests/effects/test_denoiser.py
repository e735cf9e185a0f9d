"""Noise reduction: steady noise goes down and what sounds above it stays, by the rule and by the network."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from torch.autograd import gradcheck
from twinrack.plugins.denoiser.recursion import noise_power

import twinrack as tr
from support import SHARED, small_noise_network
from twinrack.twins.auditory_bands import centre_hz, used_bands

RATE = 48000
SPEECH = SHARED / "speech.flac"


def hiss(seconds: float, level_dbfs: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((1, round(seconds * rate)))
    return (10 ** (level_dbfs / 20) * x).astype(np.float32)


def syllables(seconds: float, start: float, seed: int = 3) -> np.ndarray:
    """Harmonic tones with a moving pitch that come and go as syllables do, at about -20 dBFS."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 130.0 * 2 ** (0.3 * np.sin(2 * np.pi * 0.7 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(k * phase + rng.uniform(0, 6)) / k**0.8 for k in range(1, 30))
    envelope = np.clip(np.sin(2 * np.pi * 3.0 * t) + 0.3, 0.0, None) * (np.sin(2 * np.pi * 0.4 * t) > -0.5) * (t >= start)
    y = tone * envelope
    return (0.1 * y / np.std(y[envelope > 0]))[None].astype(np.float32)


def snr_db(voice: np.ndarray, y: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(voice**2) / np.sum((voice - y) ** 2)))


def through(effect: tr.Effect, x: np.ndarray) -> np.ndarray:
    return np.asarray(tr.Rack([effect])(x, RATE))


@pytest.mark.parametrize("settings", [{}, {"lookahead_ms": 2.0}], ids=["5 ms", "2 ms"])
def test_noise_goes_down_and_the_voice_stays(settings):
    check_voice(syllables(6.0, 1.0), settings)


@pytest.mark.parametrize("settings", [{}, {"network": "speech"}], ids=["rule", "network"])
def test_noise_goes_down_and_speech_stays(settings):
    if not SPEECH.exists():
        pytest.skip("../shared/audio/speech.flac is not there")
    speech, _ = soundfile.read(SPEECH, dtype="float32", always_2d=True)
    check_voice(np.pad(0.5 * speech[: 5 * RATE, :1].T, ((0, 0), (RATE, 0))), settings)


def check_voice(voice: np.ndarray, settings: dict) -> None:
    noise = hiss(6.0, -42.0)
    y = through(tr.Denoiser(reduction_db=20, **settings), voice + noise)
    late = slice(RATE, None)
    before, after = snr_db(voice[:, late], (voice + noise)[:, late]), snr_db(voice[:, late], y[:, late])
    print(f"SNR {before:.1f} → {after:.1f} dB")
    assert after > before + 2.5
    pause = slice(round(0.5 * RATE), RATE)
    assert np.std(y[:, pause]) < 10 ** (-12 / 20) * np.std(noise[:, pause])


def test_equal_gains_leave_the_sound_as_it_is():
    x = hiss(1.0, -20.0) + syllables(1.0, 0.0)
    assert np.max(np.abs(through(tr.Denoiser(reduction_db=0), x) - x)) < 2e-6


def test_noise_that_was_learned_is_held():
    """Learned in silence, then held: a steady tone that came later is not taken for noise, as it is while tracked."""
    rack = tr.Rack([tr.Denoiser(noise="learn", reduction_db=20)])
    rack.prepare(RATE, 1)
    noise = hiss(8.0, -50.0)
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(noise.shape[1]) / RATE)[None].astype(np.float32)
    second = 512 * (RATE // 512)
    rack.process(np.ascontiguousarray(noise[:, :second]))
    rack["denoiser"].noise = "hold"
    held = rack.process(np.ascontiguousarray((noise + tone)[:, second:]))
    tracked = through(tr.Denoiser(reduction_db=20), noise + tone)
    end = slice(-RATE, None)
    assert np.std(held[:, end]) > 0.98 * np.std(tone)
    assert np.std(tracked[:, end]) < 0.3 * np.std(tone)
    only_noise = rack.process(np.ascontiguousarray(noise[:, :second]))
    assert np.std(only_noise[:, second // 2 :]) < 0.2 * np.std(noise)


def test_a_profile_lowers_what_is_below_it_only():
    x = hiss(2.0, -30.0)
    effect = tr.Denoiser(noise="profile", reduction_db=12)
    for b in range(12):
        effect.bands[b].noise_db = -30
    spectrum_db = 20 * np.log10(np.abs(np.fft.rfft(through(effect, x)[0, RATE:])) / np.abs(np.fft.rfft(x[0, RATE:])))
    f = np.fft.rfftfreq(RATE, 1 / RATE)
    low, high = (f > 500) & (f < 1200), (f > 4000) & (f < 15000)
    assert np.median(spectrum_db[low]) < -11
    assert abs(np.median(spectrum_db[high])) < 0.2


def test_gains_are_where_the_bands_are():
    """One band lowered: its centre is 20 dB down, and two bands further nothing is."""
    x = hiss(4.0, -20.0, 5)
    effect = tr.Denoiser(noise="profile", reduction_db=20, lookahead_ms=10)
    effect.bands[15].noise_db = 0
    y = through(effect, x)
    frames = 2 * RATE
    cross = np.fft.rfft(y[0, RATE : RATE + frames]) / np.fft.rfft(x[0, RATE : RATE + frames])
    f = np.fft.rfftfreq(frames, 1 / RATE)

    def gain_db(hz: float) -> float:
        return float(np.median(20 * np.log10(np.abs(cross[np.abs(f - hz) < 20]))))

    assert gain_db(centre_hz(15)) < -14  # the top of a triangle, rounded by a filter of 20 ms
    assert abs(gain_db(centre_hz(13))) < 0.5
    assert abs(gain_db(centre_hz(17))) < 0.5


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_rates_have_the_bands_that_they_hold(rate):
    assert used_bands(8000) == 15
    assert used_bands(rate) <= 24
    x = hiss(2.0, -50.0, rate=rate)
    y = np.asarray(tr.Rack([tr.Denoiser(reduction_db=20)])(x, rate))
    assert np.std(y[:, rate:]) < 10 ** (-10 / 20) * np.std(x[:, rate:])


def test_tracking_has_the_gradients_of_differences():
    """Beyond the start, where the noise follows and the minimum rises."""
    rng = np.random.default_rng(2)
    power = torch.from_numpy(np.exp(rng.normal(0.0, 2.0, (1, 2, 40))) * 1e-6).requires_grad_()
    settings = torch.tensor([[[0.2, 0.1, 1.3, 5.0]]], dtype=torch.float64).requires_grad_()

    def decibels(p: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        start = torch.cat([s[..., :3], torch.full_like(s[..., 3:], 5.0)], -1)
        return torch.log(noise_power(1e-6 * torch.exp(p), start, path="fast"))

    level = torch.log(power.detach() * 1e6).requires_grad_()
    assert gradcheck(decibels, (level, settings), eps=1e-7, atol=1e-5, rtol=1e-4)
    fast, slow = (noise_power(power, settings, path=path) for path in ("fast", "reference"))
    assert torch.allclose(fast, slow, rtol=1e-10)


def test_hidden_settings_are_found():
    hidden = tr.Denoiser(reduction_db=22, sensitivity_db=3)
    x = syllables(2.0, 0.5) + hiss(2.0, -45.0)
    found = tr.fit(tr.Rack([tr.Denoiser()]), x, through(hidden, x), RATE, steps=60)
    effect = found.rack["denoiser"]
    assert abs(effect.reduction_db - 22) < 0.5
    assert abs(effect.sensitivity_db - 3) < 0.5


def test_a_network_goes_through_patches_and_learns(tmp_path):
    rack = tr.Rack([tr.Denoiser(network=small_noise_network(3))])
    rack.save(tmp_path / "noise.json")
    again = tr.load(tmp_path / "noise.json")
    x = syllables(0.5, 0.0) + hiss(0.5, -40.0)
    assert np.array_equal(rack(x, RATE), again(x, RATE))
    twin = rack.twin(RATE)
    twin(torch.from_numpy(x)[None]).square().mean().backward()
    gradients = [p.grad for name, p in twin.named_parameters() if "network" in name]
    assert gradients
    assert all(float(g.abs().max()) > 0 for g in gradients)


def test_what_is_no_network_is_refused():
    with pytest.raises(ValueError, match="there is no noise network 'music'"):
        tr.Denoiser(network="music")
    with pytest.raises(TypeError, match="a denoiser's network is"):
        tr.Denoiser(network=3)
    with pytest.raises(ValueError, match="weights"):
        tr.NoiseNetwork(weights=np.zeros(7))


def test_a_network_is_trained_on_voices_and_noise():
    """It begins by lowering everything half the way; trained, it keeps the voice better than that."""
    voices, noises = [syllables(6.0, 0.5, seed)[0] for seed in range(2)], [hiss(6.0, -40.0, seed)[0] for seed in range(2)]
    losses = []
    net = tr.train_noise_network(voices, noises, RATE, mixes=12, steps=100, on_step=lambda step, loss: losses.append(loss))
    assert np.mean(losses[-8:]) < 0.6 * np.mean(losses[:4])
    voice, noise = syllables(4.0, 0.5, 9), hiss(4.0, -40.0, 9)
    before, after = (snr_db(voice, through(tr.Denoiser(network=n), voice + noise)) for n in (tr.NoiseNetwork(), net))
    assert after > before + 3.0


def test_sounds_that_cannot_be_trained_on_are_refused():
    voice, noise = syllables(4.5, 0.5)[0], hiss(4.5, -40.0)[0]
    with pytest.raises(ValueError, match="there is no noise to train on"):
        tr.train_noise_network([voice], [], RATE)
    with pytest.raises(ValueError, match="voice 1 is shorter than 4 s"):
        tr.train_noise_network([voice[:100]], [noise], RATE)
    with pytest.raises(ValueError, match="noise 1 holds NaN"):
        tr.train_noise_network([voice], [np.full_like(noise, np.nan)], RATE)


def test_noise_is_known_after_a_gap_of_silence():
    """A muted microphone does not make it forget; digital silence is no noise."""
    noise = hiss(7.0, -50.0)
    noise[:, 3 * RATE : 5 * RATE] = 0.0
    y = through(tr.Denoiser(reduction_db=20), noise)
    late = slice(round(5.05 * RATE), round(5.5 * RATE))
    assert np.std(y[:, late]) < 10 ** (-14 / 20) * np.std(noise[:, late])


@pytest.mark.parametrize("rate", [8000, 48000])
def test_a_recorded_noise_becomes_a_profile(rate):
    noise = hiss(2.0, -45.0, rate=rate)
    effect = tr.Denoiser(noise="profile", reduction_db=20, bands=tr.noise_profile(noise, rate))
    y = np.asarray(tr.Rack([effect])(hiss(1.0, -45.0, 7, rate), rate))
    assert np.std(y[:, rate // 2 :]) < 10 ** (-13 / 20) * np.std(noise)
    with pytest.raises(ValueError, match=r"shorter than 0\.1 s"):
        tr.noise_profile(noise[:, :100], rate)
