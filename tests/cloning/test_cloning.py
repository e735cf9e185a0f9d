"""Clones: a processor is known by measurement alone, and a rack of ours is made of it that can be read."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

import twinrack as tr
from plugin_support import MDA, RATE, needs_host
from support import run
from twinrack.cloning.character import SAME_DB, character
from twinrack.cloning.clone import from_before, structures
from twinrack.cloning.knob import learn_knob, positions_of
from twinrack.cloning.material import material

EQ = [tr.Band("bell", frequency_hz=800, gain_db=6, q=1.0), tr.Band("high_shelf", frequency_hz=6000, gain_db=-4)]
KINDS = {
    "nothing": lambda: [tr.Gain()],
    "equaliser": lambda: [tr.ParametricEQ(bands=EQ)],
    "reverb": lambda: [tr.FDNReverb(mix=0.3, decay_s=1.0)],
    "compressor": lambda: [tr.Compressor(threshold_db=-24, ratio=3, attack_ms=10, release_ms=150)],
    "limiter": lambda: [tr.Limiter(ceiling_db=-12)],
    "gate": lambda: [tr.Gate(threshold_db=-40)],
    "saturation": lambda: [tr.Saturation(drive_db=18)],
}


def measured(effects, channels: int = 2):
    rack = tr.Rack(effects)
    return character(lambda x: rack(x, RATE), RATE, channels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_processor_is_known_by_what_it_does(kind):
    nature = measured(KINDS[kind]())
    assert nature.kind == kind
    assert nature.repeats_db < SAME_DB
    if kind != "nothing":
        assert structures(nature)
    assert nature.sentences[0].startswith("It behaves like ")


def test_its_figures_are_those_of_the_effect():
    nature = measured([tr.Compressor(threshold_db=-24, ratio=4, knee_db=0, attack_ms=5, release_ms=100)])
    curve = dict(zip(nature.levels_dbfs, nature.gains_db, strict=True))
    assert curve[-36.0] == pytest.approx(0.0, abs=0.1)
    assert curve[0.0] - curve[-12.0] == pytest.approx(-9.0, abs=0.3)
    assert nature.attack_s < nature.release_s
    assert "It adds no harmonics" in " ".join(nature.sentences) or max(nature.harmonics_db) < -40
    assert measured([tr.ParametricEQ(bands=EQ)]).colour_db == pytest.approx(10.0, abs=1.0)
    mono = measured([tr.Gain(gain_db=6)], channels=1)
    assert mono.kind == "equaliser"  # a flat one
    assert mono.crosstalk_db < -100


def test_what_moves_or_never_repeats_is_said():
    def tremolo(x: np.ndarray) -> np.ndarray:
        return x * (1 + 0.5 * np.sin(2 * np.pi * 3.3 * np.arange(x.shape[1]) / RATE)).astype(np.float32)

    nature = character(tremolo, RATE)
    assert nature.kind == "modulation"
    assert "changes with time by itself" in " ".join(nature.sentences)
    chance = np.random.default_rng(1)
    nature = character(lambda x: x + chance.standard_normal(x.shape).astype(np.float32) * 1e-2, RATE)
    assert "sounds different every time" in " ".join(nature.sentences)
    with pytest.raises(ValueError, match="gives NaN or infinity, so it cannot be measured"):
        character(lambda x: x * np.nan, RATE)


def test_the_designed_sound_has_every_level_and_every_octave():
    x = material(RATE)
    assert np.array_equal(x, material(RATE))
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert [round(20 * np.log10(np.max(np.abs(p)))) for p in np.split(x, 3, 1)] == [-24, -10, -1]
    power = np.abs(np.fft.rfft(x[0])) ** 2
    hertz = np.fft.rfftfreq(x.shape[1], 1 / RATE)
    octaves = [power[(hertz >= f) & (hertz < 2 * f)].sum() for f in 62.5 * 2.0 ** np.arange(8)]
    assert 10 * np.log10(min(octaves) / max(octaves)) > -40


def test_a_knob_is_learned():
    """The threshold of a compressor of ours, from its sound alone."""
    x, others = material(RATE), {"attack_ms": 8, "ratio": 4}

    def play(position: float):
        rack = tr.Rack([tr.Compressor(threshold_db=position, **others)])
        return lambda sound: rack(sound, RATE)

    first = tr.fit(tr.Rack([tr.Compressor()]), x, play(-24)(x), RATE, progress=False)
    p = tr.Compressor.card.addresses["threshold_db"]
    knob = learn_knob("thr", p, [-30.0, -24.0], (-24.0, first), play, [x], RATE, progress=False)
    assert max(knob.errors_db) < -60
    assert max(knob.between_db) < -60
    assert knob.at(-27.0)["compressor"].threshold_db == pytest.approx(-27, abs=0.05)
    assert knob.at(-30.0)["compressor"].threshold_db == pytest.approx(-30, abs=0.05)
    assert knob.moved["compressor.threshold_db"] == pytest.approx((-30, -24), abs=0.05)
    assert "compressor.threshold_db: -30, -24 dB" in str(knob)
    with pytest.raises(ValueError, match=r"thr = -10 is outside what was learned \(-30 to -24 dB\)"):
        knob.at(-10)


@needs_host
def test_a_knob_that_cannot_be_learned_is_said():
    for knob, between, words in (
        ("nonsense", None, "has no knob 'nonsense' that is a number; there are thresh, ratio"),
        ("thresh", (0.5, 0.2), r"between = \(0.5, 0.2\) is not a part of the range of thresh"),
        (None, (0.2, 0.5), "say which one: knob="),
    ):
        with pytest.raises(ValueError, match=words):
            tr.clone(f"{MDA}Dynamics", knob=knob, between=between)


def test_positions_are_equally_far_on_the_scale():
    p = tr.Compressor.card.addresses["release_ms"]
    assert positions_of(p, 10, 1000, 3) == pytest.approx([10, 100, 1000])


@needs_host
def test_a_plugin_becomes_a_rack_that_can_be_read(tmp_path):
    out, page = tmp_path / "a.rack.json", tmp_path / "a.html"
    result = run("clone", f"{MDA}Bandisto", "--set", "nonsense=1", "--out", str(out))
    assert result.returncode == 2
    assert "has no parameter 'nonsense'" in result.stderr
    result = run("clone", f"{MDA}Limiter", "--set", "threshold", "--out", str(out))
    assert "is not NAME=VALUE" in result.stderr
    made = tr.clone(f"{MDA}Limiter", minutes=0.0, progress=False)
    assert made.character.kind in ("limiter", "compressor")
    assert len(made.attempts) == 1
    assert made.fit.fitted.error_db < made.fit.nothing.error_db - 6
    assert "not explained: " in str(made)
    made.rack.save(out)
    origin = json.loads(out.read_text())["provenance"]["clone_of"]
    assert origin["plugin"] == f"{MDA}Limiter"
    assert made.report(page).stat().st_size > 10000


@needs_host
def test_refusals():
    with pytest.raises(TypeError, match="a Plugin brings its values"):
        tr.clone(tr.Plugin(f"{MDA}Limiter"), preset="x")
    with pytest.raises(ValueError, match="is shorter than 1 s"):
        tr.clone(f"{MDA}Limiter", np.zeros((2, 100), np.float32))


def test_a_second_structure_begins_with_the_values_of_the_first():
    """Of an effect that both have once; where it is there twice, it begins at the defaults."""
    best = SimpleNamespace(rack=tr.Rack([tr.Saturation(drive_db=11, curve="tape"), tr.ParametricEQ(), tr.ParametricEQ()]))
    eq = tr.ParametricEQ(bands=[tr.Band("bell", gain_db=3)])
    rack = from_before([tr.ParametricEQ(), tr.Saturation()], best)
    assert (rack.get("saturation.drive_db"), rack.get("saturation.curve")) == (11, "tape")
    best.rack.effects[1].bands[0].type = "bell"
    assert from_before([tr.ParametricEQ()], best)[0] == tr.ParametricEQ()
    assert from_before([eq.copy(), tr.ParametricEQ()], None)[0] == eq
