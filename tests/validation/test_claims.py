"""Claims of effects hold for any values that people use, on any rate; and fail where something is wrong."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from support import random_effect
from twinrack.rack.card import CARDS
from twinrack.rack.effect import CLASSES
from twinrack.validation.claims import ALIASED_DB, PROBE, Claim, claims_of, folded_db
from twinrack.validation.signals import noise, sweep, tones, whole_cycles_hz

RATE = 48000
MEANT = {
    ("gain", "mono"),
    ("saturation", "aliasing"),
    ("fader", "mono"),
    ("adapter", "aliasing"),
    ("adapter", "bounded"),
    ("deesser", "aliasing"),
    ("convolution_reverb", "latency"),  # a lead at which the given response has no direct sound
}
LOOSE = {"parametric_eq", "adapter"}  # any values of theirs give what nobody uses: see the test with bands


def usual(card, rng):
    """Values that the card expects, and any choices."""
    effect = random_effect(card, rng, "random")
    for name, p in card.addresses.items():
        if p.kind == "continuous" and name not in effect.unused():
            low, high = (p.position(end) for end in p.expected)
            effect.set(name, float(p.at(low + (high - low) * rng.random())))
        elif p.kind == "switch":
            effect.set(name, p.default)
    return effect


@pytest.mark.parametrize("id", sorted(CARDS.keys() - LOOSE))
@pytest.mark.parametrize("seed", range(4))
def test_claims_hold_for_usual_values(id, seed):
    rng = np.random.default_rng([seed, len(id)])
    effect = usual(CARDS[id], rng)
    made = claims_of(effect, float(rng.choice([44100, 48000, 96000])))
    assert {"finite", "noise floor"} <= {c.name for c in made}
    failed = [str(c) for c in made if not c.holds and (id, c.name) not in MEANT]
    assert not failed, (failed, effect)


@pytest.mark.parametrize("id", sorted(CARDS))
def test_every_effect_states_claims_of_its_own(id):
    general = {"finite", "noise floor", "latency", "time invariance", "linearity", "aliasing", "direct current", "mono"}
    made = claims_of(CLASSES[id](), RATE)
    assert {c.name for c in made} - general or id == "saturation"


@pytest.mark.parametrize("warping", ["matched", "bilinear"])
def test_an_equaliser_keeps_to_its_prototypes(warping):
    kinds = ["low_cut", "low_shelf", "bell", "notch", "band_pass", "all_pass", "high_shelf", "high_cut"]
    for kind in kinds:
        slope = "48" if kind.endswith("cut") else "12"
        band = tr.Band(kind, frequency_hz=3000, gain_db=-9, q=2.0, slope_db_per_octave=slope)
        (response,) = [c for c in claims_of(tr.ParametricEQ(bands=[band], warping=warping), RATE) if c.name == "response"]
        assert response.holds, str(response)


def test_a_claim_that_is_not_kept_is_named(monkeypatch):
    """A compressor whose card said another ratio than it has."""
    from twinrack.plugins.compressor import claims

    real = claims.static_curve
    monkeypatch.setattr(claims, "static_curve", lambda effect, levels: real(effect, levels) + 1.0)
    failed = [c for c in claims_of(tr.Compressor(), RATE, "voice") if not c.holds]
    assert "static curve" in {c.name for c in failed}
    assert str(failed[0]).startswith("voice: static curve FAILS: 1 dB (at most 0.05 dB)")


def test_aliasing_is_measured():
    """A hard clip without oversampling folds back what its oversampled neighbour does not."""
    levels = {}
    for times in ("1", "8"):
        effect = tr.Saturation(drive_db=18, curve="tanh", oversampling=times)
        levels[times] = folded_db(tr.Rack([effect.copy()]), whole_cycles_hz(5000, PROBE, RATE), -6.0, RATE)
        (claim,) = [c for c in claims_of(effect, RATE) if c.name == "aliasing"]
        assert claim.holds == (times == "8")
    assert levels["8"] < ALIASED_DB < levels["1"]


def test_a_python_effect_gets_the_general_claims():
    def broken(x, rate):
        return x * np.float32(np.nan)

    def hissing(x, rate):
        return x + np.float32(1e-3)

    made = {c.name: c for c in claims_of(tr.PythonEffect(hissing), RATE)}
    assert made["finite"].holds
    assert not made["noise floor"].holds
    (answers,) = [c for c in claims_of(tr.PythonEffect(broken), RATE) if c.name == "answers"]
    assert not answers.holds  # the engine plays the dry sound instead
    assert "NaN" in answers.text


def test_bounds_in_words():
    assert Claim("a", "b", 1.0, low=0.5, high=2.0, unit="s").bounds == "0.5 to 2 s"
    assert Claim("a", "b", 1.0, low=0.5, unit="1").bounds == "at least 0.5"
    assert Claim("a", "b", float("nan"), high=2.0).holds is False


def test_signals_are_what_they_say():
    x = noise(1.0, RATE, -20.0, pink=True)
    assert 10 * np.log10(2 * np.mean(x.astype(float) ** 2)) == pytest.approx(-20.0, abs=0.01)
    spectrum = np.abs(np.fft.rfft(x[0])) ** 2
    octaves = [spectrum[f : 2 * f].sum() for f in (100, 400, 1600, 6400)]
    assert 10 * np.log10(max(octaves) / min(octaves)) < 1.5
    assert np.abs(tones([100.0, 1000.0], -6.0, 1.0, RATE)).max() <= 10 ** (-6 / 20)
    assert np.abs(sweep(1.0, RATE)).max() == pytest.approx(10 ** (-12 / 20), rel=1e-3)
