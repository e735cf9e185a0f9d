"""Changing everything while it sounds: undo, snapshots, morphs, A and B, presets, edited files; by MIDI and by OSC."""

from __future__ import annotations

import gc
import json
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
    for _ in range(desk.history.undo_steps):
        desk.undo()
    with pytest.raises(ValueError, match="nothing to undo"):
        desk.undo()
    assert desk.get("gain.gain_db") == -6.0


def test_structure_and_its_undo(desk, stream):
    rack = stream.rack
    assert desk.add("multiband_compressor/bass") == "crossover"
    desk.undo()
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
    assert desk.toggle_ab() == "B"
    assert desk.get("gain.gain_db") == -1.0
    desk.set("gain.gain_db", -20.0)
    desk.add("gate")
    desk.toggle_ab("A")
    assert desk.get("gain.gain_db") == -1.0
    assert "gate" not in stream.rack.addresses()
    desk.switch("B")  # the former name
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
        with pytest.raises(ValueError, match="cannot be the name of a preset"):
            desk.load(bad)
    with pytest.raises(FileNotFoundError):
        desk.load("three")
    path = tmp_path / "two.rack.json"
    desk.watch_patch(path)
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
                    desk.toggle_ab()
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
    probe = Probe(stream.host.name and server_name(), 2, RATE)
    try:
        heard = probe.play(np.full((2, 2 * RATE), 0.5, np.float32))
    finally:
        probe.close()
    assert heard[0, -1] == pytest.approx(0.125, rel=1e-3)


def server_name() -> str:
    import os

    return os.environ["JACK_DEFAULT_SERVER"]


# --- nothing without a bound, nothing that stays ------------------------------------------------------------------------


def test_a_closed_desk_hears_nothing_and_a_dropped_one_neither(desk, stream):
    before = len(stream.rack.running.listeners)
    told: list[dict] = []
    for drop in (False, True):
        for _ in range(20):
            other = Desk(stream)
            other.subscribe(told.append)
            if not drop:
                other.close()
                other.close()
        del other
        gc.collect()
        assert len(stream.rack.running.listeners) == before
    stream.rack["gain"].gain_db = -1.0
    assert not told
    moved = Desk(stream)
    stream.rack = tr.Rack([tr.Gain()])
    moved.close()  # also where another rack took over meanwhile
    assert len(stream.rack.running.listeners) == before


def exhaust(work) -> None:
    for _ in range(1000):
        work()


def test_snapshots_and_undo_have_a_bound(desk):
    for i in range(200):
        desk.snapshot(f"s{i}")
    desk.snapshot("s7")  # a name that is there takes no more
    with pytest.raises(ValueError, match="there are 200 snapshots already; forget one"):
        desk.snapshot("one more")
    desk.forget("s7")
    desk.snapshot("one more")
    with pytest.raises(ValueError, match="there is no snapshot 's7'") as caught:
        desk.forget("s7")
    assert len(str(caught.value)) < 300
    for name in ("", " ", "x" * 101, "a\nb", "\x1b[31m"):
        with pytest.raises(ValueError, match="a snapshot needs a name"):
            desk.snapshot(name)
    for i in range(500):
        desk.set(("gain.gain_db", "compressor.ratio")[i % 2], 1.0 + i / 100)
    for _ in range(3):
        for what in ("undo", "redo"):
            with pytest.raises(ValueError, match=f"nothing to {what}"):
                exhaust(getattr(desk, what))
    assert desk.history.undo_steps + desk.history.redo_steps <= 200


def test_everything_is_read_while_everything_changes(desk, stream):
    """Several threads change structure and values, others read: no address that is there is ever missing."""
    wrong: list[str] = []
    stop = threading.Event()
    rack = stream.rack

    def again(work) -> None:
        random = np.random.default_rng(threading.get_ident() % 1000)
        while not stop.is_set():
            try:
                work(random)
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}")
                return

    def structure(random) -> None:
        own = [f"{kind}_{threading.get_ident()}" for kind in ("gate", "saturation")]
        rack.append(tr.Gate(name=own[0]))
        rack.insert(int(random.integers(3)), tr.Saturation(name=own[1]))
        for name in own:
            rack.remove(name)

    def order(random) -> None:
        with rack.running.changing():
            rack.effects = tuple(sorted(rack.effects, key=lambda e: random.random()))

    def values(random) -> None:
        rack.set("compressor.ratio", float(random.uniform(1, 10)))
        rack["gain"].gain_db = float(random.uniform(-10, 0))
        rack["gain"].bypass = bool(random.integers(2))
        desk.set("compressor.threshold_db", float(random.uniform(-60, 0)))

    def read(random) -> None:
        assert {"gain", "compressor", "parametric_eq"} <= set(rack.addresses())
        assert {"gain", "compressor", "parametric_eq"} <= set(stream.meters("test"))
        assert "gain.gain_db" in rack.values()
        assert "compressor.bypass" in desk.addresses()
        assert len(rack.copy().effects) >= 3
        assert rack.get("compressor.ratio") >= 1.0
        assert len(rack.effects) >= 3
        assert "Gain" in repr(rack)
        rack.save(desk.folder / f"{threading.get_ident()}.rack.json")
        assert rack(np.zeros((2, 64), np.float32), RATE).shape == (2, 64)
        assert rack.copy() is not None
        rack.isclose(rack.copy())

    def states(random) -> None:
        desk.snapshot("a")
        assert desk.get("gain.gain_db") <= 0.0

    threads = [
        threading.Thread(target=again, args=(work,)) for work in (structure, structure, order, values, read, read, states)
    ]
    for thread in threads:
        thread.start()
    time.sleep(4.0)
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert not wrong
    with rack.running.changing():
        heard, told = len(rack.running.engine.meters()), len(rack.addresses())
    assert heard == told


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


def message(kind: str, **values):
    import mido

    return mido.Message(kind, **values)


def test_notes_and_buttons_are_learned(desk, stream):
    controls = midi(desk)
    note = lambda number, velocity=100: controls.receive(message("note_on", channel=9, note=number, velocity=velocity))  # noqa: E731
    off = lambda number: controls.receive(message("note_off", channel=9, note=number))  # noqa: E731
    controls.learn("gain.bypass")
    off(36)  # a key that is let go teaches nothing
    assert controls.learning == "gain.bypass"
    note(36)
    off(36)
    assert desk.get("gain.bypass") is True
    note(36, 1)  # toggles at each hit, however soft
    note(36, 0)  # a note off by another name
    assert desk.get("gain.bypass") is False
    controls.learn("gain.gain_db")
    note(40, 127)
    assert desk.get("gain.gain_db") == 24.0
    off(40)
    assert desk.get("gain.gain_db") == 24.0
    note(40, 64)
    assert desk.get("gain.gain_db") == pytest.approx(-100 + 124 * 64 / 127)
    controls.learn("compressor.channel_mode")
    options = desk.find("compressor.channel_mode").parameter.options
    seen = [desk.get("compressor.channel_mode")]
    for _ in range(len(options)):
        note(41)
        seen.append(desk.get("compressor.channel_mode"))
    assert seen[0] == seen[-1]
    assert set(seen) == set(options)
    controls.bind(9, 50, "compressor.bypass", "momentary", "note")
    note(50)
    assert desk.get("compressor.bypass") is True
    off(50)
    assert desk.get("compressor.bypass") is False
    controls.bind(9, 51, "compressor.bypass", "trigger", "note")
    for _ in range(2):
        note(51)
        assert desk.get("compressor.bypass") is True
    for address, mode in (("gain.gain_db", "toggle"), ("gain.gain_db", "momentary"), ("compressor.channel_mode", "momentary")):
        with pytest.raises(ValueError, match="use"):
            controls.learn(address, mode)
    with pytest.raises(ValueError, match="mode = 'sideways' of a note is none of toggle"):
        controls.bind(9, 51, "compressor.bypass", "sideways", "note")
    with pytest.raises(ValueError, match="channels are 0 to 15"):
        controls.bind(16, 1, "compressor.bypass")


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ([127, 0, 127, 0, 127, 0], "toggle", [1, 1, 0, 0, 1, 1]),  # a key that comes back
        ([127, 127, 127], "toggle", [1, 0, 1]),  # a pad that says only that it was hit
    ],
)
def test_a_button_finds_out_what_it_is(desk, values, mode, expected):
    controls = midi(desk)
    controls.learn("gain.bypass")
    seen = []
    for value in values:
        controls.receive(message("control_change", channel=0, control=80, value=value))
        seen.append(int(desk.get("gain.bypass")))
    assert controls.controls["control", 0, 80].mode == mode
    assert seen == expected


def test_a_switch_that_stays_is_followed(desk):
    controls = midi(desk)
    controls.learn("gain.bypass")
    for value, wait in ((127, 0.6), (0, 0.0), (127, 0.0), (0, 0.0)):
        controls.receive(message("control_change", channel=0, control=80, value=value))
        assert desk.get("gain.bypass") is (value > 0)
        time.sleep(wait)
    assert controls.controls["control", 0, 80].mode == "absolute"


CODES = {
    "relative_twos": lambda n: n % 128,
    "relative_offset": lambda n: 64 + n,
    "relative_sign": lambda n: n if n >= 0 else 64 - n,
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("fast", [1, 3])
def test_an_encoder_finds_out_its_code(desk, code, fast):
    """Turned to the right first: from then on each step moves the value by a 127th of its range, both ways, and stops at the
    ends."""
    controls = midi(desk)
    controls.learn("gain.gain_db")
    turn = lambda n: controls.receive(message("control_change", channel=0, control=16, value=CODES[code](n)))  # noqa: E731
    for _ in range(3):
        turn(1)
    for _ in range(40):
        turn(fast)
    turn(-fast)
    assert controls.controls["control", 0, 16].mode == code
    desk.set("gain.gain_db", -50.0)
    before = desk.position("gain.gain_db")
    for n in (1, fast, -1, fast, fast, -fast):
        turn(n)
    assert desk.position("gain.gain_db") == pytest.approx(before + 2 * fast / 127, abs=1e-6)
    for _ in range(300):
        turn(fast)
    assert desk.get("gain.gain_db") == 24.0
    for _ in range(300):
        turn(-fast)
    assert desk.get("gain.gain_db") == -100.0


@pytest.mark.parametrize("seed", range(20))
def test_a_fader_is_taken_for_no_encoder(desk, seed):
    """Moves of any width and speed, from anywhere: it is absolute, or its values are read as absolute until it is known."""
    random = np.random.default_rng(seed)
    controls = midi(desk, takeover="jump")
    controls.learn("gain.gain_db")
    at = int(random.integers(128))
    for _ in range(60):
        goal = int(random.integers(128))
        while at != goal:
            at += int(np.clip(goal - at, -1, 1)) * int(random.integers(1, min(4, abs(goal - at)) + 1))
            controls.receive(message("control_change", channel=0, control=7, value=at))
            assert desk.get("gain.gain_db") == pytest.approx(-100 + 124 * at / 127)
    assert controls.controls["control", 0, 7].mode == "absolute"


@pytest.mark.parametrize("code", CODES)
def test_an_encoder_moves_choices_and_switches(desk, code):
    controls = midi(desk)
    controls.bind(0, 16, "compressor.channel_mode", code)
    controls.bind(0, 17, "gain.bypass", code)
    turn = lambda n, c: controls.receive(message("control_change", channel=0, control=c, value=CODES[code](n)))  # noqa: E731
    options = desk.find("compressor.channel_mode").parameter.options
    for n, expected in ((-50, 0), (1, 1), (1, 2), (50, -1), (-1, -2)):
        turn(n, 16)
        assert desk.get("compressor.channel_mode") == options[expected]
    for n in (1, 1, -1, -1):
        turn(n, 17)
        assert desk.get("gain.bypass") is (n > 0)


def test_values_of_14_bits(desk):
    """In two controllers, found out or chosen, and as an NRPN; each takes hold without a jump."""
    controls = midi(desk)
    cc = lambda control, value: controls.receive(message("control_change", channel=0, control=control, value=value))  # noqa: E731
    controls.learn("gain.gain_db")
    for value in range(0, 16384, 100):
        cc(3, value >> 7)
        cc(35, value & 127)
    assert controls.controls["control", 0, 3].mode == "absolute_14"
    assert desk.get("gain.gain_db") == pytest.approx(-100 + 124 * 16300 / 16383, abs=1e-4)
    controls.learn("compressor.threshold_db")
    for value in range(0, 16384, 50):
        for control, part in ((99, 5), (98, 17), (6, value >> 7), (38, value & 127)):
            cc(control, part)
    assert controls.controls["nrpn", 0, 5 * 128 + 17].address == "compressor.threshold_db"
    p = desk.find("compressor.threshold_db").parameter
    assert desk.get("compressor.threshold_db") == pytest.approx(p.at(16350 / 16383), abs=1e-4)
    desk.set("compressor.threshold_db", -60.0)  # it slips out of hold
    cc(6, 127)
    cc(38, 127)
    assert desk.get("compressor.threshold_db") == -60.0
    assert (0, 98) not in controls.map
    assert (0, 6) not in controls.map


def test_what_was_learned_is_kept_and_older_files_are_read(desk, tmp_path):
    file = tmp_path / "controls.midi.json"
    controls = midi(desk, file=file)
    controls.bind(0, 16, "gain.gain_db", "relative_offset")
    controls.bind(9, 36, "gain.bypass", "toggle", "note")
    controls.bind(2, 700, "compressor.ratio", kind="nrpn")
    again = midi(desk, file=file)
    assert again.controls == controls.controls
    old = {"format": "twinrack.midi", "version": 1, "controls": [{"channel": 2, "control": 21, "address": "gain.gain_db"}]}
    file.write_text(json.dumps(old))
    again = midi(desk, file=file)
    assert again.map == {(2, 21): "gain.gain_db"}
    assert again.controls["control", 2, 21].mode == "absolute"
    new = {"kind": "control", "channel": 0, "number": 1, "address": "a", "mode": "absolute"}
    for change in ({"mode": "x"}, {"number": 200}, {"channel": "1"}, {"kind": "pedal"}, {"number": 1.5}, {"channel": True}):
        file.write_text(json.dumps({"format": "twinrack.midi", "version": 2, "controls": [{**new, **change}]}))
        with pytest.raises(ValueError, match="holds no learned MIDI controls"):
            midi(desk, file=file)


def test_a_real_port(desk, stream):
    """Virtual ports, of ALSA where there is a sequencer, else of JACK: what is sent to one arrives and moves the sound."""
    from twinrack.stage import midi as module

    pytest.importorskip("rtmidi", reason="python-rtmidi is not installed")
    mido = pytest.importorskip("mido")
    if not list(module.backends()):
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


def test_osc_answers_other_machines_only_when_they_subscribed_and_not_without_end(desk, monkeypatch):
    pytest.importorskip("pythonosc", reason="python-osc is not installed")
    from twinrack.stage import osc as module

    osc = module.Osc(desk, port=0)
    monkeypatch.setattr(desk.stream, "meters", lambda reader: {})
    sent: list[int] = []
    monkeypatch.setattr(osc, "transmit", lambda packet, client: sent.append(len(packet)))

    def bytes_for(request: str, client: tuple[str, int]) -> int:
        sent.clear()
        osc.receive(client, request)
        return sum(sent)

    try:
        far = ("192.0.2.7", 9000)
        for request in ("/twinrack/addresses", "/gain/gain_db", "/nothing", "/twinrack/nothing", "/meter"):
            assert bytes_for(request, far) == 0
        assert 0 < bytes_for("/twinrack/subscribe", far) < 100
        assert bytes_for("/twinrack/addresses", far) > 1000
        for _ in range(100):
            bytes_for("/twinrack/subscribe", far)  # asking again gives no more
        began = time.monotonic()
        answer_bytes = sum(bytes_for("/twinrack/addresses", far) for _ in range(100))
        assert answer_bytes <= (2 + time.monotonic() - began) * module.MOST_BYTES  # a busy machine needs seconds for these
        osc.subscribers[far].until = 0.0
        osc.end_leases()
        assert bytes_for("/twinrack/addresses", far) == 0
        near = ("127.0.0.1", 1)
        began = time.monotonic()
        answered = sum(bytes_for("/gain/gain_db", near) > 0 for _ in range(3 * module.MOST_MESSAGES))
        assert answered <= (1.1 + time.monotonic() - began) * module.MOST_MESSAGES
    finally:
        osc.close()


def test_osc_and_midi_that_nobody_holds_end(desk, stream):
    pytest.importorskip("pythonosc", reason="python-osc is not installed")
    from twinrack.stage.osc import Osc

    before = len(desk.listeners)
    osc = Osc(desk, port=0)
    port = osc.port
    controls = midi(desk)
    assert len(desk.listeners) == before + 2
    del osc, controls
    gc.collect()
    assert len(desk.listeners) == before
    until(lambda: not any(t.name.startswith("twinrack-osc") for t in threading.enumerate()))
    Osc(desk, port=port).close()


def test_hostile_osc_is_survived(desk, stream):
    """Packets of any bytes, floods and names: it answers afterwards, and nothing has grown."""
    pytest.importorskip("pythonosc", reason="python-osc is not installed")
    from twinrack.stage.osc import Osc

    osc = Osc(desk, port=0)
    random = np.random.default_rng(0)
    try:
        peer = OscPeer(osc.port)
        for _ in range(300):
            peer.socket.sendto(random.bytes(int(random.integers(0, 200))), ("127.0.0.1", osc.port))
        for i in range(400):
            peer.send("/twinrack/snapshot", f"n{i}")
        peer.send("/gain/gain_db", "loud")
        peer.send("/twinrack/recall", "n1", float("nan"))
        peer.send("/" + "x" * 5000)
        time.sleep(1.5)
        assert len(desk.snapshots) <= 200
        other = OscPeer(osc.port)
        other.send("/gain/gain_db")
        assert other.receive("/gain/gain_db") == [-6.0]
    finally:
        osc.close()


def test_the_trail_names_who_changed_a_patch(desk, stream, tmp_path):
    """Since it was last saved: MIDI, OSC, a page, Python."""

    def by(name: str) -> str:
        return json.loads((tmp_path / f"{name}.rack.json").read_text(encoding="utf-8"))["provenance"]["trail"][-1]["by"]

    desk.save("a")
    assert by("a") == "console"
    with desk.by("midi"):
        desk.set("gain.gain_db", -9.0)
    with desk.by("page 1"):
        desk.set("compressor.ratio", 5.0)
    desk.save("a", replace=True)
    assert by("a") == "console: MIDI, page"
    stream.rack["gain"].gain_db = -3.0
    with desk.by("osc 127.0.0.1"):
        desk.set("compressor.ratio", 4.0)
    desk.save("a", replace=True)
    assert by("a") == "console: OSC, Python"


def test_a_preset_is_one_step_of_undo(desk, stream):
    address = next(a for a in stream.rack.addresses() if a.startswith("compressor"))
    before = stream.rack[address].values()
    desk.apply_preset(address, "drum bus")
    assert stream.rack[address].attack_ms == 30
    desk.undo()
    assert stream.rack[address].values() == before
    with pytest.raises(ValueError, match="has no preset 'loud'; it has vocal"):
        desk.apply_preset(address, "loud")
