"""Presets: valid, within what cards expect, different from the defaults, and heard."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from support import decaying_noise, music, run
from twinrack.rack.presets import multiband_presets, presets, ready_made_presets

RATE = 48000
WITHOUT = {"adapter", "controller"}  # a network is all that they are
EVERY = [(id, name) for id in tr.CARDS for name in presets(id)]


def test_every_effect_has_five():
    for id in set(tr.CARDS) - WITHOUT:
        assert len(presets(id)) >= 5, id
    assert all(presets(id) == {} for id in WITHOUT)


@pytest.mark.parametrize(("id", "name"), EVERY)
def test_a_preset_is_what_it_says(id, name):
    preset = presets(id)[name]
    assert re.fullmatch(r"[A-Z0-9].*\.", preset.text)
    effect = preset.make()
    for address, value in preset.values.items():
        p = effect.card.addresses[address]
        assert effect.get(address) == value
        if p.kind == "continuous":
            assert p.expected[0] <= value <= p.expected[1], address
    assert effect.values() == preset.full()
    assert effect.values() != type(effect)().values()
    assert not set(preset.values) & set(effect.unused()), "a value that has no effect beside the others"
    if id == "convolution_reverb":
        effect.impulse_response = decaying_noise(0.3)
    x = 0.5 * music(2, RATE, RATE, 4)
    y = tr.Rack([effect])(x, RATE)
    assert np.isfinite(y).all()
    assert np.abs(y).max() < (40.0 if id == "convolution_reverb" else 8.0)  # a response of noise is loud
    # Applied to an effect that was moved, nothing of that is left.
    other = type(effect)()
    if "mix" in other.card.addresses:
        other.set("mix", 0.1)
    preset.apply(other)
    assert other.values() == preset.full()


def test_the_commands(tmp_path):
    done = run("presets")
    assert "drum bus" in done.stdout
    assert "concert hall" in done.stdout
    done = run("presets", "compressor", "vocal", "--out", tmp_path / "v.rack.json")
    assert done.returncode == 0, done.stderr
    assert "threshold_db                 -24 dB" in done.stdout
    assert tr.load(tmp_path / "v.rack.json")["compressor"] == tr.preset("compressor", "vocal")
    assert json.loads((tmp_path / "v.rack.json").read_text())["provenance"]["preset"]["by"] == "hand"
    refused = {
        ("presets", "compresor"): "did you mean 'compressor'",
        ("presets", "compressor", "loud"): "there are vocal, podcast",
        ("presets", "adapter", "x"): "it has none",
        ("presets", "--out", "x.rack.json"): "give its effect and name",
    }
    for words, sentence in refused.items():
        done = run(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert sentence in done.stderr
    assert not Path(tmp_path / "x.rack.json").exists()
    with pytest.raises(ValueError, match="not of gain"):
        presets("compressor")["vocal"].apply(tr.Gain())


@pytest.mark.parametrize("name", multiband_presets())
def test_presets_of_the_multiband_compressor(name):
    """Every band compresses loud music, by values as they are listed."""
    made = multiband_presets()[name]
    rack = tr.Rack([tr.preset("multiband_compressor", name)])
    assert re.fullmatch(r"[A-Z0-9].*\.", made.text)
    for address, value in made.values.items():
        p = rack[address.partition(".")[0]].card.addresses[address.partition(".")[2]]
        assert rack.get(address) == value
        assert p.expected[0] <= value <= p.expected[1], address
    x = music(2, 4 * RATE, RATE, 5)
    x = x * np.float32(10 ** (-18 / 20) / np.sqrt(np.mean(x.astype(np.float64) ** 2)))
    rack.prepare(RATE, 2)
    reduced = [0.0] * len(made.bands)
    for start in range(0, x.shape[1], 512):
        assert np.isfinite(rack.process(x[:, start : start + 512])).all()
        for band, meter in enumerate(m for a, m in rack.meters().items() if a.startswith("compressor")):
            reduced[band] = max(reduced[band], meter.gain_reduction_db)
    assert min(reduced) > 0.5, reduced


def test_multiband_presets_are_known_by_name():
    assert len(multiband_presets()) >= 5
    with pytest.raises(ValueError, match="multiband_compressor has no preset 'loud'; there are mastering"):
        tr.preset("multiband_compressor", "loud")


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in ("exciter", "bass_enhancer") for n in ready_made_presets(k)])
def test_harmonics_are_added_beside_the_sound(kind, name):
    """A tone gets harmonics of itself, at most as loud as stated; where nothing is saturated nothing changes."""
    made = ready_made_presets(kind)[name]
    rack = tr.Rack([tr.preset(kind, name)])
    assert re.fullmatch(r"[A-Z0-9].*\.", made.text)
    for address, value in made.values.items():
        assert rack.get(address) == value
    t = np.arange(RATE) / RATE
    hz = round(made.frequency_hz * (1.15 if kind == "exciter" else 0.7))

    def levels_db(tone_hz: float) -> np.ndarray:
        x = (0.25 * np.sin(2 * np.pi * tone_hz * t)).astype(np.float32)
        y = np.asarray(rack(np.stack([x, x]), RATE))[0]
        spectrum = np.abs(np.fft.rfft(y[:RATE])) / (0.25 * RATE / 2)
        return 20 * np.log10(np.maximum(spectrum, 1e-9))

    inside = levels_db(hz)
    harmonics = [inside[k * hz] for k in (2, 3) if k * hz < 0.45 * RATE]
    assert max(harmonics) > -60
    assert max(harmonics) < made.amount_db
    outside = round(made.frequency_hz / 8) if kind == "exciter" else round(made.frequency_hz * 12)
    assert abs(levels_db(outside)[outside]) < 0.5


def test_harmonics_are_known_by_name(tmp_path):
    assert min(len(ready_made_presets(k)) for k in ("exciter", "bass_enhancer")) >= 5
    with pytest.raises(ValueError, match="exciter has no preset 'loud'; there are air"):
        tr.preset("exciter", "loud")
    done = run("presets", "exciter", "air", "--out", "x.rack.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "saturation.drive_db" in done.stdout
    assert len(tr.load(tmp_path / "x.rack.json").addresses()) == 4


def side_gain_db(rack: tr.Rack, hz: float) -> tuple[float, float]:
    """Of middle and side, in dB."""
    t = np.arange(RATE) / RATE
    tone = (0.25 * np.sin(2 * np.pi * hz * t)).astype(np.float32)
    levels = []
    for sign in (1.0, -1.0):
        y = rack(np.stack([tone, sign * tone]), RATE)[:, RATE // 2 :]
        part = 0.5 * (y[0] + sign * y[1])
        levels.append(20 * np.log10(np.sqrt(np.mean(part**2)) / np.sqrt(0.5 * 0.25**2)))
        assert np.abs(y[0] - sign * y[1]).max() < 1e-5  # nothing goes from one to the other
    return levels[0], levels[1]


@pytest.mark.parametrize("name", ready_made_presets("crossfeed"))
def test_a_crossfeed_brings_the_lows_of_one_side_to_the_other(name):
    """The lows of one side come out of the other at the stated level below them; highs do not, and the middle is left."""
    given = tomllib.loads((Path(tr.__file__).parent / "rack" / "crossfeed.toml").read_text("utf-8"))[name]
    rack = tr.Rack([tr.preset("crossfeed", name)])
    low, high = (side_gain_db(rack, hz) for hz in (20.0, 16000.0))
    assert low[0] == pytest.approx(0.0, abs=0.01)
    side = 10 ** (low[1] / 20)
    assert 20 * np.log10((1 - side) / (1 + side)) == pytest.approx(given["level_db"], abs=0.3)
    assert high[1] == pytest.approx(0.0, abs=0.6)


def test_stereo_presets_do_what_they_say():
    mono_bass = tr.Rack([tr.preset("stereo", "mono bass")])
    assert side_gain_db(mono_bass, 30.0)[1] < -40
    assert side_gain_db(mono_bass, 1000.0)[1] == pytest.approx(0.0, abs=0.1)
    assert side_gain_db(tr.Rack([tr.preset("stereo", "wide")]), 2000.0)[1] == pytest.approx(3.0, abs=0.2)
    for kind in ("stereo", "crossfeed"):
        made = ready_made_presets(kind)
        assert len(made) >= 5
        for name, one in made.items():
            rack = tr.Rack([tr.preset(kind, name)])
            assert re.fullmatch(r"[A-Z0-9].*\.", one.text)
            assert one.values
            for address, value in one.values.items():
                assert rack.get(address) == value
            assert side_gain_db(rack, 300.0)[0] == pytest.approx(0.0, abs=0.01)


def test_haas_is_a_delay_on_one_side():
    x = np.zeros((2, 4800), np.float32)
    x[:, 0] = 1.0
    y = tr.Rack([tr.preset("delay", "haas")])(x, RATE)
    first = [int(np.argmax(np.abs(row) > 0.1)) for row in y]
    assert 5 <= (first[1] - first[0]) * 1000 / RATE <= 35
