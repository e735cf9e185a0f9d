"""Plugins that hear MIDI: messages at their frames, offline, in sessions and live; in all three formats."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import mido
import numpy as np
import pytest
from test_plugin_effect import Running

import twinrack as tr
from jack_support import needs_jack
from plugin_support import GOOD, RATE, needs_host
from twinrack.hosting.catalogue import describe
from twinrack.hosting.midi import message_text, score_of
from twinrack.hosting.plugin import HostedPlugin
from twinrack.session.clip import Clip
from twinrack.session.session import Session
from twinrack.stage.desk import Desk
from twinrack.stage.midi import Midi
from twinrack.stage.snapshot import restore_rack, same_build

pytestmark = needs_host
both = pytest.mark.parametrize("format", ["clap", "vst3"])
FAT1 = Path("/usr/lib/lv2/fat1.lv2")
SCORE = ((0.01, (0x90, 60, 100)), (0.015, (0xB0, 1, 64)), (0.016, (0xB0, 1, 32)), (0.02, (0x80, 60, 0)), (0.03, (0x90, 61, 0)))


def events(y: np.ndarray) -> list[tuple[int, int, float]]:
    """Channels and frames of what is not silence, and its size in thousandths."""
    return [(c, int(n), round(1000 * float(y[c, n]), 3)) for c in range(2) for n in np.flatnonzero(y[c])]


@both
def test_messages_come_at_their_frames(framed, format):
    assert describe(framed(format)).hears_midi
    effect = tr.Plugin("framed gain", listen=True, midi=SCORE)
    y = tr.Rack([effect])(np.zeros((2, 4800), np.float32), RATE)
    keys = [(0, 480, 60.0), (0, 960, -60.0)]
    # As MIDI has it, a key that is hit without velocity is let go; CLAP hands it over as it is.
    keys.append((0, 1440, 61.0) if format == "clap" else (0, 1440, -61.0))
    assert events(y) == [*keys, (1, 720, 64.0), (1, 768, 32.0)]
    silent = effect.copy()
    silent.midi = ()
    assert not tr.Rack([silent])(np.zeros((2, 4800), np.float32), RATE).any()


@both
def test_a_patch_keeps_them(framed, format, tmp_path):
    framed(format)
    rack = tr.Rack([tr.Plugin("framed gain", listen=True, midi=SCORE)])
    x = np.zeros((2, 4800), np.float32)
    y = rack(x, RATE)
    rack.save(tmp_path / "a.rack.json")
    loaded = tr.load(tmp_path / "a.rack.json")
    assert loaded[0] == rack[0]
    for other in (loaded, rack.copy(), pickle.loads(pickle.dumps(rack))):
        assert np.array_equal(other(x, RATE), y)
    assert "midi=…" in repr(rack[0])
    with HostedPlugin("framed gain", RATE, listen=True) as plugin:
        plugin.process(x)
        plugin.send_midi((0x90, 5, 1))
        assert events(plugin.process(x)) == [(0, 0, 5.0)]


def test_in_a_session_they_come_where_the_sound_comes(framed):
    framed("clap")
    late = tr.Plugin("framed gain", name="late", delay=40)
    session = Session("song", RATE)
    rack = [late, tr.Plugin("framed gain", listen=True, midi=SCORE)]
    session.add_track("a", clips=[Clip(np.zeros((2, 9600), np.float32), 0.0)], rack=rack)
    assert [n for _, n, _ in events(session.render())] == [480, 960, 1440, 720, 768]


def test_outside_of_one_too(framed):
    framed("clap")
    rack = tr.Rack([tr.Limiter(lookahead_ms=2), tr.Plugin("framed gain", name="late", delay=40)])
    rack.append(tr.Plugin("framed gain", listen=True, midi=SCORE))
    assert events(rack(np.zeros((2, 30000), np.float32), RATE))[0][1] == 480  # of a sound whose latency is removed


def test_racks_that_differ_in_them_are_not_the_same_but_for_values(framed):
    framed("clap")
    first, heard, faster = (tr.Rack([tr.Plugin("framed gain", **v)]) for v in ({}, {"midi": SCORE}, {"bpm": 90}))
    assert same_build(first, first.copy())
    assert not same_build(first, heard)
    assert not same_build(first, faster)
    restore_rack(first, heard)
    assert first[0].midi == heard[0].midi


def test_a_midi_file_is_followed(framed, tmp_path):
    framed("clap")
    file = mido.MidiFile(ticks_per_beat=480)
    tempo, notes = mido.MidiTrack(), mido.MidiTrack()
    tempo.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(60), time=0))
    notes += [mido.Message("note_on", note=64, time=24), mido.Message("program_change", program=3, time=0)]
    file.tracks += [tempo, notes]
    file.save(tmp_path / "a.mid")
    effect = tr.Plugin("framed gain", listen=True, midi=tmp_path / "a.mid")
    assert effect.midi == ((pytest.approx(0.05), "904040"), (pytest.approx(0.05), "c00300"))
    assert events(tr.Rack([effect])(np.zeros((2, 4800), np.float32), RATE)) == [(0, 2400, 64.0)]
    data = (tmp_path / "a.mid").read_bytes()
    (tmp_path / "film.mid").write_bytes(data[:12] + b"\xe7\x28" + data[14:])
    with pytest.raises(ValueError, match=r"film\.mid is not a MIDI file that can be read: its times are frames of film"):
        score_of(tmp_path / "film.mid")
    assert score_of(None) == ()
    (tmp_path / "b.mid").write_bytes(b"MThd nonsense")
    with pytest.raises(ValueError, match=r"b\.mid is not a MIDI file that can be read"):
        score_of(tmp_path / "b.mid")
    with pytest.raises(FileNotFoundError, match="there is no MIDI file"):
        score_of(str(tmp_path / "c.mid"))


def test_a_real_pitch_corrector_goes_to_the_held_key(tmp_path, monkeypatch):
    if not FAT1.is_dir():
        pytest.skip(f"{FAT1} is missing: install x42-plugins")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    t = np.arange(2 * RATE) / RATE
    x = 0.2 * sum(np.sin(2 * np.pi * 262.0 * k * t) / k for k in range(1, 10))[None].astype(np.float32)
    for key in (64, 59):
        effect = tr.Plugin("http://gareus.org/oss/lv2/fat1", midi=[(0.0, (0x90, key, 100))])
        y = tr.Rack([effect])(x, RATE)[0, RATE:]
        hertz = np.fft.rfftfreq(1 << 18, 1 / RATE)
        spectrum = np.where((hertz > 200) & (hertz < 400), np.abs(np.fft.rfft(y * np.hanning(y.size), 1 << 18)), 0)
        assert hertz[np.argmax(spectrum)] == pytest.approx(440 * 2 ** ((key - 69) / 12), rel=2e-3)


def test_what_is_no_message_is_said(odd):
    odd(GOOD)
    with pytest.raises(ValueError, match=r"Odd .* has no input for MIDI; leave midi= out"):
        tr.Plugin("odd", midi=SCORE)
    for message in (
        (0x90, 60),
        (0x90, 60, 128),
        (0x60, 1, 1),
        (0xF8, 0, 0),
        (0xC0, 1, 1),
        "nonsense",
        None,
        7.5,
        10**13,
        "90",
        "903c6400ffff",
    ):
        with pytest.raises(ValueError, match="is not a MIDI message of a channel"):
            message_text(message)
    assert message_text(mido.Message("pitchwheel", pitch=0)) == "e00040"
    for midi in ([(float("nan"), (0x90, 1, 1))], [(-1, (0x90, 1, 1))]):
        with pytest.raises(ValueError, match=r"midi\[0\] is at .* s; give 0 to 1e\+06 s"):
            score_of(midi)
    with pytest.raises(ValueError, match=r"midi\[0\] = 5 is not a pair of seconds and a message"):
        score_of([5])


@needs_jack
@pytest.mark.alone
def test_live_keys_that_move_nothing_else_are_heard(framed):
    framed("clap")
    effect = tr.Plugin("framed gain", listen=True)
    with Running(tr.Rack([effect])) as running:
        desk = Desk(running.stream)
        controls = Midi(desk)
        controls.bind(0, 61, "clap_framed_gain.gain", "velocity", "note")

        def heard(note: int) -> float:
            take = running.probe.begin(np.zeros((1, RATE // 5), np.float32))
            time.sleep(0.05)
            controls.receive(mido.Message("note_on", note=note, velocity=100))
            assert take.done.wait(20)
            return float(np.abs(take.heard).max())

        running.heard()
        assert heard(60) == pytest.approx(0.03)  # a mono rack hears the mean of two outputs
        assert heard(61) == 0.0
        assert effect.gain == pytest.approx(-60 + 72 * 100 / 127)
        desk.close()
