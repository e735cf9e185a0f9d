"""A server that is killed and comes back: the sound returns, what was set is kept, nothing hangs, nothing leaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import twinrack as tr
from jack_support import BLOCK, RATE, Probe, jack_server, needs_jack

pytestmark = needs_jack
KILLS = int(os.environ.get("TWINRACK_KILLS", "6"))


@pytest.fixture
def server():
    with jack_server() as running:
        yield running


def wait_for(condition, seconds: float = 20.0) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come"
        time.sleep(0.005)
    return time.monotonic() - began


def kinds(stream) -> list[str]:
    return [event.kind for event in stream.events]


@pytest.mark.parametrize(("rate", "block"), [(48000, 64), (44100, 128), (96000, 32)])
def test_the_sound_returns_with_what_was_set(server, rate, block):
    rack = tr.Rack([tr.Gain(gain_db=-20), tr.FDNReverb(mix=0.2), tr.Compressor()])
    with tr.live(rack, block_size=BLOCK) as stream:
        time.sleep(0.2)
        rack["gain"].gain_db = -6.0206
        rack["fdn_reverb"].bypass = True
        server.kill()
        lost = wait_for(lambda: "lost" in kinds(stream))
        assert not stream.active
        rack["compressor"].ratio = 1.0  # also what is changed while there is no sound holds
        server.start(rate, block)
        back = wait_for(lambda: "returned" in kinds(stream))
        assert stream.active
        assert (stream.sample_rate, stream.block_size) == (rate, block)
        assert (rack["gain"].gain_db, rack["compressor"].ratio, rack["fdn_reverb"].bypass) == (-6.0206, 1.0, True)
        time.sleep(0.1)
        probe = Probe(server.name, 2, rate)
        try:
            heard = probe.play(np.full((2, 2 * rate), 0.5, np.float32))
        finally:
            probe.close()
        assert heard[0, -1] == pytest.approx(0.25, rel=1e-4)
        assert stream.frames > 0
    print(f"{rate} Hz, {block} frames: lost after {1000 * lost:.0f} ms, back {1000 * back:.0f} ms after the server answers")


def test_stopping_and_leaving_while_the_server_is_gone(server):
    stream = tr.live(tr.Rack([tr.Gain()]), block_size=BLOCK)
    stream.start()
    time.sleep(0.1)
    server.kill()
    began = time.monotonic()
    stream.stop()
    assert time.monotonic() - began < 20.0  # PortAudio would take 600
    began = time.monotonic()
    server.start()
    with tr.live(tr.Rack([tr.Gain()]), block_size=BLOCK) as again:
        wait_for(lambda: again.frames > 0)
    assert time.monotonic() - began < 30.0


@pytest.mark.parametrize("kill_first", [True, False])
def test_the_command_ends_at_ctrl_c(server, tmp_path, kill_first):
    tr.Rack([tr.Gain()]).save(tmp_path / "a.rack.json")
    command = [sys.executable, "-m", "twinrack", "live", "--rack", str(tmp_path / "a.rack.json"), "--block", "64"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where the tests run in the background
    )  # fmt: skip
    try:
        assert process.stdout is not None
        while "Ctrl-C" not in process.stdout.readline():
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
        if kill_first:
            server.kill()
            time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "played" in out
    assert "Traceback" not in err
    if kill_first:
        assert "the JACK server is gone" in out + err


def test_nothing_leaks_over_many_kills(server):
    """Threads, open files and memory, at the first kills and at the last."""
    me = psutil.Process()
    rack = tr.Rack([tr.ParametricEQ(), tr.Compressor(), tr.Gain()])
    found = []
    with tr.live(rack, block_size=BLOCK) as stream:
        for n in range(KILLS):
            time.sleep(0.05)
            server.kill()
            server.start(44100 if n % 2 == 0 else RATE)
            wait_for(lambda n=n: kinds(stream).count("returned") == n + 1)
            found.append((threading.active_count(), me.num_threads(), me.num_fds(), me.memory_info().rss / 2**20))
    print(f"{KILLS} kills: threads, system threads, files, MiB: {found[1]} → {found[-1]}")
    assert found[-1][0] <= found[1][0]
    assert found[-1][1] <= found[1][1] + 1
    assert found[-1][2] <= found[1][2] + 1
    assert found[-1][3] < found[KILLS // 2][3] + 8.0  # the allocator's arenas fill up at the beginning


def run(script: str, **values: object) -> str:
    """What a script prints, in a process of its own; {names} in it are filled in."""
    for name, value in values.items():
        script = script.replace(f"{{{name}}}", repr(value))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    if NO_JACK in done.stderr:
        pytest.skip(NO_JACK)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ended" in done.stdout
    return done.stdout


NO_JACK = "this PortAudio does not know JACK"
# twinrack keeps PortAudio away from JACK; here that stands in for a device of PortAudio. It takes its leave from larger blocks
# without haste (see `stage/libjack.py`).
PORTAUDIO_WITH_JACK = f"""
import os, sys, time
from contextlib import nullcontext
import twinrack as tr
from twinrack.stage import portaudio
portaudio.finding_no_server = nullcontext

def look():
    if not any(d.host_api.startswith("JACK Audio") for d in tr.devices()):
        sys.exit({NO_JACK!r})
"""


def test_portaudio_that_hangs_is_left_and_loaded_anew():
    """PortAudio's own face to JACK hangs when its server dies; the stream goes on with a fresh copy of the library."""
    script = """
sys.path.insert(0, {here})
import jack_support
server = jack_support.JackServer()
os.environ["JACK_DEFAULT_SERVER"] = server.name
server.start(48000, 512)
look()
name = "JACK Audio"
rack = tr.Rack([tr.Gain(gain_db=-3)])
with tr.live(rack, input=name, output=name, block_size=512) as stream:
    time.sleep(0.5)
    assert stream.active and stream.frames > 0, stream.frames
    server.kill()
    began = time.monotonic()
    while "lost" not in [e.kind for e in stream.events]:
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    server.start(48000, 512)
    began = time.monotonic()
    while "returned" not in [e.kind for e in stream.events]:
        assert time.monotonic() - began < 20, stream.events
        time.sleep(0.01)
    print("back after", round(time.monotonic() - began, 2), "s")
    before = stream.frames
    time.sleep(0.3)
    assert stream.active and stream.frames > before
    server.kill()
    time.sleep(0.5)
print("ended", flush=True)
server.stop()
"""
    print(run(PORTAUDIO_WITH_JACK + script, here=str(Path(__file__).parents[1])))


def test_two_devices_with_clocks_of_their_own():
    """Input and output as two streams of PortAudio, joined by the bridge; in a process of its own, as PortAudio may hang."""
    script = """
look()
portaudio.PortAudioHost.same_card = lambda self: False
with tr.live(tr.Rack([tr.Gain()]), input="JACK Audio", output="JACK Audio", block_size=256) as stream:
    time.sleep(2.0)
    assert stream.active and stream.frames > 48000, stream.frames
    bridge = stream.host.bridge
    print(bridge.underruns, bridge.overruns, round(bridge.waiting), stream.host.realtime, stream.latencies_ms())
    assert bridge.underruns <= 1 and bridge.overruns == 0
    assert 0 < stream.latency_ms < 100
print("ended")
"""
    with jack_server(RATE, 256):
        print(run(PORTAUDIO_WITH_JACK + script))


def test_a_server_that_dies_while_devices_are_looked_up(server):
    """PortAudio would end the process: it asserts that the server lets it go."""
    script = """
import os, signal, time
import twinrack as tr
from twinrack.stage.portaudio import LIBRARY
LIBRARY.acquire()
os.kill({server}, signal.SIGKILL)
time.sleep(0.2)
LIBRARY.release()
time.sleep(0.2)
assert not tr.devices() or tr.devices()[0].host_api != "JACK"
print("ended")
"""
    assert server.process is not None
    run(script, server=server.process.pid)


def test_looking_for_devices_before_the_loss_was_noticed(server):
    """libjack frees the clients of a dead server when another one is opened; nobody may close them afterwards."""
    script = """
import os, signal, time
import twinrack as tr
from twinrack.stage import stream as stage
stage.WATCH_S = 60.0
streams = [tr.live(tr.Rack([tr.Gain()]), block_size=64) for _ in range(2)]
for stream in streams:
    stream.start()
os.kill({server}, signal.SIGKILL)
while streams[0].active:
    time.sleep(0.001)
for _ in range(3):
    assert not [d for d in tr.devices() if d.host_api == "JACK"]
for stream in streams:
    stream._end.set()
    stream._running = False  # its watcher sleeps
    stream.stop()
print("ended")
"""
    assert server.process is not None
    run(script, server=server.process.pid)
