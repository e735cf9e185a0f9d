"""Match: a spectrum, a loudness, a contour, a width and a decay are reached without a recording of the result."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr
from support import music
from twinrack.train.targets import Decay, Spectrum, Width

RATE = 16000
FAST = {"progress": False}


def test_a_reference_spectrum_is_reached():
    """The reference is another sound through a hidden equaliser: only its long-term spectrum is known."""
    noise = np.random.default_rng(0).standard_normal((2, 1, 6 * RATE)).astype(np.float32) * 0.1
    bands = [tr.Band("low_shelf", frequency_hz=200, gain_db=-6), tr.Band("bell", frequency_hz=2000, gain_db=8, q=1)]
    reference = tr.Rack([tr.ParametricEQ(bands=bands)])(noise[1], RATE)
    flat = [tr.Band("low_shelf", frequency_hz=300), tr.Band("bell", frequency_hz=1500)]
    target = tr.targets.Spectrum((reference, RATE), high_hz=7000)
    result = tr.match(tr.Rack([tr.ParametricEQ(bands=flat)]), noise[0], RATE, target=target, steps=250, **FAST)
    print(result)
    assert result.before["reach spectrum"] > 2.0
    assert result.after["reach spectrum"] < 0.5
    assert result.rack.provenance["reached"] == result.after
    assert result.rack["parametric_eq"].bands[1].gain_db == pytest.approx(8, abs=1)


def test_a_loudness_and_a_width_are_reached():
    x = 0.3 * music(2, 4 * RATE, RATE, 2)
    middle, side = x.mean(0), 0.1 * (x[0] - x[1])
    x = np.stack([middle + side, middle - side])
    rack = tr.Rack([tr.Gain(), tr.FDNReverb(mix=0.1, decay_s=0.6)])
    now = float(Width(0.0).gap(torch.from_numpy(rack.copy()(x, RATE))[None], RATE))
    wanted = tr.targets.Loudness(-20.0) + tr.targets.Width(-now + 4.0)
    result = tr.match(
        rack, x, RATE, target=wanted, learn=["gain.gain_db", "fdn_reverb.mix"], steps=120, learning_rate=0.02, **FAST
    )
    print(result)
    assert result.before["reach loudness"] > 3
    assert result.after["reach loudness"] < 0.3
    assert result.after["reach width"] < 0.4
    import pyloudnorm

    measured = pyloudnorm.Meter(RATE).integrated_loudness(result.rack(x, RATE).T.astype(np.float64))
    assert measured == pytest.approx(-20.0, abs=1.0)


def test_a_contour_is_reached_by_a_controller():
    """Louder at the end than at the beginning: a controller cannot know the time, but it can hold a level."""
    x = music(1, 5 * RATE, RATE, 3)
    x[:, : 2 * RATE] *= 0.1
    rack = tr.Rack([tr.Controller(network=tr.ControlNetwork(["gain.gain_db"], (6,))), tr.Gain()])
    target = tr.targets.Loudness([-24.0, -24.0], [0.0, 5.0])
    result = tr.match(
        rack, x, RATE, target=target, learn=["controller.network", "gain.gain_db"], network_learning_rate=0.02, **FAST
    )
    print(result)
    assert result.after["reach loudness"] < 0.6 * result.before["reach loudness"]


def test_decay_times_are_reached_as_they_are_measured():
    rack = tr.Rack([tr.FDNReverb(mix=1.0, decay_s=0.8)])
    wanted = {500.0: 1.4, 2000.0: 1.0}
    x = music(1, RATE, RATE, 4)
    learn = ["fdn_reverb.decay*"]
    result = tr.match(rack, x, RATE, target=tr.targets.Decay(wanted), learn=learn, steps=80, learning_rate=0.02, **FAST)
    print(result)
    assert result.before["reach decay"] > 15
    assert result.after["reach decay"] < 5
    times = Decay(wanted).times(result.rack.twin(RATE)).detach().numpy()
    assert np.allclose(times, list(wanted.values()), rtol=0.08)


def test_what_cannot_be_reached_is_said():
    x = music(1, RATE, RATE, 5)
    rack = tr.Rack([tr.Gain()])
    with pytest.raises(ValueError, match="nothing is to be reached; give a target"):
        tr.match(rack, x, RATE, target=tr.losses.Expected(), **FAST)
    with pytest.raises(ValueError, match="match takes no validation"):
        tr.match(rack, x, RATE, target=tr.targets.Loudness(-16), validation=True, **FAST)
    with pytest.raises(ValueError, match="needs two channels"):
        tr.match(rack, x, RATE, target=tr.targets.Width(-10), **FAST)
    with pytest.raises(ValueError, match="give loudness in LUFS, below 0"):
        tr.targets.Loudness(16)
    with pytest.raises(ValueError, match="2 numbers; give as many seconds"):
        tr.targets.Loudness([-16, -20])
    with pytest.raises(ValueError, match=r"decay times from 0\.05"):
        tr.targets.Decay({1000: 0})
    with pytest.raises(ValueError, match="so their bands differ; lower high_hz"):
        Spectrum((np.random.default_rng(0).standard_normal(RATE), 48000)).gap(torch.from_numpy(x)[None], RATE)


def test_a_gentle_and_an_equally_loud_change_may_be_asked_for():
    """Beside a spectrum: without narrow peaks, and with the energy that the sound had."""
    noise = np.random.default_rng(1).standard_normal((2, 1, 4 * RATE)).astype(np.float32) * 0.1
    reference = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=2000, gain_db=12, q=8)])])(noise[1], RATE)
    rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=2000, gain_db=1, q=2)]), tr.Gain(gain_db=3)])
    spectrum = tr.targets.Spectrum((reference, RATE), high_hz=7000)
    sharp = tr.match(rack, noise[0], RATE, target=spectrum, steps=120, learning_rate=0.02, **FAST).rack
    both = spectrum + 2.0 * tr.losses.Smooth() + tr.losses.Energy()
    gentle = tr.match(rack, noise[0], RATE, target=both, steps=120, learning_rate=0.02, **FAST).rack
    change = [r["parametric_eq"].bands[0].gain_db * r["parametric_eq"].bands[0].q for r in (sharp, gentle)]
    assert change[1] < 0.6 * change[0]
    power = [float(np.mean(r(noise[0], RATE) ** 2) / np.mean(noise[0] ** 2)) for r in (sharp, gentle)]
    assert abs(10 * np.log10(power[1])) < 0.3 < abs(10 * np.log10(power[0]))
    x = torch.from_numpy(noise[:1])
    assert float(tr.losses.Energy()(2 * x, x, RATE)) == pytest.approx(0.602, abs=1e-3)
    assert float(tr.losses.Smooth()(2 * x, x, RATE)) < 1e-4
