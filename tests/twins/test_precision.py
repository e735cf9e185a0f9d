"""Half precision and autocast: twins, functions and losses compute in float32, and give the sound's type back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr
from support import CARD_IDS, music, random_effect
from twinrack.functional import envelope_follower, sosfilt
from twinrack.session.twin import SessionTwin
from twinrack.train import losses
from twinrack.twins import apply

RATE = 48000
SOS = torch.tensor([[1.0, 0.5, 0.1, 1.0, -1.9, 0.91]])
TERMS = ("Waveform", "STFT", "Mel", "LogSpectrum", "Loudness", "Envelope", "Energy", "Audible", "Stereo")
HALF = (torch.float16, torch.bfloat16)


def sound(channels: int = 2, frames: int = 4800, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(0.3 * music(channels, frames, RATE, seed))[None]


@pytest.mark.parametrize("card", CARD_IDS)
def test_every_twin_in_half_precision_and_under_autocast(card):
    """The same as in float32 to the last bit, the sound's own rounding apart; gradients too."""
    for case in range(4):
        rack = tr.Rack([random_effect(tr.CARDS[card], np.random.default_rng(case), "expected"), tr.Gain(gain_db=1)])
        twin, x = rack.twin(RATE), sound(seed=case)
        keys = {name: sound(1, seed=9) for name in rack.sidechains}
        for dtype in HALF:
            with torch.no_grad():
                y = twin(x.to(dtype), sidechain={n: k.to(dtype) for n, k in keys.items()})
                want = twin(x.to(dtype).float(), sidechain={n: k.to(dtype).float() for n, k in keys.items()})
            assert y.dtype == dtype
            assert torch.equal(y, want.to(dtype))
            gradients = []
            for cast in (False, True):
                twin.zero_grad()
                with torch.autocast("cpu", dtype=dtype, enabled=cast):
                    y = twin(x, sidechain=keys)
                assert y.dtype == torch.float32
                y.square().sum().backward()
                gradients.append([p.grad.clone() for p in twin.parameters() if p.grad is not None])
            assert len(gradients[0]) == len(gradients[1])
            assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_values_parameters_and_functions_in_half_precision():
    x = sound()
    with torch.no_grad():
        for dtype in HALF:
            ratio = torch.tensor([3.0], dtype=dtype)
            curve = torch.linspace(-30, -10, 150)[None].to(dtype)
            y = tr.Rack([tr.Compressor()]).twin(RATE)(
                x.to(dtype), values={"compressor.ratio": ratio, "compressor.threshold_db": curve}
            )
            want = tr.Rack([tr.Compressor()]).twin(RATE)(
                x.to(dtype).float(), values={"compressor.ratio": ratio.float(), "compressor.threshold_db": curve.float()}
            )
            assert torch.equal(y, want.to(dtype))
            assert torch.equal(apply("gate", x.to(dtype), RATE), apply("gate", x.to(dtype).float(), RATE).to(dtype))
            for function in (lambda s: sosfilt(s, SOS), lambda s: envelope_follower(s.abs(), 5.0, 50.0, RATE)):
                assert torch.equal(function(x.to(dtype)), function(x.to(dtype).float()).to(dtype))
            twin = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=6)]), tr.Compressor()]).twin(RATE).to(dtype)
            assert torch.isfinite(twin(x.to(dtype))).all()


def test_a_mix_in_half_precision():
    session = tr.Session("s", sample_rate=RATE)
    session.add_track("a", rack=[tr.Compressor(threshold_db=-30)], clips=[tr.Clip(sound()[0].numpy(), sample_rate=RATE)])
    session.add_track("b", clips=[tr.Clip(sound(seed=2)[0].numpy(), sample_rate=RATE)], gain_db=-20)
    twin = SessionTwin(session)
    stems = {"a": sound(), "b": sound(seed=2)}
    with torch.no_grad():
        for dtype in HALF:
            half = {n: x.to(dtype) for n, x in stems.items()}
            want = twin({n: x.float() for n, x in half.items()})
            assert torch.equal(twin(half), want.to(dtype))
            with torch.autocast("cpu", dtype=dtype):
                assert torch.equal(twin({n: x.float() for n, x in half.items()}), want)


@pytest.mark.parametrize("term", TERMS)
def test_losses_under_autocast(term):
    y, target = sound(frames=48000), sound(frames=48000, seed=2)
    loss = getattr(losses, term)()
    want = loss(y, target, RATE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(y, target, RATE), want)
    half = loss(y.half(), target.half(), RATE)
    assert half.dtype != torch.float16
    assert torch.equal(half, loss(y.half().float(), target.half().float(), RATE))
