"""Perceptual front ends against published values, and as losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr
from support import music
from twinrack.perceptual import (
    CriticalBands,
    Masking,
    SpecificLoudness,
    bark,
    critical_bandwidth_hz,
    erb_hz,
    erb_rate,
    phon,
    threshold_in_quiet_db,
)
from twinrack.perceptual.masking import spreading_db

RATE = 48000
# Upper edges of the critical bands, Hz (E. Zwicker, Subdivision of the audible frequency range, JASA 33, 1961).
ZWICKER = (100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400, 5300, 6400, 7700,
           9500, 12000, 15500)  # fmt: skip


def tone(hz: float, db_spl: float, seconds: float = 0.5) -> torch.Tensor:
    """A sine, where 0 dBFS is 100 dB SPL."""
    t = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    return (10 ** ((db_spl - 100) / 20) * torch.sin(2 * torch.pi * hz * t))[None, None]


def test_scales_are_those_that_are_published():
    for z, hz in enumerate(ZWICKER, start=1):
        assert float(bark(hz)) == pytest.approx(z, abs=0.25 if hz < 200 or hz > 6700 else 0.1)
    # the widths that belong to them, by the formula of 1980
    assert float(critical_bandwidth_hz(1000)) == pytest.approx(162, abs=1)
    assert float(critical_bandwidth_hz(100)) == pytest.approx(100, abs=2)
    # Glasberg and Moore 1990: 132.6 Hz at 1 kHz, 24.7 at 0; ERB rate 15.6 at 1 kHz
    assert float(erb_hz(1000)) == pytest.approx(132.64, abs=0.01)
    assert float(erb_hz(0)) == pytest.approx(24.7)
    assert float(erb_rate(1000)) == pytest.approx(15.62, abs=0.02)
    # Terhardt 1979: lowest near 3.3 kHz, about -5 dB; 3.4 dB at 1 kHz
    assert float(threshold_in_quiet_db(1000)) == pytest.approx(3.37, abs=0.05)
    assert float(threshold_in_quiet_db(3300)) == pytest.approx(-4.98, abs=0.1)
    # Schroeder 1979: nothing is lost in the masker's own band; 25 dB per Bark below and 10 above, far away
    assert float(spreading_db(torch.tensor(0.0))) == pytest.approx(0.0, abs=0.02)
    far = spreading_db(torch.tensor([-6.0, -5.0, 5.0, 6.0]))
    assert float(far[1] - far[0]) == pytest.approx(25, abs=0.5)
    assert float(far[2] - far[3]) == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize("scale", ["bark", "erb"])
def test_bands_hold_the_power_of_a_tone(scale: str):
    bands = CriticalBands(RATE, scale)
    for hz in (250.0, 1000.0, 4000.0):
        power = bands(tone(hz, 100.0))[0, 0].mean(-1)
        best = int(power.argmax())
        assert float(bands.centres_hz[best]) == pytest.approx(hz, rel=0.12)
        if scale == "bark":
            assert float(power.sum()) == pytest.approx(0.5, rel=1e-3)
        else:
            assert 0.37 < float(power.max()) < 0.5  # at most half a step and half a window off the middle
    with pytest.raises(ValueError, match="neither 'bark' nor 'erb'"):
        CriticalBands(RATE, "mel")


def test_loudness_is_that_of_stevens_and_zwicker():
    """1 sone at 1 kHz and 40 dB, twice as much for each 10 dB more; noise of the same level over many bands is louder."""
    loudness = SpecificLoudness(RATE)
    sones = {db: float(loudness.total(tone(1000, db)).mean()) for db in (20, 40, 50, 60, 70, 80)}
    print(sones)
    assert sones[40] == pytest.approx(1.0, rel=1e-6)
    for db, wanted in ((50, 2.0), (60, 4.0), (70, 8.0), (80, 16.0)):
        assert sones[db] == pytest.approx(wanted, rel=0.25)
    assert sones[20] < 0.25
    assert float(phon(torch.tensor(4.0))) == 60.0
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.standard_normal((1, 1, RATE // 2)))
    noise = noise / noise.square().mean().sqrt() * tone(1000, 60).square().mean().sqrt()
    assert 2.0 < float(loudness.total(noise).mean()) / sones[60] < 5.0  # Zwicker and Fastl, fig. 8.5: about 3
    assert float(loudness.total(tone(100, 40)).mean()) < 0.6  # low tones of the same level are softer
    assert float(loudness.total(0 * noise).max()) == 0.0


def test_what_a_tone_masks():
    """An error in the tone's own band is hidden further than one far away; nothing is heard below the threshold in quiet."""
    masking = Masking(RATE)
    masker = tone(1000, 80)
    near, far = tone(1080, 55), tone(4000, 55)
    heard = [float(masking.noise_to_mask_db(masker + e, masker).mean(-1).max()) for e in (near, far)]
    assert heard[0] < 5 < 20 < heard[1]
    assert float(masking(masker + tone(3000, -30), masker)) == 0.0
    assert float(masking(masker, masker)) == 0.0
    threshold = float(threshold_in_quiet_db(masking.bands.centres_hz[14]))
    silence = 0 * masker
    centre = float(masking.bands.centres_hz[14])
    above = float(masking.noise_to_mask_db(tone(centre, threshold + 6), silence).mean(-1).max())
    assert above == pytest.approx(6, abs=0.5)
    # a tone masks noise less than noise masks a tone: 14.5 + z against 5.5 dB
    rng = np.random.default_rng(1)
    noise = torch.from_numpy(rng.standard_normal((1, 1, RATE)) * 0.01)
    assert float(masking.tonality(masking.bands.spectra(noise)).mean()) < 0.1
    assert float(masking.tonality(masking.bands.spectra(masker)).mean()) > 0.5


def test_they_have_gradients():
    x = (0.1 * torch.randn(1, 2, 6000, dtype=torch.float64)).requires_grad_()
    target = 0.1 * torch.randn(1, 2, 6000, dtype=torch.float64)
    for module, inputs in ((Masking(16000), (x, target)), (SpecificLoudness(16000), (x,))):
        (gradient,) = torch.autograd.grad(module(*inputs).sum(), x)
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() > 0


def test_a_fit_may_leave_what_is_not_heard():
    """The audible error is a loss, and ablation tells it beside the other distances."""
    x = music(1, 3 * 16000, 16000, 2)
    hidden = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=1000, gain_db=6, q=1)])])
    y = hidden(x, 16000)
    start = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=800, gain_db=1, q=1)])])
    loss = tr.losses.Audible() + 0.2 * tr.losses.STFT()
    result = tr.fit(start, x, y, 16000, loss=loss, steps=150, window_s=1.0, progress=False)
    assert result.rack["parametric_eq"].bands[0].gain_db == pytest.approx(6, abs=1)
    found = tr.ablate(result.rack, x, 16000)
    assert found[0].audible_db > 0.3
    assert "dB audible" in str(found[0])
    quiet = result.rack.copy()
    quiet["parametric_eq"].bands[0].gain_db = 0.05
    assert tr.ablate(quiet, x, 16000)[0].audible_db < 0.05
