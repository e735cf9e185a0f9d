"""Live, on a real JACK server with its dummy driver: what comes out is what the offline render says, bit for bit."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

import twinrack as tr
from jack_support import BLOCK, RATE, Probe, jack_server, needs_jack
from support import error_db, music
from twinrack.stage.desk import Desk
from twinrack.stage.replay import replay
from twinrack.stage.stream import open_streams

pytestmark = needs_jack


@pytest.fixture(scope="module")
def server():
    with jack_server() as running:
        yield running.name


def first_sound(x: np.ndarray) -> int:
    return int(np.argmax(np.abs(x).max(0) > 0))


def aligned(heard: np.ndarray, rendered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both from their first sound on."""
    a, b = heard[:, first_sound(heard) :], rendered[:, first_sound(rendered) :]
    length = min(a.shape[1], b.shape[1])
    return a[:, :length], b[:, :length]


def test_what_comes_out_is_the_offline_render_bit_for_bit(server):
    rack = tr.Rack(
        [
            tr.ParametricEQ(bands=[tr.Band("low_shelf", frequency_hz=120, gain_db=3), tr.Band("bell", gain_db=-6)]),
            tr.Compressor(threshold_db=-30, ratio=4, lookahead_ms=2),
            tr.FDNReverb(mix=0.3, modulation_depth=0),  # modulation runs on from the stream's start, which is not known here
            tr.Gain(gain_db=-2),
        ]
    )
    x = music(2, 5 * RATE, RATE, 5)
    with tr.live(rack, block_size=BLOCK) as stream:
        assert stream.sample_rate == RATE
        time.sleep(0.2)  # the fade at the start is over
        probe = Probe(server, 2, 6 * RATE)
        try:
            heard = probe.play(x)
        finally:
            probe.close()
        assert stream.frames >= 6 * RATE
    rendered = rack(x, RATE, tail=2.0)
    a, b = aligned(heard, rendered)
    assert a.shape[1] > 5 * RATE
    # When the sound has ended, effects fall asleep on the stream's grid, which the offline render does not share.
    ends = 5 * RATE - first_sound(x)
    assert np.array_equal(a[:, :ends], b[:, :ends])
    assert np.max(np.abs(a[:, ends:] - b[:, ends:])) < 1e-7
    delay = first_sound(heard) - first_sound(rendered)
    print(f"JACK, {BLOCK} frames: {ends} frames × 2 equal bit for bit; {delay} frames later, 96 of them lookahead")


def test_parameters_bypass_and_structure_reach_the_sound(server):
    rack = tr.Rack([tr.Gain()])
    x = np.full((2, 2 * RATE), 0.5, np.float32)
    with tr.live(rack, block_size=BLOCK) as stream:
        probe = Probe(server, 2, RATE // 2)
        try:
            time.sleep(0.1)
            assert probe.play(x)[0, -1] == 0.5
            stream.rack["gain"].gain_db = -20
            assert probe.play(x)[0, -1] == pytest.approx(0.05, rel=1e-5)
            rack["gain"].bypass = True
            assert probe.play(x)[0, -1] == 0.5
            rack.append(tr.Gain(gain_db=-6.0206))
            assert probe.play(x)[0, -1] == pytest.approx(0.25, rel=1e-5)
            meters = stream.meters()
            assert meters["gain_2"].peak_in_db == pytest.approx(-6.02, abs=0.01)
        finally:
            probe.close()


def test_it_fades_in_and_out(server):
    rack = tr.Rack([tr.Gain()])
    stream = tr.live(rack, block_size=BLOCK)
    probe = None
    x = np.full((2, 4 * RATE), 0.5, np.float32)
    try:
        stream.start()
        probe = Probe(server, 2, 2 * RATE)
        take = probe.begin(x)
        time.sleep(0.5)
        stream.stop()
        time.sleep(0.1)
        heard = take.heard[0, : take.recorded]
    finally:
        if probe is not None:
            probe.close()
    loud = np.flatnonzero(heard > 0.49)
    after = heard[loud[-1] :]
    falling = after[: np.argmax(after == 0.0)]
    assert 0.6 * 480 < len(falling) <= 520  # 10 ms down to silence, no step
    assert np.max(np.abs(np.diff(falling))) < 0.01


def test_reports_and_refusals(server):
    rack = tr.Rack([tr.Gain()])
    names = [str(d) for d in tr.devices()]
    assert any("JACK" in name for name in names)
    with pytest.raises(OSError, match="cannot run at 44100 Hz; use --rate 48000"):
        tr.live(rack, sample_rate=44100)
    with pytest.raises(OSError, match="no input device is called 'sistem'; did you mean 'system'"):
        tr.live(rack, input="sistem")
    with pytest.raises(OSError, match="there is no device 99"):
        tr.live(rack, output=99)
    with pytest.raises(ValueError, match="block_size must be an integer from 1 to 8192, got 0"):
        tr.live(rack, block_size=0)
    with pytest.raises(ValueError, match="sidechain"):
        tr.live(tr.Rack([tr.Compressor(key="voice")]))
    with tr.live(rack, block_size=BLOCK, channels=1) as stream:
        time.sleep(0.2)
        assert stream.active
        assert stream.frames > 0
        assert 0 < stream.latency_ms < 50


def measured(rack: tr.Rack, done: Callable[[tr.LiveStream], bool]) -> tuple[float, float, int]:
    """A rack plays noise until something has happened: the load, and what part of the callbacks overran; and the dropouts."""
    noise = music(2, RATE, RATE, 6)  # on silence its effects would sleep
    with tr.live(rack, block_size=BLOCK, play=noise) as stream:
        end = time.monotonic() + 20.0
        while not (stream.frames > RATE // 4 and done(stream)) and time.monotonic() < end:
            time.sleep(0.02)
        return stream.cpu_load, stream.late_callbacks / stream.load["callbacks"], stream.xruns


def test_load_overruns_and_dropouts_are_counted(server):
    """Heavier racks load the callback more; one that needs longer than its block overruns, and the server reports dropouts."""
    reverb = tr.Rack([tr.FDNReverb()])
    reverb.prepare(RATE, 2)
    block = music(2, BLOCK, RATE, 7)
    times = []
    for _ in range(500):
        began = time.perf_counter()
        reverb.process(block)
        times.append(time.perf_counter() - began)
    most = BLOCK / RATE / float(np.median(times))  # reverbs that fill a block's time
    light, _, _ = measured(tr.Rack([tr.Gain()]), lambda stream: True)
    half, few, _ = measured(tr.Rack([tr.FDNReverb() for _ in range(round(0.3 * most))]), lambda stream: True)
    over, many, dropouts = measured(tr.Rack([tr.FDNReverb() for _ in range(round(3 * most))]), lambda stream: stream.xruns > 0)
    print(f"load {light:.4f}, {half:.2f}, {over:.2f}; overran {few:.3f}, {many:.3f}; {dropouts} dropouts")
    assert 0 < light < 0.3
    assert 2 * light < half < over / 2
    assert over > 1.0
    assert few < 0.5 < many
    assert dropouts > 0


def clients(server: str) -> list[str]:
    ports = subprocess.run(["jack_lsp", "-s", server], capture_output=True, text=True, check=True).stdout.split()
    return sorted({port.split(":")[0] for port in ports if port.startswith("twinrack")})


@pytest.mark.parametrize("started", [False, True])
def test_a_stream_that_nobody_holds_ends(server, started):
    """As a cell of a notebook that is run again: at any time one client plays, and the racks are free."""
    for _ in range(3):
        rack = tr.Rack([tr.Gain()])
        stream = tr.live(rack, block_size=BLOCK)
        if started:
            stream.start()
        assert len(clients(server)) == 1
        mixer = stream.mixer.engine
    del stream
    assert not clients(server)
    assert not open_streams()
    before = mixer.frame
    time.sleep(0.1)
    assert mixer.frame == before
    rack.prepare(RATE, 2)


def test_a_stream_that_is_held_only_by_what_it_does_ends(server, tmp_path):
    """A take, a desk that was not closed, a watched file and a morph hold nothing."""
    rack = tr.Rack([tr.Gain()], name="held")
    rack.save(tmp_path / "held.rack.json")
    stream = tr.live(rack, block_size=BLOCK)
    stream.start()
    desk = Desk(stream, tmp_path)
    desk.follow(tmp_path / "held.rack.json")  # the former name of watch_patch
    desk.snapshot("a")
    desk.set("gain.gain_db", -20.0)
    desk.recall("a", seconds=60.0)
    take = stream.record(tmp_path / "take")
    time.sleep(0.2)
    del stream, desk
    assert not clients(server)
    assert not take.running
    assert not rack.running.listeners
    assert not rack.running.witnesses
    assert replay(tmp_path / "take").equal
    names = [thread.name for thread in threading.enumerate() if thread.name in ("twinrack-watch", "twinrack-record")]
    assert not names


def test_looking_for_devices_leaves_a_stream_alone(server):
    with tr.live(tr.Rack([tr.Gain()]), block_size=BLOCK) as stream:
        before = stream.mixer.engine.frame
        tr.devices()
        other = tr.live(tr.Rack([tr.Gain()]), block_size=BLOCK)
        time.sleep(0.2)
        assert stream.mixer.engine.frame > before
        other.stop()
        other.stop()  # twice does nothing
        with pytest.raises(RuntimeError, match="the stream was stopped"):
            other.start()


@pytest.mark.parametrize("how", ["end", "exit", "error", "with"])
def test_a_program_that_ends_leaves_the_server(server, how):
    script = (
        "import sys, time, twinrack as tr\n"
        f"s = tr.live(tr.Rack([tr.Gain()]), block_size={BLOCK}); s.start(); time.sleep(0.1)\n"
        + {"end": "", "exit": "sys.exit(3)", "error": "1 / 0", "with": "\nwith s: raise KeyError('x')"}[how]
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.returncode == {"end": 0, "exit": 3, "error": 1, "with": 1}[how]
    assert ("Traceback" in done.stderr) == (how in ("error", "with"))
    assert not clients(server)


def test_a_forked_process_leaves_the_parents_stream_alone(server):
    rack = tr.Rack([tr.Gain(), tr.Compressor()])
    with tr.live(rack, block_size=BLOCK) as stream:
        desk = Desk(stream)
        for ending in (lambda: os._exit(0), lambda: sys.exit(0)):
            child = os.fork()
            if child == 0:
                try:
                    stream.stop()
                    desk.set("gain.gain_db", -3.0)
                    rack.append(tr.Gain())
                    rack.prepare(RATE, 1)
                    rack.process(np.zeros(64, np.float32))
                    del stream, desk
                    gc.collect()
                except BaseException:
                    os._exit(1)
                with contextlib.suppress(SystemExit):
                    ending()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        before = stream.frames
        time.sleep(0.2)
        assert stream.frames > before
        assert stream.active
        assert desk.get("gain.gain_db") == 0.0


def test_what_holds_a_device_refuses_to_be_copied(server):
    with tr.live(tr.Rack([tr.Gain()]), block_size=BLOCK) as stream:
        for thing in (stream, Desk(stream)):
            for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match="cannot be copied or pickled"):
                    attempt(thing)


def test_a_live_rack_cannot_be_taken_for_something_else(server):
    rack = tr.Rack([tr.Gain()], name="vocal")
    with tr.live(rack, block_size=BLOCK):
        for action in (
            lambda: rack.prepare(RATE, 2),
            lambda: rack.process(np.zeros((2, 64), np.float32)),
            lambda: tr.live(rack, block_size=BLOCK),
        ):
            with pytest.raises(RuntimeError, match="rack 'vocal' plays live"):
                action()
        assert rack(np.zeros((2, 64), np.float32), RATE).shape == (2, 64)  # rendering is another matter
    rack.prepare(RATE, 2)


def test_the_command(server, tmp_path):
    rack = tr.Rack([tr.Gain(gain_db=-3)])
    rack.save(tmp_path / "a.rack.json")
    command = [sys.executable, "-m", "twinrack", "live", "--rack", str(tmp_path / "a.rack.json"), "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "system" in done.stdout
    listed = subprocess.run([sys.executable, "-m", "twinrack", "devices"], capture_output=True, text=True, timeout=60)
    assert "JACK" in listed.stdout


def test_the_command_plays_a_file(server, tmp_path):
    """A tone in a file comes out of the rack, half as loud; no microphone is asked for."""
    import soundfile

    tr.Rack([tr.Gain(gain_db=-6.0206)]).save(tmp_path / "a.rack.json")
    t = np.arange(2 * RATE) / RATE
    soundfile.write(tmp_path / "tone.wav", np.stack([0.5 * np.sin(2 * np.pi * 440 * t)] * 2, 1), RATE, "FLOAT")
    command = [sys.executable, "-m", "twinrack", "live", "--rack", str(tmp_path / "a.rack.json"), "--block", "64"]
    live = subprocess.Popen(
        [*command, "--play", str(tmp_path / "tone.wav"), "--seconds", "20"], stdout=subprocess.PIPE, text=True
    )
    try:
        for line in live.stdout:
            if "latency" in line:
                break
        probe = Probe(server, 2, RATE)
        heard = probe.begin(np.zeros((2, RATE), np.float32))
        assert heard.done.wait(30)
        probe.close()
    finally:
        live.terminate()
        live.wait(20)
    late = heard.heard[0, RATE // 2 :]  # the probe is Python, which may miss a block on a busy machine
    assert np.argmax(np.abs(np.fft.rfft(late))) == pytest.approx(220, abs=2)
    assert np.sqrt(np.mean(late**2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.2)
    refused = subprocess.run([*command, *["--play", "x.wav"] * 3], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2
    assert "--play was given 3 times" in refused.stderr


def test_without_a_server_one_sentence(tmp_path):
    tr.Rack([tr.Gain()]).save(tmp_path / "a.rack.json")
    command = [sys.executable, "-m", "twinrack", "live", "--rack", str(tmp_path / "a.rack.json")]
    environment = {**os.environ, "JACK_DEFAULT_SERVER": "nobody-is-here", "JACK_NO_START_SERVER": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    if done.returncode == 0:
        pytest.skip("this machine has an audio device beside JACK")
    assert done.returncode == 2
    assert "there is no audio device; plug one in, or start a server" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_training_is_heard_while_it_runs(server):
    """The stream follows the twin, plays the recording, and switches between what came in, the target and the rack."""
    seconds = 3
    x = music(2, seconds * RATE, RATE, 7)
    hidden = tr.Rack([tr.Gain(gain_db=-9), tr.Saturation(drive_db=12, oversampling="1")])
    y = hidden(x, RATE)
    start = tr.Rack([tr.Gain(), tr.Saturation(oversampling="1")])
    with tr.live(start.copy(), block_size=BLOCK, play=(x, y)) as stream:
        time.sleep(0.5)
        before, late = stream.frames, stream.xruns
        result = tr.fit(start, x, y, RATE, steps=60, window_s=1.0, live=stream, progress=False)
        assert stream.rack.isclose(result.rack)
        played, late = (stream.frames - before) // BLOCK, stream.xruns - late
        assert played > 0
        probe = Probe(server, 2, seconds * RATE)  # only now: it needs Python, which training holds
        try:
            silence = np.zeros((2, 1), np.float32)
            heard = {}
            for what in ("dry", "target", "rack"):
                stream.listen = what
                probe.play(silence)  # whatever rings on
                heard[what] = probe.play(silence)
        finally:
            probe.close()
    print(f"heard {played} blocks of {BLOCK} frames while it trained, {late} late")

    def difference_db(a: np.ndarray, b: np.ndarray) -> float:
        """Wherever in its loop the recording was."""
        spectra = [np.fft.rfft(s[0].astype(np.float64)) for s in (a, b)]
        place = int(np.argmax(np.fft.irfft(spectra[0] * np.conj(spectra[1]), a.shape[1])))
        turned = np.roll(b, place, 1)
        return error_db(a, turned)

    assert difference_db(heard["dry"], x) < -120
    assert difference_db(heard["target"], y) < -120
    assert difference_db(heard["rack"], result.rack(x, RATE)) < -60  # in a loop, so its beginning differs
    assert difference_db(heard["rack"], y) < -60
    with pytest.raises(ValueError, match="none of rack, dry, target"):
        stream.listen = "wet"
    with pytest.raises(ValueError, match="another rack than the one that is trained"):
        tr.fit(tr.Rack([tr.Gain()]), x, y, RATE, steps=1, live=stream, progress=False)


def test_two_lines_a_sidechain_and_their_addresses(server, tmp_path):
    """Each with inputs and outputs of its own; the second is turned down by what comes into the first's input."""
    voice = tr.Rack([tr.Gain(gain_db=-6.0206)], name="voice")
    bed = tr.Rack([tr.Compressor(threshold_db=-50, ratio=20, knee_db=0, attack_ms=1, key="voice")], name="bed")
    lines = [
        tr.Line(voice, inputs=[1], outputs=[1]),
        tr.Line(bed, inputs=[2], outputs=[2], sidechain={"voice": 1}, level_db=-6.0206),
    ]
    with tr.live(lines, block_size=BLOCK) as stream:
        desk = Desk(stream)
        time.sleep(0.2)
        probe = Probe(server, 2, RATE // 2)
        try:
            x = np.full((2, RATE), 0.5, np.float32)
            x[0] = 0.0
            heard = probe.play(x)
            assert heard[0, -1] == 0.0
            assert heard[1, -1] == pytest.approx(0.25, rel=1e-4)
            x[0] = 0.5
            heard = probe.play(x)
            assert heard[0, -1] == pytest.approx(0.25, rel=1e-4)
            assert heard[1, -1] < 0.01
            desk.set("voice/gain.gain_db", -26.0206)
            desk.set("bed/mute", True)
            heard = probe.play(x)
            assert heard[0, -1] == pytest.approx(0.025, rel=1e-3)
            assert heard[1, -1] == 0.0
            assert set(stream.meters()) == {"voice/gain", "bed/compressor"}
        finally:
            probe.close()
            desk.close()
        stream.record(tmp_path / "take")
        time.sleep(0.2)
        stream.level("bed", mute=False)
        time.sleep(0.2)
    assert replay(tmp_path / "take").equal
    for wrong, words in (
        ([tr.Line(tr.Rack([]), "a", inputs=[9])], "hears input 9; the device has inputs 1 to 2"),
        ([tr.Line(tr.Rack([]), "a"), tr.Line(tr.Rack([]), "a")], "the same name"),
        ([tr.Line(tr.Rack([]), "a", inputs=[1], outputs=[1, 2])], "1 inputs and 2 outputs"),
        ([], "needs a rack"),
    ):
        with pytest.raises(ValueError, match=words):
            tr.live(wrong, block_size=BLOCK)
    rack = tr.Rack([])
    with pytest.raises(ValueError, match="one rack is in two lines"):
        tr.live([tr.Line(rack, "a"), tr.Line(rack, "b")])
    with pytest.raises(ValueError, match="say which input that is"):
        tr.Line(tr.Rack([tr.Compressor(key="voice")]))
