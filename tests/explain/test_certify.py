"""`certify`: proves what is stable with the right margin, refuses what is not, and holds on random racks."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from twinrack.plugins.fdn_reverb.loops import largest_gain
from twinrack.plugins.fdn_reverb.twin import attenuation

import twinrack as tr
from support import CARD_IDS, random_values
from twinrack import _engine
from twinrack.explain.certify import filter_loop, loops_of
from twinrack.twins.filter_design import magnitude_db
from twinrack.twins.values import pack

RACKS = int(os.environ.get("TWINRACK_CERTIFY_RACKS", "150"))


def effect_with(card_id: str, values: dict) -> tr.Effect:
    effect = getattr(tr, tr.CARDS[card_id].class_name)()
    for address, value in values.items():
        effect.set(address, value)
    return effect


@pytest.mark.parametrize("card", CARD_IDS)
def test_every_effect_names_its_loops(card):
    effect = effect_with(card, {})
    for loop in loops_of(effect, 48000.0):
        assert 0.0 <= loop.gain < 1.0
        assert loop.argument in ("poles", "small gain", "shares")


@pytest.mark.parametrize("match", [False, True])
@pytest.mark.parametrize("shape", ["bell", "low_shelf", "high_shelf", "low_cut", "high_cut", "notch", "band_pass", "all_pass"])
def test_the_poles_are_those_of_the_sound(shape, match):
    """The radius by linear prediction of what the engine lets ring."""
    for f, gain, q in ((80.0, 6.0, 2.0), (1000.0, -9.0, 8.0), (5000.0, 4.0, 0.9)):
        eq = tr.ParametricEQ(warping="matched" if match else "bilinear")
        for name, value in (("type", shape), ("frequency_hz", f), ("gain_db", gain), ("q", q)):
            eq.set(f"band1.{name}", value)
        x = np.zeros((1, 400), np.float32)
        x[0, 0] = 1.0
        y = tr.Rack([eq])(x, 48000)[0].astype(np.float64)[3:200]
        rows = np.stack([y[1:-1], y[:-2]], 1)
        a = np.linalg.lstsq(rows, y[2:], rcond=None)[0]
        radius = np.abs(np.roots([1.0, -a[0], -a[1]])).max()
        loop = filter_loop("band", shape, f, gain, q, 48000.0, match)
        assert loop.gain == pytest.approx(radius, abs=3e-4)


def test_the_network_s_bound_is_the_largest_gain_and_not_less():
    card, rng = tr.CARDS["fdn_reverb"], np.random.default_rng(0)
    x = torch.zeros(1, 2, 32, dtype=torch.float64)
    frequencies = torch.from_numpy(np.geomspace(1.0, 23900.0, 3000))
    lines = list(_engine.fdn_layout(48000.0)["line_frames"])
    for _ in range(40):
        values = random_values(card, rng) | {"freeze": False}
        effect = effect_with("fdn_reverb", values)
        c = attenuation(pack(card, effect.values(), x), 48000.0, lines)[0, 0].transpose(-1, -2)  # 2, 16, 5
        db = magnitude_db(c[0], frequencies, 48000.0) + magnitude_db(c[1], frequencies, 48000.0)
        for i in (0, 7, 15):
            bound = 20 * np.log10(largest_gain(effect, lines[i] / 48000.0, 48000.0))
            heard = float(db[i].max())
            assert heard <= bound + 1e-4
            assert heard >= bound - 0.05


def test_it_is_written_into_the_patch(tmp_path):
    rack = tr.Rack([tr.Compressor(), tr.FDNReverb(decay_s=3.0)])
    certificate = tr.certify(rack)
    assert 0.0 < certificate.margin < 1.0
    assert "small gain" in str(certificate)
    rack.save(tmp_path / "a.rack.json")
    loaded = tr.load(tmp_path / "a.rack.json").provenance["stability"]
    assert loaded["margin"] == pytest.approx(certificate.margin, rel=1e-5)
    assert len(loaded["loops"]["fdn_reverb"]) == 22
    assert tr.certify(tr.Rack([tr.Gain()])).margin == 1.0


def test_what_cannot_be_proved_is_refused(tmp_path, monkeypatch):
    rack = tr.Rack([tr.FDNReverb()])
    tr.certify(rack)
    rack["fdn_reverb"].freeze = True
    with pytest.raises(ValueError, match=r"fdn_reverb: line 1 has a gain of 1, so it cannot be proved.*switch freeze off"):
        tr.certify(rack)
    assert "stability" not in rack.provenance
    rack.save(tmp_path / "frozen.rack.json")
    run = [sys.executable, "-m", "twinrack", "certify", str(tmp_path / "frozen.rack.json")]
    refused = subprocess.run(run, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "switch freeze off" in refused.stderr + refused.stdout
    monkeypatch.setitem(sys.modules, "twinrack.plugins.gate.loops", None)
    with pytest.raises(ValueError, match="gate does not say what loops it has"):
        tr.certify(tr.Rack([tr.Gate()]))


def test_an_effect_that_forgot_to_say_is_refused(monkeypatch):
    """Neither its card nor a file says anything; an effect whose card says that it has no loop needs no file."""
    assert loops_of(tr.Gain(), 48000.0) == []
    monkeypatch.setattr(tr.Gain, "card", replace(tr.Gain.card, loops=None))
    with pytest.raises(ValueError, match=r'gain does not say what loops it has \(plugins/gain/loops\.py, or loops = "none"'):
        tr.certify(tr.Rack([tr.Gain()]))


def test_certified_racks_die_away():
    """Random states, as training could leave them: what is certified does not grow after a click and a burst."""
    rng = np.random.default_rng(1)
    x = np.zeros((2, 48000 * 8), np.float32)
    x[:, :2000] = 0.5 * rng.standard_normal((2, 2000))
    refused = 0
    for number in range(RACKS):
        chosen = ("parametric_eq", "compressor", "saturation", "fdn_reverb")
        effects = [effect_with(card, random_values(tr.CARDS[card], rng)) for card in chosen]
        rack = tr.Rack(effects)
        try:
            tr.certify(rack, [48000.0])
        except ValueError:
            refused += 1
            assert rack["fdn_reverb"].freeze, number
            continue
        alone = [rack[card].copy() for card in ("parametric_eq", "fdn_reverb")]
        y = tr.Rack(alone)(x, 48000)
        # In stretches of 2 s: few low modes beat against each other for longer than a fraction of a second.
        power = np.mean(y.astype(np.float64) ** 2, axis=0).reshape(4, -1).mean(1)
        assert np.isfinite(power).all()
        assert power[-1] <= power[:2].max() + 1e-12, number
    print(f"{RACKS - refused} racks certified, {refused} frozen ones refused")
    assert refused < 0.5 * RACKS


def test_a_moving_window_is_no_loop_but_its_average_in_feedback_is():
    def names(**settings):
        return [loop.name for loop in loops_of(tr.Compressor(detector="moving_rms", **settings), 48000)]

    assert "average" not in names()
    assert "average" in names(topology="feedback")
