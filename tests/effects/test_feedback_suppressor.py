"""The feedback suppressor: in a simulated room it can be louder by 6 dB and more, and music goes through untouched."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

import twinrack as tr
from support import error_db, music, recording
from twinrack.audio import Audio
from twinrack.twins import apply

RATE, BLOCK = 48000, 64
HOWLS_DBFS = -10.0  # level of the loop's last half second
VOICE_DBFS = -45.0


def room(seed: int) -> np.ndarray:
    """From the loudspeaker to the microphone, 12 ms away; its loudest frequency has a gain of 1."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(0.25 * RATE)) / RATE
    h = rng.standard_normal(t.size) * 10 ** (-3 * t / 0.25)
    h[: int(0.012 * RATE)] = 0.0
    spectrum = np.fft.rfft(h, 1 << 17)
    hertz = np.fft.rfftfreq(1 << 17, 1 / RATE)
    spectrum *= np.clip(hertz / 200, 0, 1) ** 2 / (1 + (hertz / 5000) ** 4)  # a loudspeaker's range
    return np.fft.irfft(spectrum / np.abs(spectrum).max())[: t.size]


class Loop:
    """A microphone before a loudspeaker that plays it: the whole way in blocks, with a limiter of the amplifier at 0 dBFS."""

    def __init__(self, seed: int, suppressor: tr.FeedbackSuppressor | None) -> None:
        self.h = room(seed)
        self.late = np.zeros(self.h.size + BLOCK)
        self.rng = np.random.default_rng(seed + 100)
        self.rack = tr.Rack([suppressor] if suppressor is not None else [])
        self.rack.prepare(RATE, 1)

    def run(self, gain_db: float, seconds: float) -> Audio:
        """What the loudspeaker plays, with quiet noise as the room's own sound."""
        gain, out = 10 ** (gain_db / 20), []
        for _ in range(int(seconds * RATE / BLOCK)):
            own = 10 ** (VOICE_DBFS / 20) * self.rng.standard_normal(BLOCK)
            heard = (self.late[:BLOCK] + own).astype(np.float32)
            played = np.clip(gain * self.rack.process(heard[None])[0], -1, 1)
            self.late = np.concatenate([self.late[BLOCK:], np.zeros(BLOCK)])
            self.late[: self.h.size + BLOCK - 1] += np.convolve(played, self.h)
            out.append(played)
        return np.concatenate(out)


def ends_in_a_howl(y: Audio) -> bool:
    return 20 * np.log10(np.sqrt(np.mean(y[-RATE // 2 :] ** 2))) > HOWLS_DBFS


def most_gain_db(seed: int, suppressor: tr.FeedbackSuppressor | None) -> float:
    """The loudest loop, turned up by a decibel every few seconds, that does not end in a howl."""
    loop = Loop(seed, suppressor)
    for gain_db in np.arange(-4.0, 16.0):
        if ends_in_a_howl(loop.run(gain_db, 4.0)) and ends_in_a_howl(loop.run(gain_db, 4.0)):
            return float(gain_db) - 1.0
    return 15.0


def test_a_loop_may_be_louder():
    """Rooms of dense reverberation, in which many frequencies ring nearly alike, are the hardest."""
    gained = []
    for seed in range(int(os.environ.get("TWINRACK_ROOMS", "2"))):
        without, with_it = most_gain_db(seed, None), most_gain_db(seed, tr.FeedbackSuppressor())
        print(f"room {seed}: {without:.0f} dB, with notches {with_it:.0f} dB")
        gained.append(with_it - without)
    assert np.mean(gained) >= 6.0
    assert min(gained) >= 4.0


@pytest.mark.parametrize("name", ["guitar", "drums", "tabla", "piano", "speech", "pairs/dry", "pairs2/chorus_calf"])
def test_music_and_speech_are_left_alone(name):
    x, rate = recording(f"{name}.flac")
    assert np.array_equal(tr.Rack([tr.FeedbackSuppressor()])(x, rate), x)


@pytest.mark.parametrize("attack_s", [0.05, 0.1, 0.2, 0.35])
def test_tones_without_overtones_that_swell_are_left_alone(attack_s):
    """As whistling and a flute's high notes: pure, with vibrato, each with an attack and a release."""
    rng = np.random.default_rng(5)
    t = np.arange(int(0.8 * RATE)) / RATE
    notes = []
    for hz in np.exp(rng.uniform(np.log(500), np.log(3000), 12)):
        phase = 2 * np.pi * np.cumsum(hz * (1 + 0.003 * np.sin(2 * np.pi * 5.5 * t))) / RATE
        shape = np.minimum(np.minimum(t / attack_s, 1.0), np.maximum(0.8 - t, 0.0) / 0.1)
        notes.append(rng.uniform(0.03, 0.2) * shape * (np.sin(phase) + 0.05 * np.sin(2 * phase)))
    x = np.concatenate(notes).astype(np.float32)[None] + 1e-4 * rng.standard_normal(12 * t.size).astype(np.float32)
    assert np.array_equal(tr.Rack([tr.FeedbackSuppressor()])(x, RATE), x)


def howls(seconds: float = 4.0, rate: int = RATE) -> Audio:
    """Music, and growing tones at several frequencies, one after the other and again."""
    t = np.arange(int(seconds * rate)) / rate
    x = 0.003 * music(2, t.size, rate, 1)
    for i, hz in enumerate((700.0, 2345.6, 703.0, 5120.0, 700.0, 2400.0)):
        own = t - 0.1 - 0.6 * i
        x += np.where((own > 0) & (own < 0.5), np.minimum(0.01 * np.exp(8 * own), 0.4), 0.0) * np.sin(2 * np.pi * hz * own)
    return x.astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 44100, 96000])
def test_engine_and_twin_set_the_same_notches(rate):
    x = howls(rate=rate)
    values = {"hold_s": 1.0, "depth_db": 15.0}
    rack = tr.Rack([tr.FeedbackSuppressor(**values)])
    y = rack(x, rate)
    assert error_db(y, x) > -40  # notches were set
    with torch.no_grad():
        assert error_db(rack.twin(rate)(torch.from_numpy(x)[None])[0].numpy(), y) < -100
        several = torch.from_numpy(np.stack([x, 0 * x, x[:, ::-1].copy()]))
        batch = apply("feedback_suppressor", several, float(rate), values)
    assert error_db(batch[0].numpy(), y) < -100
    assert error_db(batch[2].numpy(), tr.Rack([tr.FeedbackSuppressor(**values)])(x[:, ::-1].copy(), rate)) < -100


def test_the_sound_through_notches_has_a_gradient():
    """With the notches as they are the sound is linear: along itself its energy grows by twice itself."""
    x = torch.from_numpy(howls(1.0, 16000)).double()[None].requires_grad_()
    y = apply("feedback_suppressor", x, 16000.0, {})
    assert float((y - x).detach().abs().max()) > 0.01
    (grad,) = torch.autograd.grad(y.square().sum(), [x])
    assert float((grad * x.detach()).sum()) == pytest.approx(2.0 * float(y.detach().square().sum()), rel=1e-9)


def test_notches_stay_when_frozen_and_go_after_their_hold():
    rack = tr.Rack([tr.FeedbackSuppressor(hold_s=1.0)])
    rack.prepare(RATE, 2)

    def reduced_after(x: Audio) -> float:
        rack.process(x)
        rack.meters()
        rack.process(np.zeros((2, 64), np.float32))
        return rack.meters()["feedback_suppressor"].gain_reduction_db

    x = howls(1.0)
    reduced = reduced_after(x)
    assert reduced > 5
    rack["feedback_suppressor"].freeze = True
    assert reduced_after(np.zeros((2, 10 * RATE), np.float32)) == pytest.approx(reduced, abs=1.0)
    rack["feedback_suppressor"].freeze = False
    assert reduced_after(np.zeros((2, 10 * RATE), np.float32)) < 0.1
    rack["feedback_suppressor"].freeze = True
    assert reduced_after(x) < 0.1


def test_the_same_in_any_blocks():
    x = howls()
    whole = tr.Rack([tr.FeedbackSuppressor()])(x, RATE)
    rack = tr.Rack([tr.FeedbackSuppressor()])
    rack.prepare(RATE, 2)
    rng = np.random.default_rng(0)
    parts, at = [], 0
    while at < x.shape[1]:
        count = int(rng.integers(1, 700))
        parts.append(rack.process(x[:, at : at + count].copy()))
        at += count
    assert np.array_equal(np.concatenate(parts, 1), whole)
