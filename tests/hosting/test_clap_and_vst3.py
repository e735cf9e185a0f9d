"""CLAP and VST3 plugins: a framework's (tests/cpp/dpf), real ones of Debian, and our own exports, whose sound is known."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from test_plugin_effect import Running

import twinrack as tr
from jack_support import BLOCK, needs_jack
from plugin_support import GOOD, RATE, needs_host
from support import blocks_of, music, run
from twinrack.hosting import catalogue
from twinrack.hosting.check import check_plugin
from twinrack.hosting.child import PluginError
from twinrack.hosting.description import Port, description
from twinrack.hosting.plugin import HostedPlugin
from twinrack.session.clip import Clip
from twinrack.session.session import Session

pytestmark = needs_host
both = pytest.mark.parametrize("format", ["clap", "vst3"])
ZAM = Path("/usr/lib/clap/ZamComp.clap")


@both
def test_it_is_described_as_it_declares_itself(framed, format):
    listed = framed(format)
    assert (listed.format, listed.inputs, listed.outputs, listed.author) == (format, 4, 2, "twinrack tests")
    d = catalogue.describe(listed)
    assert list(d.controls) == ["gain", "frequency", "mode", "invert", "delay", "clock", "listen"]
    gain, frequency = d.controls["gain"], d.controls["frequency"]
    assert (gain.min, gain.max, gain.default) == (-60, 12, 0)
    assert (frequency.min, frequency.max, frequency.default) == (20, 20000, 1000)
    if format == "vst3":  # CLAP's texts have no units in this framework
        assert (gain.unit, frequency.unit) == ("dB", "Hz")
    assert list(d.controls["mode"].options) == ["Soft", "Hard", "Off"]
    assert d.controls["invert"].is_switch
    assert d.reports_latency
    assert [p.is_sidechain for p in d.audio(True)] == [False, False, True, True]
    assert "level" in {p.symbol for p in d.ports if not p.is_input}
    assert list(d.presets) == (["Plain", "Quiet"] if format == "vst3" else [])


@both
def test_it_passes_its_check(framed, format):
    report = check_plugin(framed(format))
    assert report.is_usable
    assert not [f for f in report.findings if f.holds is False]
    assert report.silent_controls == ()


@both
def test_it_plays_in_a_rack(framed, format):
    framed(format)
    x, key = music(2, 9000, RATE, 1), music(2, 9000, RATE, 2)
    effect = tr.Plugin("framed gain", gain=-6, mode="Hard", invert=True, frequency=500, key="voice")
    assert effect.card.id == f"{format}_framed_gain"
    rack = tr.Rack([effect, tr.Gain()])
    heard = key if format == "clap" else 0 * key  # this framework's VST3 hears its first bus only
    expected = -(10 ** (-6 / 20)) * 2 * 0.5 * x + heard
    y = rack(x, RATE, sidechain={"voice": key})
    assert np.allclose(y, expected, atol=2e-6)
    rack.prepare(RATE, 2)
    late = rack.latency_frames
    for size in (100, 4096):
        rack.prepare(RATE, 2)
        streamed = [rack.process(np.ascontiguousarray(b), sidechain={"voice": k}) for b, k in zip(
            blocks_of(x, size), blocks_of(key, size), strict=True)]  # fmt: skip
        assert np.array_equal(np.concatenate(streamed, 1)[:, late:], y[:, :-late])


@both
def test_values_move_at_their_ticks(framed, format):
    framed(format)
    curve = np.linspace(-20, 10, 200).astype(np.float32)
    x = np.ones((2, 6400), np.float32)
    y = tr.Rack([tr.Plugin("framed gain", name="g")])(x, RATE, automation={"g.gain": curve})
    assert np.allclose(y[0], np.repeat(10 ** (curve / 20), 32), rtol=2e-5)


@both
def test_latency_is_taken_away_and_followed(framed, format):
    framed(format)
    x = music(2, 9000, RATE, 3)
    effect = tr.Plugin("framed gain", delay=37, block_frames=64)
    rack = tr.Rack([tr.Parallel([[tr.Gain(polarity="invert")], [effect]])])
    assert np.abs(rack(x, RATE)[:, :-64]).max() < 1e-6
    rack.prepare(RATE, 2)
    rack.running.go_live()
    try:
        for frames in (37, 50, 0):
            effect.delay = frames
            end = time.monotonic() + 10
            while rack.latency_frames != 2 * 64 + 32 + frames and time.monotonic() < end:
                rack.running.engine.process(np.zeros((2, 64), np.float32), [])
                time.sleep(64 / RATE)
            assert rack.latency_frames == 2 * 64 + 32 + frames
    finally:
        rack.running.close()


@both
def test_the_patch_keeps_values_and_state(framed, format, tmp_path):
    listed = framed(format)
    x = music(2, 9000, RATE, 4)
    with HostedPlugin(listed, RATE) as plugin:
        head, *parts = plugin.save().split(" ")
    inside = base64.b64decode(parts[0]).replace(b"note\0\0", b"note\0a\0").replace(b"note\xff\xff", b"note\xffa\xff")
    state = " ".join([head, base64.b64encode(inside).decode(), *parts[1:]])
    effect = tr.Plugin("framed gain", gain=-3)
    effect.state = state
    rack = tr.Rack([effect])
    y = rack(x, RATE)
    assert np.allclose(y, 3 * 10 ** (-3 / 20) * x, atol=2e-6)
    rack.save(tmp_path / "a.rack.json")
    entry = json.loads((tmp_path / "a.rack.json").read_text())["rack"][0]
    assert (entry["plugin"], entry["format"], entry["state"]) == (listed.uri, format, state)
    assert np.array_equal(tr.load(tmp_path / "a.rack.json")(x, RATE), y)
    for bad in ("clap", "vst3 ", f"{format} @@@@", f"{format} AAA AAAA", "x"):
        with pytest.raises(PluginError):
            effect.state = bad
    assert effect.state == state


def test_programs_of_vst3_are_presets(framed):
    framed("vst3")
    effect = tr.Plugin("framed gain", preset="Quiet")
    assert (effect.gain, effect.mode) == (-20.0, "Hard")
    x = music(2, 3000, RATE, 5)
    assert np.allclose(tr.Rack([effect])(x, RATE), 0.2 * x, atol=1e-6)
    with pytest.raises(PluginError, match="has no preset 'Loud'; there are Plain, Quiet"):
        effect.load_preset("Loud")


@both
def test_the_tempo_is_followed(framed, format):
    framed(format)
    effect = tr.Plugin("framed gain", clock=True, bpm=150)
    rack, x = tr.Rack([effect]), music(2, 20000, RATE)
    beats = np.arange(20000) * 150 / 60 / RATE
    y = rack(x, RATE)
    assert np.abs(y[0] - beats).max() < 2e-3  # in whole ticks of the framework
    assert np.allclose(y[1], 0.15)
    effect.bpm = 90
    assert np.allclose(rack(x, RATE)[1], 0.09)
    with pytest.raises(ValueError, match=r"bpm = 0 is not a tempo; give 1 to 2000 beats a minute"):
        effect.bpm = 0
    assert repr(effect).endswith("bpm=90.0)")


@both
def test_in_a_session_its_tempo_map_is_followed(framed, format):
    framed(format)
    late = tr.Plugin("framed gain", name="late", delay=40)
    session = Session("song", RATE, tempo=[(0, 60), tr.Tempo(0.5, 180, ramp=True), (2, 100)])
    session.add_track("a", clips=[Clip(music(2, 96000, RATE, 1), 0.0)], rack=[late, tr.Plugin("framed gain", clock=True)])
    y = session.render()
    frames = np.arange(0, 90000, 999)
    beats = [session.timeline.beat_of(n / RATE) for n in frames]
    assert np.abs(y[0, frames] - beats).max() < 1e-2  # on the ramp a block of 4096 frames has one tempo
    assert y[1, 100] == pytest.approx(0.06, rel=1e-3)
    assert y[1, 89000] == pytest.approx(0.1, rel=1e-3)


def test_echoes_of_real_plugins_come_at_the_beat(tmp_path, monkeypatch):
    if not ZAM.is_file():
        pytest.skip(f"{ZAM} is missing: install zam-plugins")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    x = np.zeros((1, RATE), np.float32)
    x[0, 4800] = 0.5
    places = {}
    for bpm in (120, 150):
        for uri, sync, divisor in (
            ("urn:zamaudio:ZamDelay", "sync", "div"),
            ("clap:com.zamaudio.ZamDelay", "sync_bpm", "divisor"),
        ):
            effect = tr.Plugin(uri, bpm=bpm)
            effect.set(sync, True)
            effect.set(divisor, 3)
            y = np.abs(tr.Rack([effect])(x, RATE)[0, 4900:])
            places[bpm, uri] = int(np.argmax(y)) + 100
    assert len(set(places.values())) == 2
    first, second = places[120, "urn:zamaudio:ZamDelay"], places[150, "clap:com.zamaudio.ZamDelay"]
    assert first / second == pytest.approx(150 / 120, rel=0.02)


@pytest.mark.parametrize(("format", "ending"), [("clap", ".clap-preset"), ("vst3", ".vstpreset")])
def test_presets_as_files(framed, format, ending, tmp_path):
    framed(format)
    path = tmp_path / f"mine{ending}"
    tr.Plugin("framed gain", gain=-12, mode="Hard").save_preset(path)
    effect = tr.Plugin("framed gain", preset=str(path), frequency=500)
    assert (effect.gain, effect.mode, effect.frequency) == (-12.0, "Hard", 500.0)
    with pytest.raises(PluginError, match=f"mine.txt: presets of Framed gain .* are {ending} files"):
        effect.save_preset(tmp_path / "mine.txt")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(PluginError, match=f"mine{ending} cannot be taken"):
        effect.load_preset(str(path))
    with pytest.raises(FileNotFoundError, match="there is no preset file"):
        effect.load_preset(str(path.with_stem("none")))
    with pytest.raises(PluginError, match=r"mine.ttl: presets of Framed gain"):
        effect.load_preset(str(path.with_name("mine.ttl")))
    assert effect.gain == -12.0


def test_presets_of_lv2_as_others_read_them(odd, tmp_path):
    odd(GOOD)
    paths = [tmp_path / f"{name}.ttl" for name in ("one", "two é")]
    for path, gain in zip(paths, (-3, 4), strict=True):
        tr.Plugin("odd", gain=gain).save_preset(path)
        assert tr.Plugin("odd", preset=str(path)).gain == gain
        if shutil.which("sordi") is not None:
            subprocess.run(["sordi", path], check=True, stdout=subprocess.DEVNULL)
    first, second = (p.read_text(encoding="utf-8") for p in paths)
    assert 'rdfs:label "two é"' in second
    assert first.partition("urn:twinrack:preset:")[2][:24] != second.partition("urn:twinrack:preset:")[2][:24]


def test_the_commands_say_what_is_wrong(framed, tmp_path):
    framed("clap")
    (tmp_path / "x.clap").write_text("hello")
    result = run("plugins", "check", str(tmp_path / "x.clap"))
    assert result.returncode == 3
    assert "x.clap" in result.stdout
    assert "it cannot be loaded" in result.stdout
    assert "did you mean 'Framed gain'?" in run("plugins", "check", "framed gian").stderr
    assert "clap:test.twinrack.dpf\n" in run("plugins", "list").stdout  # whole, where it is not a terminal
    patch = tmp_path / "a.rack.json"
    tr.Rack([tr.Plugin("framed gain")]).save(patch)
    for words, sentence in (
        (["framed gain", "x"], "is not a patch"),
        ([str(patch), "x"], "is called 'x'; say which plugin of"),
        (["framed gain", "--out", str(tmp_path / "a.txt")], "presets of Framed gain"),
        (["framed gain", "--out", str(tmp_path / "none/a.clap-preset")], "none"),
    ):
        result = run("plugins", "edit", *words)
        assert result.returncode == 2
        assert sentence in result.stderr


@pytest.mark.parametrize("format", ["lv2", "clap", "vst3"])
def test_our_own_exports_sound_as_the_engine(format, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bell = tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=3000, gain_db=2)])
    inner = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4), bell, tr.Limiter()])
    path, x = tmp_path / f"own.{format}", music(2, 20000, RATE, 6)
    tr.export(inner, path)
    effect = tr.Plugin(str(path))
    rack = tr.Rack([effect])
    assert np.array_equal(rack(x, RATE), inner(x, RATE))
    ratio = next(p for p in effect.card.parameters if "ratio" in p.id)
    attack = next(p for p in effect.card.parameters if "attack" in p.id)
    assert (ratio.default, ratio.max, attack.unit, attack.scale) == (4.0, 50.0, "ms", "log")
    effect.set(ratio.id, 8)
    inner["compressor"].ratio = 8
    assert np.abs(rack(x, RATE) - inner(x, RATE)).max() < 1e-4  # as near as the texts tell the ratio


def test_one_plugin_in_three_formats_is_the_same(tmp_path, monkeypatch):
    if not ZAM.is_file():
        pytest.skip(f"{ZAM} is missing: install zam-plugins")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    x = music(1, 30000, RATE, 7)
    of_lv2 = tr.Plugin("ZamComp", thr=-30, rat=6)
    assert of_lv2.uri == "urn:zamaudio:ZamComp"  # the LV2 one, where a name has several formats
    y = tr.Rack([of_lv2])(x, RATE)
    assert not np.array_equal(x, y)
    for uri in ("clap:com.zamaudio.ZamComp", "vst3:2046504473616C63504D435A00000000"):
        other = tr.Plugin(uri, threshold=-30, ratio=6)
        assert other.card.sidechain == of_lv2.card.sidechain
        assert np.abs(tr.Rack([other])(x, RATE) - y).max() < 1e-6  # CLAP to the bit, VST3 but for its positions of 32 bits
        report = check_plugin(uri)
        assert report.is_usable, report


def test_files_that_cannot_be_used_are_a_sentence_each(framed, tmp_path):
    listed = framed("clap")
    folder, good = tmp_path / "clap", Path(listed.bundle)
    (folder / "text.clap").write_text("not a library")
    foreign = bytearray(good.read_bytes())
    foreign[18:20] = struct.pack("<H", 183 if foreign[18] != 183 else 62)  # the machine in an ELF file
    (folder / "foreign.clap").write_bytes(foreign)
    (folder / "small.clap").write_bytes(b"\x7fELF\x01" + bytes(foreign[5:]))
    code = 'extern "C" { int clap_entry_; }\nstruct A { A() { __builtin_trap(); } } a;'
    subprocess.run(["g++", "-x", "c++", "-", "-shared", "-fPIC", "-o", folder / "crash.clap"], input=code.encode(), check=True)
    subprocess.run(["g++", "-x", "c++", "-", "-shared", "-fPIC", "-o", folder / "other.clap"], input=b"int a;", check=True)
    other = tmp_path / "vst3/Other.vst3/Contents"
    (other / "arm7-linux").mkdir(parents=True)
    (other / "Resources").mkdir()
    (tmp_path / "vst3/Empty.vst3").mkdir()
    faults = {Path(p.bundle).name: p.problem for p in catalogue.plugins()}
    assert faults.pop("Framed.clap") == ""
    for name, words in {
        "text.clap": "cannot be loaded",
        "foreign.clap": "cannot be loaded",
        "small.clap": "wrong ELF class",
        "crash.clap": "crashed",
        "other.clap": "not a CLAP plugin: it has no clap_entry",
        "Other.vst3": "it has no library for x86_64-linux: there is arm7-linux",
        "Empty.vst3": "Contents is empty",
    }.items():
        assert words in faults.pop(name), name
    assert not faults
    text = run("plugins", "scan").stdout
    assert "1 of 8 plugins can be used" in text
    assert "text.clap" in text
    with pytest.raises(PluginError, match=r"text\.clap cannot be used: .*cannot be loaded"):
        tr.Plugin(str(folder / "text.clap"))
    with pytest.raises(PluginError, match=r"no plugin fits '/.*; `twinrack plugins list`"):
        tr.Plugin(str(folder / "none.clap"))


def test_only_what_changed_is_scanned_again(framed, monkeypatch, tmp_path):
    listed = framed("clap")
    copy = tmp_path / "clap/in a folder/Copy.clap"
    copy.parent.mkdir()
    shutil.copy(listed.bundle, copy)
    scanned = []
    scan = catalogue._scan
    monkeypatch.setattr(catalogue, "_scan", lambda path: scanned.append(path) or scan(path))
    assert catalogue.plugins() == [listed]
    assert scanned == [str(copy)]
    os.utime(copy, ns=(1, 1))
    assert catalogue.plugins() == [listed]
    assert scanned == [str(copy)] * 2
    copy.unlink()
    assert catalogue.plugins() == [listed]
    assert scanned == [str(copy)] * 2


def test_a_path_is_not_in_the_patch(framed, tmp_path, monkeypatch):
    """A patch names an address only: what lies beside it is not loaded unless somebody has asked for it in this program."""
    listed = framed("clap")
    elsewhere = tmp_path / "mine/Framed.clap"
    elsewhere.parent.mkdir()
    shutil.move(listed.bundle, elsewhere)
    rack = tr.Rack([tr.Plugin(str(elsewhere))])
    rack.save(elsewhere.with_name("a.rack.json"))
    assert str(elsewhere) not in elsewhere.with_name("a.rack.json").read_text()
    x = music(2, 1000, RATE)
    assert np.array_equal(tr.load(elsewhere.with_name("a.rack.json"))(x, RATE), rack(x, RATE))
    pickled = pickle.dumps(rack)
    monkeypatch.setattr(catalogue, "_by_path", {})
    with pytest.raises(ValueError, match=r"'Framed gain' \('clap:test.twinrack.dpf'\) is not on this machine"):
        tr.load(elsewhere.with_name("a.rack.json"))
    assert np.array_equal(pickle.loads(pickled)(x, RATE), rack(x, RATE))


def test_the_same_plugin_in_two_folders_and_names_that_are_no_text(framed, tmp_path):
    listed = framed("clap")
    other = tmp_path / "clap/again/Framed.clap"
    other.parent.mkdir()
    shutil.copy(listed.bundle, other)
    shutil.copy(listed.bundle, os.fsdecode(os.fsencode(tmp_path / "clap") + b"/\xff.clap"))
    (tmp_path / os.fsdecode(b"clap/\xfe.clap")).write_text("nothing")
    assert [p.uri for p in catalogue.plugins() if not p.problem] == [listed.uri]
    assert tr.Plugin(listed.uri).uri == listed.uri


def test_a_patch_never_loads_a_file(framed, tmp_path, monkeypatch):
    framed("clap")
    patch = tmp_path / "a.rack.json"
    tr.Rack([tr.Plugin("framed gain")]).save(patch)
    shutil.copy(catalogue.find("framed gain").bundle, tmp_path / "evil.clap")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "_scan", lambda path: pytest.fail(f"{path} was loaded"))
    for address in ("evil.clap", str(tmp_path / "evil.clap"), "./evil.clap"):
        patch.write_text(patch.read_text().replace("clap:test.twinrack.dpf", address))
        with pytest.raises(ValueError, match="is not on this machine"):
            tr.load(patch)
        patch.write_text(patch.read_text().replace(address, "clap:test.twinrack.dpf"))


def test_names_beyond_ascii(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tr.export(tr.Rack([tr.Compressor(key="é€𝄞")]), tmp_path / "own.vst3")
    names = [p.name for p in catalogue.describe(catalogue.find(str(tmp_path / "own.vst3"))).audio(True)]
    assert "é€𝄞 1" in names


def sampled(*samples: tuple[float, float | None, str], steps: bool = False, default: float = 0.0) -> Port:
    """A control as CLAP and VST3 declare it: numbers, in the unit where it is known, and as text."""
    data = {
        "index": 0, "symbol": "", "name": "A", "is_input": True, "default": default, "integer": steps, "enumeration": False,
        "samples": samples, "group": "", "designation": "", "unit_symbol": "", "number": 7, "kind": "control",
    }  # fmt: skip
    whole = {"uri": "vst3:x", "name": "X", "author": "", "class": "", "bundle": "", "missing": [], "presets": []}
    d = description({**whole, "reports_latency": True, "hears_midi": False, "ports": [data]}, RATE)
    return d.ports[0]


def test_controls_from_their_texts():
    hertz = [(n / 8, None, f"{20 * 2**n} Hz" if n < 7 else f"{20 * 2**n / 1000} kHz") for n in range(9)]
    p = sampled(*hertz, default=0.5)
    assert (p.min, p.max, p.default, p.unit, p.is_log) == (20, 5120, 320, "Hz", True)
    off = sampled((0.0, None, "Off"), *hertz[1:], default=0.0)
    assert (off.min, off.default, off.unit) == (20, 20, "Hz")  # where the next one would be, so that it can be chosen
    assert off.positions.owns[0] == 0.0
    fader = sampled((0.0, None, "-inf dB"), (0.5, None, "-30.0 dB"), (1.0, None, "0.0 dB"), default=1.0)
    assert (fader.min, fader.max, fader.unit) == (-60, 0, "dB")
    assert sampled((0, None, "Off"), (1, None, "On"), steps=True).is_switch
    for a, b in (("On", "Off"), ("Mono", "Stereo")):
        p = sampled((0, None, a), (1, None, b), steps=True)
        assert not p.is_switch
        assert p.options == {a: 0.0, b: 1.0}
    notes = sampled((0, None, "1/1"), (0.5, None, "1/2"), (1, None, "1/4"), steps=True)
    assert list(notes.options) == ["1/1", "1/2", "1/4"]
    assert not sampled((0, 20.0, ""), (1, 40.0, ""), steps=True).is_switch
    falls = sampled((0, 10.0, ""), (0.5, 5.0, ""), (1, 0.0, ""), default=0.0)
    assert (falls.min, falls.max, falls.default) == (0, 10, 10)


@needs_jack
@pytest.mark.alone
@both
def test_live_a_killed_one_comes_back_with_its_values(framed, format):
    framed(format)
    effect = tr.Plugin("framed gain", gain=-6.0206)
    assert effect.latency_frames == 2 * 256 + 32
    with Running(tr.Rack([effect])) as running:
        running.until(0.125)
        assert effect.latency_frames == 2 * max(BLOCK, 64) + 32  # that of the device
        effect.gain = 6.0206
        running.until(0.5)
        os.kill(effect.pids[-1], signal.SIGKILL)
        end = time.monotonic() + 5
        while effect.restarts < 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert effect.restarts == 1
        running.until(0.5)
