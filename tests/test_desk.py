"""Changing everything while it sounds: undo, snapshots, morphs, A and B, presets, edited files; by MIDI and by OSC."""

from __future__ import annotations

import socket
import threading
import time

import numpy as np
import pytest

import twinrack as tr
from jack_support import BLOCK, RATE, Probe, jack_server, needs_jack
from twinrack.stage.desk import Desk

pytestmark = needs_jack


@pytest.fixture(scope="module")
def server():
    with jack_server() as running:
        yield running.name


@pytest.fixture
def stream(server):
    rack = tr.Rack([tr.Gain(gain_db=-6), tr.Compressor(threshold_db=-20), tr.ParametricEQ()], name="voice")
    with tr.live(rack, block_size=BLOCK) as running:
        yield running


@pytest.fixture
def desk(stream, tmp_path):
    found = Desk(stream, tmp_path)
    yield found
    found.close()


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def test_set_undo_redo(desk, stream):
    told = []
    end = desk.subscribe(told.append)
    for value in np.linspace(-6, 3, 20):
        desk.set("gain.gain_db", float(value))
    desk.set("compressor.bypass", True)
    desk.set("parametric_eq.band1.type", "bell")
    assert (desk.get("gain.gain_db"), desk.get("compressor.bypass")) == (3.0, True)
    assert told[0]["set"] == "gain.gain_db"
    assert {"set": "compressor.bypass", "to": True, "source": ""} in told
    assert desk.undo() == "set parametric_eq.band1.type"
    desk.undo()
    assert desk.get("compressor.bypass") is False
    assert desk.undo() == "set gain.gain_db"  # one gesture, one step
    assert desk.get("gain.gain_db") == -6.0
    desk.redo()
    assert desk.get("gain.gain_db") == 3.0
    desk.redo()
    assert desk.get("compressor.bypass") is True
    end()
    count = len(told)
    desk.set("gain.gain_db", 0.0)
    assert len(told) == count
    desk.set_position("gain.gain_db", 0.5)
    assert desk.get("gain.gain_db") == pytest.approx(-38.0)
    assert desk.position("parametric_eq.band1.frequency_hz") == pytest.approx(
        tr.CARDS["parametric_eq"].addresses["band1.frequency_hz"].position(desk.get("parametric_eq.band1.frequency_hz"))
    )
    desk.set("level_db", -3.0)
    desk.set("mute", True)
    assert stream.lines["voice"].mute
    desk.undo()
    desk.undo()
    assert stream.lines["voice"].level_db == 0.0
    assert not stream.lines["voice"].mute
    for address, value, words in (
        ("gain.gain", 1, "did you mean 'gain_db'"),
        ("gian.gain_db", 1, "did you mean 'gain'"),
        ("other/gain.gain_db", 1, "no line 'other'"),
        ("gain.gain_db", 99, "is above 24"),
    ):
        with pytest.raises(ValueError, match=words):
            desk.set(address, value)
    for _ in range(len(desk._undo)):
        desk.undo()
    with pytest.raises(ValueError, match="nothing to undo"):
        desk.undo()
    assert desk.get("gain.gain_db") == -6.0


def test_structure_and_its_undo(desk, stream):
    rack = stream.rack
    assert desk.add("saturation", 1) == "saturation"
    assert list(rack.addresses()) == ["gain", "saturation", "compressor", "parametric_eq"]
    desk.move("saturation", 3)
    assert list(rack.addresses()) == ["gain", "compressor", "parametric_eq", "saturation"]
    desk.remove("gain")
    assert list(rack.addresses()) == ["compressor", "parametric_eq", "saturation"]
    for expected in (4, 4, 3):
        desk.undo()
        assert len(rack.addresses()) == expected
    assert stream.rack is rack
    with pytest.raises(ValueError, match="did you mean 'saturation'"):
        desk.add("saturations")
    until(lambda: "gain" in stream.meters())


def test_snapshots_and_morphs(desk):
    desk.snapshot("quiet")
    desk.set("gain.gain_db", 6.0)
    desk.set("parametric_eq.band1.frequency_hz", 4000.0)
    desk.set("parametric_eq.band2.type", "notch")
    desk.snapshot("loud")
    with pytest.raises(ValueError, match="there is no snapshot 'x'"):
        desk.recall("x")
    desk.morph("quiet", "loud", 0.25)
    assert desk.get("gain.gain_db") == pytest.approx(-3.0)
    assert desk.get("parametric_eq.band2.type") != "notch"
    desk.morph("quiet", "loud", 1.0)
    assert desk.get("gain.gain_db") == 6.0
    assert desk.get("parametric_eq.band2.type") == "notch"
    desk.recall("quiet", seconds=3.0)
    until(lambda: -6.0 < desk.get("gain.gain_db") < 6.0)
    until(lambda: desk.get("gain.gain_db") == -6.0)
    desk.recall("loud", seconds=1.0)
    time.sleep(0.2)
    desk.undo()  # ends the morph
    time.sleep(0.3)
    assert desk.get("gain.gain_db") == -6.0
    desk.add("gain")
    with pytest.raises(ValueError, match="differ from the present structure"):
        desk.morph("quiet", "loud", 0.5)
    desk.recall("quiet")
    assert len(desk.stream.rack.addresses()) == 3


def test_a_and_b(desk, stream):
    desk.set("gain.gain_db", -1.0)
    assert desk.switch() == "B"
    assert desk.get("gain.gain_db") == -1.0
    desk.set("gain.gain_db", -20.0)
    desk.add("gate")
    desk.switch("A")
    assert desk.get("gain.gain_db") == -1.0
    assert "gate" not in stream.rack.addresses()
    desk.switch("B")
    assert desk.get("gain.gain_db") == -20.0
    assert "gate" in stream.rack.addresses()


def test_presets_and_an_edited_file(desk, stream, tmp_path):
    desk.save("one")
    tr.Rack([tr.Gain(gain_db=-40), tr.FDNReverb()], name="two").save(tmp_path / "two.rack.json")
    assert desk.presets() == ["one", "two"]
    with pytest.raises(FileExistsError, match="there is a preset 'one' already"):
        desk.save("one")
    assert desk.program(1) == "two"
    assert list(stream.rack.addresses()) == ["gain", "fdn_reverb"]
    assert stream.rack.name == "two"
    desk.load("one")
    assert desk.get("gain.gain_db") == -6.0
    for bad in ("../one", "", ".one", "a/b"):
        with pytest.raises(ValueError, match="is no name of a preset"):
            desk.load(bad)
    with pytest.raises(FileNotFoundError):
        desk.load("three")
    path = tmp_path / "two.rack.json"
    desk.follow(path)
    path.write_text(path.read_text().replace("-40", "-30"))
    until(lambda: "gain" in stream.rack.addresses() and desk.get("gain.gain_db") == -30.0)
    path.write_text(path.read_text().replace("-30", "-3000"))
    until(lambda: any("is refused, the sound goes on" in e.words for e in stream.events))
    assert desk.get("gain.gain_db") == -30.0
    assert stream.active


def test_many_at_once_and_the_sound_goes_on(desk, stream):
    """A storm from several threads: nothing breaks, and what is heard at the end is what is set at the end."""
    wrong: list[BaseException] = []

    def storm(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(150):
                what = rng.integers(6)
                if what < 3:
                    desk.set("gain.gain_db", float(rng.uniform(-20, 0)))
                elif what == 3:
                    desk.switch()
                elif what == 4:
                    desk.undo()
                else:
                    desk.set("compressor.bypass", bool(rng.integers(2)))
        except ValueError as error:
            if "nothing to undo" not in str(error):
                wrong.append(error)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    desk.set("compressor.bypass", True)
    desk.set("parametric_eq.bypass", True)
    desk.set("gain.gain_db", -12.0412)
    time.sleep(0.2)
    probe = Probe(stream._host._client.name and server_name(), 2, RATE)
    try:
        heard = probe.play(np.full((2, 2 * RATE), 0.5, np.float32))
    finally:
        probe.close()
    assert heard[0, -1] == pytest.approx(0.125, rel=1e-3)


def server_name() -> str:
    import os

    return os.environ["JACK_DEFAULT_SERVER"]


# --- MIDI -----------------------------------------------------------------------------------------------------------------


def midi(desk, **options):
    pytest.importorskip("rtmidi", reason="python-rtmidi is not installed")
    from twinrack.stage.midi import Midi

    return Midi(desk, **options)


def test_a_control_is_learned_and_takes_hold_without_a_jump(desk, stream, tmp_path):
    import mido

    controls = midi(desk, file=tmp_path / "controls.midi.json")
    cc = lambda value, control=21: controls.receive(mido.Message("control_change", channel=2, control=control, value=value))  # noqa: E731
    cc(64)
    assert desk.get("gain.gain_db") == -6.0
    controls.learn("gain.gain_db")
    assert controls.learning == "gain.gain_db"
    cc(0)  # learned; far from the value, so it does not take hold
    assert controls.map == {(2, 21): "gain.gain_db"}
    assert desk.get("gain.gain_db") == -6.0
    for value in range(0, 128, 4):  # comes by the value and takes hold
        cc(value)
    assert desk.get("gain.gain_db") > 15
    desk.set("gain.gain_db", -50.0)  # somebody else moves it
    cc(100)
    assert desk.get("gain.gain_db") == -50.0
    cc(20)  # past the value
    assert desk.get("gain.gain_db") == pytest.approx(-100 + 124 * 20 / 127)
    controls.bind(0, 7, "compressor.bypass")
    controls.receive(mido.Message("control_change", channel=0, control=7, value=127))
    assert desk.get("compressor.bypass") is True
    again = midi(desk, file=tmp_path / "controls.midi.json")
    assert again.map == controls.map
    controls.forget("gain.gain_db")
    assert controls.map == {(0, 7): "compressor.bypass"}
    (tmp_path / "broken.midi.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no learned MIDI controls"):
        midi(desk, file=tmp_path / "broken.midi.json")
    desk.save("a")
    controls.receive(mido.Message("program_change", program=7))
    assert "there is no preset 7" in stream.events[-1].words
    controls.bind(1, 1, "gain.gain_db")
    for value in (0, 127):
        controls.receive(mido.Message("control_change", channel=1, control=1, value=value))
    tr.Rack([tr.Gain(gain_db=-40), tr.Gate()], name="b").save(desk.folder / "b.rack.json")
    desk.load("b")  # another structure: no control holds a value any more
    controls.receive(mido.Message("control_change", channel=1, control=1, value=126))
    assert desk.get("gain.gain_db") == -40.0
    controls.receive(mido.Message("note_on", note=60))
    jumps = midi(desk, takeover="jump")
    jumps.bind(0, 1, "gain.gain_db")
    jumps.receive(mido.Message("control_change", channel=0, control=1, value=127))
    assert desk.get("gain.gain_db") == 24.0


def test_a_real_port(desk, stream):
    """Virtual ports, of ALSA where there is a sequencer, else of JACK: what is sent to one arrives and moves the sound."""
    from twinrack.stage import midi as module

    pytest.importorskip("rtmidi", reason="python-rtmidi is not installed")
    mido = pytest.importorskip("mido")
    if not list(module._backends()):
        pytest.skip("there is no MIDI system here (no ALSA sequencer, no JACK)")
    controls = midi(desk, takeover="jump")
    controls.bind(0, 10, "gain.gain_db")
    desk.save("a")
    tr.Rack([tr.Gain(gain_db=-33)], name="b").save(desk.folder / "b.rack.json")
    with module.virtual_output("faders") as out:
        until(lambda: any("faders" in name for name in module.ports()))
        name = controls.open("faders")
        assert "faders" in name
        out.send(mido.Message("control_change", channel=0, control=10, value=0))
        until(lambda: desk.get("gain.gain_db") == -100.0)
        out.send(mido.Message("program_change", program=1))
        until(lambda: desk.get("gain.gain_db") == -33.0)
        with pytest.raises(OSError, match="no MIDI input is called 'nobody'"):
            controls.open("nobody")
    controls.close()


# --- OSC ------------------------------------------------------------------------------------------------------------------


class OscPeer:
    """A program that speaks OSC."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(20.0)
        self.to = ("127.0.0.1", port)

    def send(self, path: str, *arguments) -> None:
        from pythonosc.osc_message_builder import OscMessageBuilder

        builder = OscMessageBuilder(path)
        for argument in arguments:
            builder.add_arg(argument)
        self.socket.sendto(builder.build().dgram, self.to)

    def receive(self, path: str) -> list:
        from pythonosc.osc_message import OscMessage

        while True:
            message = OscMessage(self.socket.recv(65536))
            if message.address == path:
                return list(message.params)


def test_osc(desk, stream):
    pytest.importorskip("pythonosc", reason="python-osc is not installed")
    from twinrack.stage.osc import Osc

    osc = Osc(desk, port=0)
    peer, other = OscPeer(osc.port), OscPeer(osc.port)
    try:
        peer.send("/gain/gain_db", -9.0)
        until(lambda: desk.get("gain.gain_db") == -9.0)
        peer.send("/parametric_eq/band1/type", "low_shelf")
        until(lambda: desk.get("parametric_eq.band1.type") == "low_shelf")
        peer.send("/compressor/bypass", 1)
        until(lambda: desk.get("compressor.bypass") is True)
        peer.send("/gain/gain_db")
        assert peer.receive("/gain/gain_db") == [-9.0]
        peer.send("/twinrack/addresses")
        assert peer.receive("/twinrack/address")[0].startswith("/gain/")
        assert peer.receive("/twinrack/addresses") == [len(desk.addresses())]
        peer.send("/gain/gain_db", 99.0)
        assert "above 24" in peer.receive("/twinrack/error")[0]
        peer.send("/gain/nothing", 1.0)
        assert "no such address" in peer.receive("/twinrack/error")[0]
        other.send("/twinrack/subscribe")
        other.receive("/twinrack/subscribed")
        peer.send("/gain/gain_db", -12.0)
        assert other.receive("/gain/gain_db") == [-12.0]
        assert len(other.receive("/meter/gain")) == 3
        for garbage in (b"", b"\0" * 7, b"/x", b"#bundle\0", bytes(range(256)), b"/gain/gain_db\0\0\0,s\0\0no\0\0"):
            peer.socket.sendto(garbage, peer.to)
        peer.send("/twinrack/undo")
        until(lambda: desk.get("gain.gain_db") != -12.0)
        with pytest.raises(OSError, match="cannot be opened"):
            Osc(desk, port=osc.port)
    finally:
        osc.close()
