"""The terms of a loss: known values, gradients, and a fit that is led by them."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest
import torch
from torch.autograd import gradcheck

import twinrack as tr
from support import music
from twinrack.explain.ablation import ablate
from twinrack.train.losses import Loss, loudness_contour
from twinrack.train.priors import learned

RATE = 48000
ON_SOUND = ["Waveform", "STFT", "Mel", "LogSpectrum", "Loudness", "Envelope", "Stereo"]


def sound(seed=0, seconds=1.0):
    return torch.from_numpy(music(2, int(seconds * RATE), RATE, seed))[None]


@pytest.mark.parametrize("name", ON_SOUND)
def test_zero_for_the_same_and_more_for_more(name):
    term, x = getattr(tr.losses, name)(), sound()
    assert float(term(x, x, RATE)) == pytest.approx(0, abs=1e-6)
    if name == "Stereo":
        narrower = [torch.stack([x[:, 0], x[:, 1] + share * (x[:, 0] - x[:, 1])], 1) for share in (0.3, 0.9)]
    else:
        narrower = [0.8 * x, 0.3 * x]
    first, second = (float(term(y, x, RATE)) for y in narrower)
    assert 0 < first < second


@pytest.mark.parametrize("name", ON_SOUND)
def test_gradients(name):
    term = getattr(tr.losses, name)()
    target = sound(1, 0.1).double()
    other = (0.7 * target + 0.05 * sound(2, 0.1).double()).requires_grad_()
    if name == "STFT":  # auraloss works in float32
        value = term(other.float(), target.float(), RATE)
        (grad,) = torch.autograd.grad(value, other)
        assert torch.isfinite(grad).all()
        assert float(grad.abs().max()) > 0
        return
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    shift = torch.tensor(0.01, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda a, b: term(a * other.detach() + b * target.flip(1), target, RATE), (scale, shift), atol=1e-6)


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_loudness_is_that_of_bs1770(rate):
    """A steady sound has the same loudness in every window as pyloudnorm's integrated one; a 997 Hz sine at 0 dBFS in one
    channel is -3.01 LUFS, as the recommendation says."""
    x = (0.1 * np.random.default_rng(0).standard_normal((2, 4 * rate))).astype(np.float64)
    theirs = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(x.T)
    ours = loudness_contour(torch.from_numpy(x)[None], rate, 3.0)[0]
    assert float(ours[-1]) == pytest.approx(theirs, abs=0.03)
    sine = np.sin(2 * np.pi * 997 * np.arange(2 * rate) / rate)
    found = loudness_contour(torch.from_numpy(np.stack([sine, 0 * sine]))[None], rate, 0.4)[0, -1]
    assert float(found) == pytest.approx(-3.01, abs=0.02)


def test_envelope_and_loudness_are_in_their_units():
    x = sound()
    assert float(tr.losses.Envelope()(x * 10 ** (-6 / 20), x, RATE)) == pytest.approx(6 / 20, rel=1e-3)
    assert float(tr.losses.Loudness()(x * 10 ** (-5 / 20), x, RATE)) == pytest.approx(5 / 10, rel=1e-3)
    assert float(tr.losses.LogSpectrum()(x * 10 ** (-4 / 20), x, RATE)) == pytest.approx(4 / 20, rel=1e-2)


def test_sums_and_weights():
    loss = tr.losses.STFT() + 0.5 * tr.losses.Waveform() + 2 * (0.25 * tr.losses.Envelope() + tr.losses.Expected())
    assert str(loss) == "1 stft + 0.5 waveform + 0.5 envelope + 2 expected"
    x = sound()
    parts = loss.on_sound([(0.5 * x, x)], RATE)
    assert set(parts) == {"stft", "waveform", "envelope"}
    assert float(parts["waveform"]) == pytest.approx(0.25, rel=1e-4)
    for bad in (-1.0, float("nan"), True):
        with pytest.raises(ValueError, match="must be a number of at least 0"):
            bad * tr.losses.STFT()
    with pytest.raises(ValueError, match="must give a tensor without dimensions"):
        (Loss() + tr.losses.Custom("mine", lambda y, t: y - t)).on_sound([(x, x)], RATE)
    with pytest.raises(ValueError, match="needs two channels"):
        tr.losses.Stereo()(x[:, :1], x[:, :1], RATE)


@pytest.fixture(scope="module")
def pair():
    x = music(2, 2 * RATE, RATE, 3)
    hidden = tr.Rack([tr.Compressor(threshold_db=-30, ratio=6, attack_ms=4, release_ms=60)])
    return x, hidden(x, RATE)


def test_a_fit_is_led_by_the_loss(pair):
    dry, wet = pair
    start = tr.Rack([tr.Compressor()])
    loss = tr.losses.Envelope() + 0.5 * tr.losses.Custom(
        "power", lambda y, t: (y.square().mean() / t.square().mean()).log().abs()
    )
    result = tr.fit(
        start, dry, wet, RATE, loss=loss, steps=60, learn=["compressor.threshold_db", "compressor.ratio"], progress=False
    )
    assert result.fitted.level_db < 0.3 * result.start.level_db
    assert result.settings["loss"] == "1 envelope + 0.5 power"
    assert result.history[-1]["loss.envelope"] < result.history[0]["loss.envelope"]
    with pytest.raises(ValueError, match="no term on the sound"):
        tr.fit(start, dry, wet, RATE, loss=tr.losses.Expected())


def test_terms_on_the_values_hold_them(pair):
    """The nearer the prior, the less the fit moves; an unused band is let go."""
    dry, wet = pair
    start = tr.Rack([tr.Compressor()])
    moved = []
    for weight in (0.0, 3.0):
        loss = tr.losses.Envelope() + weight * tr.losses.Near(start.values())
        result = tr.fit(start, dry, wet, RATE, loss=loss, steps=40, learn=["compressor.threshold_db"], progress=False)
        moved.append(abs(result.rack["compressor"].threshold_db - start["compressor"].threshold_db))
    assert moved[1] < 0.3 * moved[0]
    rack = tr.Rack(
        [tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=1000, gain_db=6), tr.Band("bell", frequency_hz=40, gain_db=5)])]
    )
    twin = rack.twin(RATE)
    addresses = [f"parametric_eq.band{i}.{n}" for i in (1, 2) for n in ("gain_db", "q")]
    assert tr.losses.Sparse()(twin, addresses).item() == pytest.approx(5.5 / 20, rel=1e-5)
    assert tr.losses.Expected()(twin, addresses).item() == 0.0
    rack["parametric_eq"].set("band1.q", 25.0)
    assert tr.losses.Expected()(rack.twin(RATE), addresses).item() > 0.0


def test_a_prior_from_patches(tmp_path):
    for i, (ratio, attack) in enumerate([(3.0, 5.0), (4.0, 10.0), (5.0, 20.0)]):
        tr.Rack([tr.Compressor(ratio=ratio, attack_ms=attack)]).save(tmp_path / f"{i}.rack.json")
    prior = learned(tmp_path)
    addresses = ["compressor.ratio", "compressor.attack_ms"]

    def distance(ratio, attack):
        return prior(tr.Rack([tr.Compressor(ratio=ratio, attack_ms=attack)]).twin(RATE), addresses).item()

    assert distance(4.0, 10.0) < 0.1
    assert distance(4.0, 10.0) < distance(5.0, 20.0) < distance(15.0, 100.0)
    (tmp_path / "2.rack.json").unlink()
    with pytest.raises(ValueError, match="at least 3 are needed"):
        learned(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        learned(tmp_path / "none")


def test_ablation_finds_what_matters():
    x = music(2, RATE, RATE, 4)
    rack = tr.Rack([tr.Gain(gain_db=-0.2), tr.Compressor(threshold_db=-40, ratio=8, makeup_db=6), tr.Limiter(ceiling_db=0)])
    found = ablate(rack, x, RATE)
    assert found[0].address == "compressor"
    assert {a.address for a in found[:3]} == {"gain", "compressor", "limiter"}
    by = {a.address: a for a in found}
    assert by["gain"].loudness_lu == pytest.approx(0.0, abs=0.25)
    assert by["compressor.makeup_db"].before == 6
    assert by["compressor.makeup_db"].loudness_lu == pytest.approx(-6, abs=0.5)
    assert "left out" in str(found[0])
    assert rack["compressor"].bypass is False
