"""What is recorded while it sounds is rendered again to the same samples, bit for bit, whatever was changed meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from jack_support import BLOCK, RATE, Probe, jack_server, needs_jack
from support import decaying_noise, music
from twinrack.stage.replay import replay

pytestmark = needs_jack


@pytest.fixture(scope="module")
def server():
    with jack_server() as running:
        yield running.name


def strip() -> tr.Rack:
    return tr.Rack(
        [
            tr.ParametricEQ(bands=[tr.Band("low_shelf", frequency_hz=120, gain_db=3), tr.Band("bell", gain_db=-6)]),
            tr.Compressor(threshold_db=-30, ratio=4, lookahead_ms=2),
            tr.Saturation(drive_db=6),
            tr.FDNReverb(mix=0.3),
        ],
        name="strip",
    )


def play_around(stream, rng, seconds: float) -> int:
    """Change all sorts of things while it sounds."""
    changes, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        rack = stream.rack
        what = rng.integers(8)
        if what < 4 and "compressor" in rack.addresses():
            rack.set("compressor.threshold_db", float(rng.uniform(-50, 0)))
        elif what == 4 and "fdn_reverb" in rack.addresses():
            rack["fdn_reverb"].bypass = not rack["fdn_reverb"].bypass
        elif what == 5:
            stream.level(next(iter(stream.lines)), float(rng.uniform(-20, 3)))
        elif what == 6:
            rack.insert(0, tr.Gain(gain_db=float(rng.uniform(-6, 6))))
        else:
            other = strip()
            other.set("parametric_eq.band2.gain_db", float(rng.uniform(-12, 12)))
            stream.rack = other
        changes += 1
        time.sleep(float(rng.uniform(0.001, 0.05)))
    return changes


@pytest.mark.parametrize("start", ["with the stream", "in the middle"])
def test_a_take_is_rendered_again_bit_for_bit(server, tmp_path, rng, start):
    x = music(2, 4 * RATE, RATE, 8)
    stream = tr.live(strip(), block_size=BLOCK)
    take = tmp_path / "take"
    probe = None
    try:
        stream.start(record=take if start == "with the stream" else None)
        probe = Probe(server, 2, 4 * RATE)
        probe.begin(x)
        time.sleep(0.3)
        if start == "in the middle":
            recorder = stream.record(take)
            with pytest.raises(RuntimeError, match="a take runs already"):
                stream.record(tmp_path / "second")
        changes = play_around(stream, rng, 2.0)
        if start == "in the middle":
            recorder.stop()
    finally:
        stream.stop()
        if probe is not None:
            probe.close()
    again = replay(take)
    head = json.loads((take / "take.json").read_text())
    events = (take / "events.jsonl").read_text().splitlines()
    print(f"{start}: {changes} changes, {len(events)} events; {again}")
    assert len(events) > changes
    assert head["frames"] > 1.5 * RATE
    assert changes > 20
    assert again.equal
    assert again.exact_from == 0 if start == "with the stream" else 0 < again.exact_from < RATE / 5
    dry = soundfile.read(take / "dry.wav", dtype="float32")[0]
    assert np.abs(dry).max() > 0.1
    assert np.array_equal(replay(take, block_frames=333).audio, again.audio)
    if start == "in the middle":
        with pytest.raises(FileExistsError, match="give a new folder"), tr.live(strip(), block_size=BLOCK) as other:
            other.record(take)


def test_a_response_and_a_howl_are_in_it_too(server, tmp_path):
    rack = tr.Rack([tr.ConvolutionReverb(impulse_response=decaying_noise(0.3, 2, RATE), mix=0.3), tr.Gain(gain_db=6)])
    t = np.arange(3 * RATE) / RATE
    howl = (np.minimum(0.001 * np.exp(4.0 * t), 0.9) * np.sin(2 * np.pi * 2345.6 * t)).astype(np.float32)
    stream = tr.live(rack, block_size=BLOCK)
    probe = None
    try:
        stream.start(record=tmp_path / "take")
        probe = Probe(server, 2, 3 * RATE)
        probe.begin(np.stack([howl, howl]))
        time.sleep(2.5)
    finally:
        stream.stop()
        if probe is not None:
            probe.close()
    assert "howl" in [e.kind for e in stream.events]
    assert replay(tmp_path / "take").equal


def test_the_command_and_its_refusals(server, tmp_path):
    with tr.live(strip(), block_size=BLOCK) as stream:
        recorder = stream.record(tmp_path / "take")
        time.sleep(0.3)
        recorder.stop()
    run = [sys.executable, "-m", "twinrack", "replay"]
    done = subprocess.run([*run, str(tmp_path / "take"), "--out", str(tmp_path / "a.wav")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bit for bit" in done.stdout
    assert soundfile.info(tmp_path / "a.wav").frames > 0
    done = subprocess.run([*run, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no take" in done.stderr
    with (tmp_path / "take" / "dry.wav").open("r+b") as file:
        file.seek(5000)
        file.write(b"abcd")
    done = subprocess.run([*run, str(tmp_path / "take")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "sha256 does not fit dry.wav" in done.stderr


def test_a_full_disk_ends_the_take_and_not_the_sound(server, tmp_path):
    """The files' size is limited for a process of its own; what was written until then is valid."""
    script = f"""
import resource, signal, sys, time
import twinrack as tr
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with tr.live(tr.Rack([tr.Gain()]), block_size={BLOCK}) as stream:
    recorder = stream.record({str(tmp_path / "take")!r})
    time.sleep(0.3)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    for _ in range(100):
        time.sleep(0.05)
        if not recorder.running:
            break
    assert not recorder.running
    before = stream.frames
    time.sleep(0.1)
    assert stream.active and stream.frames > before
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    print(stream.events[-1].words)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "the disk refuses" in done.stdout
    for name in ("dry.wav", "processed.wav"):
        info = soundfile.info(tmp_path / "take" / name)
        assert info.frames > 5000
        assert info.channels == 2


def test_a_take_begun_right_after_the_start(server, tmp_path):
    for n in range(3):
        with tr.live(tr.Rack([tr.Gain(gain_db=-3), tr.FDNReverb()]), block_size=BLOCK) as stream:
            recorder = stream.record(tmp_path / f"take{n}")
            time.sleep(0.1)
            recorder.stop()
        found = replay(tmp_path / f"take{n}")
        assert found.equal


def test_a_take_that_was_cut_off_is_rendered_as_far_as_it_goes(server, tmp_path):
    """As after a crash: the head says that it is not complete, the changes stand in their own file."""
    with tr.live(strip(), block_size=BLOCK) as stream:
        recorder = stream.record(tmp_path / "take")
        for value in range(-40, 0, 2):
            stream.rack.set("compressor.threshold_db", float(value))
            time.sleep(0.02)
        shutil.copytree(tmp_path / "take", tmp_path / "cut")
        recorder.stop()
    assert not json.loads((tmp_path / "cut" / "take.json").read_text())["complete"]
    found = replay(tmp_path / "cut")
    assert found.equal
    assert found.audio.shape[1] > 0


def test_what_cannot_be_recorded_leaves_nothing_behind(server, tmp_path):
    rack = tr.Rack([tr.PythonEffect(lambda x, rate: x)])
    with tr.live(rack, block_size=BLOCK) as stream:
        with pytest.raises(ValueError, match="no place in a patch"):
            stream.record(tmp_path / "take")
        assert not (tmp_path / "take").exists()
        assert not rack.running.listeners
        assert not rack.running.witnesses
        stream.rack = tr.Rack([tr.Gain()])
        recorder = stream.record(tmp_path / "take")
        stream.rack.insert(0, tr.PythonEffect(lambda x, rate: x))
        time.sleep(0.3)
        recorder.stop()
        assert stream.active
    with pytest.raises(ValueError, match=r"cannot be rendered again: .* is a Python function"):
        replay(tmp_path / "take")
