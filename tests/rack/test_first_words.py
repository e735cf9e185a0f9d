"""What people write first: it works, or one sentence says what to write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import twinrack as tr
from twinrack.stage.device import JACK, Device, without_repeats
from twinrack.stage.playback import read_recordings

RATE = 48000


def noise(channels: int = 2, frames: int = 4800) -> np.ndarray:
    return (0.1 * np.random.default_rng(1).standard_normal((channels, frames))).astype(np.float32)


def test_one_effect_needs_no_list():
    x = noise()
    expected = tr.Rack([tr.Gain(gain_db=-6)])(x, RATE)
    for rack in (
        tr.Rack(tr.Gain(gain_db=-6)), tr.Rack(tr.Chain(tr.Gain(gain_db=-6))), tr.Rack(tr.Parallel(tr.Gain(gain_db=-6))),
        tr.Rack(e for e in [tr.Gain(gain_db=-6)]),
    ):  # fmt: skip
        assert np.array_equal(rack(x, RATE), expected)
    rack = tr.Rack()
    rack.effects = tr.Gain(gain_db=-6)
    assert np.array_equal(rack(x, RATE), expected)


def test_functions_about_racks_take_effects():
    x = noise(frames=9600)
    assert tr.ablate(tr.Gain(gain_db=-6), x, RATE)[0].address == "gain"
    assert tr.certify([tr.Compressor(), tr.Gain()])
    gain = tr.Gain()
    found = tr.fit(gain, x, 0.5 * x, RATE, steps=2, polish_steps=2, progress=False)
    assert found.rack.addresses().keys() == {"gain"}
    assert gain.gain_db == 0  # the effect that was given is not changed, and may go into a rack
    tr.Rack([gain])


def test_positions():
    rack = tr.Rack([tr.Compressor(), tr.Parallel([[], tr.Gain()]), tr.Limiter(name="last")])
    assert rack[0] is rack["compressor"]
    assert rack[-1] is rack["last"]
    assert rack[np.int64(2)] is rack["last"]
    assert isinstance(rack[1], tr.Parallel)
    assert [type(item).__name__ for item in rack] == ["Compressor", "Parallel", "Limiter"]
    assert len(rack) == 3
    assert "gain" in rack
    assert rack[0] in rack
    assert "gate" not in rack
    assert bool(tr.Rack())  # an empty one is a rack too
    assert rack.effect("last", tr.Limiter) is rack[-1]
    with pytest.raises(TypeError, match="'last' of rack 'rack' is a Limiter, not a Gate"):
        rack.effect("last", tr.Gate)


def test_what_differs_between_racks():
    a = tr.Rack([tr.Compressor(ratio=3), tr.Gain()])
    b = tr.Rack([tr.Compressor(ratio=4, bypass=True), tr.Limiter()])
    words = a.differences(b)
    assert words == [
        "gain: only here", "limiter: only there", "compressor: bypass False here, True there",
        "compressor.ratio: 3 here, 4 there",
    ]  # fmt: skip
    assert a.differences(a.copy()) == []
    assert tr.Rack([tr.Gain(), tr.Gate()]).differences(tr.Rack([tr.Gate(), tr.Gain()])) == [
        "the same effects in another order or tree"
    ]
    named = tr.Rack([tr.Gate(name="it")]).differences(tr.Rack([tr.Gain(name="it")]))
    assert named == ["it: Gate here, Gain there"]
    for seed in range(20):  # empty exactly where they are close
        rng = np.random.default_rng(seed)
        one, other = (tr.Rack([tr.Compressor(ratio=float(rng.integers(1, 3)))]) for _ in range(2))
        assert (one.differences(other) == []) == one.isclose(other, 0.0)


def test_playing_one_recording(tmp_path: Path):
    x = noise()
    file = tmp_path / "x.flac"
    soundfile.write(file, x.T, RATE, subtype="PCM_24")
    expected = soundfile.read(file, dtype="float32")[0].T
    for play in (str(file), file, (file,), (file, None), [file], expected, (expected,)):
        dry, target = read_recordings(play, RATE)
        assert np.array_equal(dry, expected)
        assert target.shape == (0, x.shape[1])
    dry, target = read_recordings((file, expected), RATE)
    assert np.array_equal(dry, target)
    for play in ((), (None, file), (file, None, None), 5, True, (True, None)):
        with pytest.raises(ValueError, match=r"play takes a recording, or \(dry, target\)"):
            read_recordings(play, RATE)


def test_the_form_of_the_recursions_is_chosen():
    x = torch.from_numpy(noise())[None]
    rack = tr.Rack([tr.Compressor(threshold_db=-40)])
    assert rack.twin(RATE, path="parallel")["compressor"].path == "parallel"
    assert torch.allclose(rack.twin(RATE, "reference")(x), rack.twin(RATE)(x), atol=1e-5)


def test_stems_beside_the_mix(tmp_path: Path):
    soundfile.write(tmp_path / "v.wav", noise().T, RATE, subtype="FLOAT")
    session = tr.Session("song")
    session.add_track("vocals", clips=tmp_path / "v.wav")
    made = session.render_to(tmp_path / "mix.wav", stems=True)
    assert list(made.stems.values()) == [tmp_path / "mix.stems" / "vocals.wav"]
    assert made.stems["vocals"].exists()
    assert session.render_to(tmp_path / "mix2.wav", stems=False).stems == {}
    assert not (tmp_path / "mix2.stems").exists()


SESSION, RACK = tr.Session("song", end=0.1), tr.Rack([tr.Compressor()])


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: tr.Compressor(-20), TypeError, "Compressor takes its values by name: Compressor(threshold_db=-20)"),
        (lambda: tr.ParametricEQ([tr.Band()]), TypeError, "ParametricEQ takes its values by name: ParametricEQ(bands="),
        (lambda: tr.ConvolutionReverb("hall.wav"), TypeError, "ConvolutionReverb(impulse_response='hall.wav')"),
        (lambda: tr.Compressor(threshold_db="-20"), ValueError, "threshold_db must be a number, got '-20' (allowed: -80 to"),
        (lambda: tr.Compressor(ratio=True), ValueError, "ratio must be a number, got True (allowed: 1 to 50)"),
        (lambda: tr.Compressor(ratio=np.bool_(True)), ValueError, "ratio must be a number, got True (allowed: 1 to 50)"),
        (lambda: RACK("in.wav", RATE), ValueError, "audio is the name of a file ('in.wav')"),
        (lambda: RACK(Path("in.wav"), RATE), ValueError, "audio is the name of a file"),
        (lambda: RACK(noise(), RATE, tail=True), ValueError, "tail = True; give"),
        (lambda: RACK(noise(), RATE, tail=[1]), ValueError, "tail = [1]; give"),
        (lambda: RACK(noise(), RATE, automation={"threshold_db": [-3.0]}), ValueError, "mean 'compressor.threshold_db'"),
        (lambda: RACK[3], IndexError, "rack 'rack' has 1 items"),
        (lambda: RACK[0.5], TypeError, "by an effect's address or its position, not by float"),
        (lambda: RACK[0:1], TypeError, "not by slice"),
        (lambda: RACK["compresor"], KeyError, "did you mean 'compressor'"),
        (lambda: RACK["compressor"].raito, AttributeError, "compressor has no parameter 'raito'; did you mean 'ratio'?"),
        (lambda: RACK.isclose("x.rack.json"), TypeError, "a rack is compared with another rack, not with str"),
        (lambda: RACK.differences(None), TypeError, "not with NoneType"),
        (lambda: tr.Rack([tr.Compressor]), TypeError, "Compressor is a class; make an effect of it: Compressor()"),
        (lambda: tr.Rack("compressor"), TypeError, "not text ('compressor'); Compressor() is that effect"),
        (lambda: tr.Rack(["eq"]), TypeError, "not text ('eq')"),
        (lambda: tr.Rack([[tr.Gain()]]), TypeError, "not lists; write Chain([…]) or Parallel([…])"),
        (lambda: tr.Rack(RACK), TypeError, "that is a rack already"),
        (lambda: tr.Rack(5), TypeError, "not int (5)"),
        (lambda: tr.Parallel("gain"), TypeError, "a Parallel takes a list of branches"),
        (lambda: RACK.twin(RATE)(noise()[None]), TypeError, "x is a ndarray; a twin takes a tensor (batch, channels, time)"),
        (lambda: tr.Rack().twin(RATE)(noise()[None]), TypeError, "torch.from_numpy(x)[None]"),
        (lambda: RACK.twin(RATE)(torch.zeros(2, 64)), ValueError, "x[None]"),
        (lambda: RACK.twin(RATE, path="paralel"), ValueError, "the twin has no path 'paralel'; did you mean 'parallel'?"),
        (lambda: RACK.twin("48k"), ValueError, "sample_rate must be a number in Hz, such as 48000, got '48k'"),
        (lambda: RACK.insert("a", tr.Gain()), TypeError, "give a position in the outer chain"),
        (lambda: tr.certify("a.rack.json"), TypeError, "rack is a str; load the patch"),
        (lambda: tr.fit(None, noise(), noise(), RATE), TypeError, "rack is a NoneType; give Rack([…])"),
        (lambda: tr.live("a.rack.json"), TypeError, "rack is a str; load the patch"),
        (lambda: tr.Compressor(key=5), ValueError, "key of compressor must be the name of a sidechain input, as text, got 5"),
        (lambda: tr.Send(5), TypeError, "a send goes to a channel's name, not to int (5)"),
        (lambda: tr.Channel("a", clips=5), TypeError, "clips are files, Clip or a list of them, not int"),
        (lambda: tr.Session(5), TypeError, "a session's name is text, not int (5)"),
        (lambda: tr.dry_wet(tr.Gain(), "half"), ValueError, "mix must be a number from 0 to 1, got 'half'"),
        (lambda: SESSION[0], TypeError, "asked by a channel's name, not by int"),
        (lambda: SESSION.render(tail=True), ValueError, "tail = True; give"),
    ],
)  # fmt: skip
def test_one_sentence(call: Callable[[], Any], kind: type[Exception], sentence: str):
    with pytest.raises(kind, match=re.escape(sentence)) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_server_is_counted_once():
    """`doctor` counts what `devices` lists."""

    def device(index: int, host: str) -> Device:
        return Device(index, "system", host, 2, 2, RATE, 10.0)

    there = [device(0, JACK), device(1, JACK), device(2, "JACK Audio Connection Kit"), device(3, "ALSA")]
    assert [d.index for d in without_repeats(there)] == [0, 1, 3]
    assert [d.index for d in without_repeats(there[2:])] == [2, 3]
