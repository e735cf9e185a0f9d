"""The sweep: responses out of recordings of it, and live through a real JACK server."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile as sf

import twinrack as tr
from jack_support import BLOCK, RATE, jack_server, needs_jack
from twinrack.room.sweep import BEFORE_S, onset


def echoes() -> np.ndarray:
    """Two loudspeakers of which the second is half a millisecond further away."""
    h = np.zeros((2, RATE // 4), np.float32)
    h[0, [100, 900, 3000]] = 0.8, -0.3, 0.2
    h[1, [124, 1500]] = 0.6, 0.25
    return tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=400, gain_db=6)])])(h, RATE)


def error_of(found: np.ndarray, wanted: np.ndarray) -> float:
    """In dB, from 30 Hz to 18 kHz, since a sweep ends below half the rate."""
    begin = min(onset(row, RATE) for row in wanted) - round(BEFORE_S * RATE)
    spectra = [np.fft.rfft(h.astype(np.float64)) for h in (found, wanted[:, begin : begin + found.shape[1]])]
    hertz = np.fft.rfftfreq(found.shape[1], 1.0 / RATE)
    inside = (hertz > 30.0) & (hertz < 18000.0)
    gap, power = (np.sum(np.abs(s[:, inside]) ** 2) for s in (spectra[0] - spectra[1], spectra[1]))
    return float(10.0 * np.log10(gap / power))


@pytest.mark.parametrize("lead_s", [0.0, 0.15, 2.0])
def test_a_response_comes_out_of_a_recording_with_noise_and_distortion(lead_s):
    """However early the recording begins: a harmonic comes out before the direct sound."""
    sweep, h = tr.room.Sweep(RATE, 3.0), echoes()
    time = np.arange(len(sweep.samples)) / len(sweep.samples)
    low = np.where(10.0 * (0.48 * RATE / 10.0) ** time < 10000.0, sweep.samples, 0.0)  # whose harmonics have a frequency
    played = sweep.samples + 2.0 * low**2  # a loudspeaker that distorts by 20 %
    recording = np.stack([np.convolve(played, row) for row in h]).astype(np.float32)
    recording = np.pad(recording, ((0, 0), (round(lead_s * RATE), 0)))
    recording += 1e-4 * np.random.default_rng(0).standard_normal(recording.shape).astype(np.float32)
    error = error_of(sweep.response_of(recording, 0.2), h)
    print(f"{error:.1f} dB")
    assert error < -45.0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda y: y[:1000], "record all of it"),
        (lambda y: np.where(np.arange(len(y)) == 5, np.nan, y), "NaN or infinity in 1 sample"),
        (lambda y: np.random.default_rng(0).standard_normal(len(y)) * 0.1, "does not stand out"),
    ],
)
def test_recordings_without_the_sweep_are_refused(spoil, words):
    sweep = tr.room.Sweep(RATE, 1.0)
    with pytest.raises(ValueError, match=words):
        sweep.response_of(spoil(np.pad(sweep.samples, 500)).astype(np.float32), 0.1)


@pytest.fixture
def studio(monkeypatch):
    """A JACK server in which a rack stands for loudspeakers, room and microphone."""
    import jack

    from twinrack.stage.stream import LiveStream

    with jack_server(block=256) as server:
        h = echoes()
        paths = np.zeros((4, h.shape[1]), np.float32)
        paths[0], paths[2] = h  # both into the left
        room = tr.live(
            tr.Rack([tr.ConvolutionReverb(impulse_response=(paths, RATE), mix=1.0, normalise=False)]), channels=2, name="room",
            block_size=256,
        )  # fmt: skip
        start, wires = LiveStream.start, jack.Client("wires", no_start_server=True, servername=server.name)

        def start_and_connect(self, record=None):
            start(self, record)
            if self is not room:
                for n in (1, 2):
                    wires.connect(f"{self.host.name}:out_{n}", f"{room.host.name}:in_{n}")
                wires.connect(f"{room.host.name}:out_1", f"{self.host.name}:in_1")

        monkeypatch.setattr(LiveStream, "start", start_and_connect)
        with room:
            yield h
        wires.close()


@needs_jack
def test_a_room_is_measured_live(studio):
    for _ in range(3):  # on a busy machine a block may be lost
        found = tr.room.measure([1, 2], seconds=0.2, sweep_s=2.0, block_size=256)
        error = error_of(found.response.samples, studio)
        if error < -45.0:
            break
    print(found, f"{error:.1f} dB")
    assert error < -45.0
    assert found.response.channels == 2
    assert -20.0 < found.peak_db < -10.0


@needs_jack
def test_a_microphone_that_is_not_there_is_named():
    with jack_server(block=BLOCK):
        time.sleep(0.1)
        with pytest.raises(OSError, match="nothing came in: connect the microphone"):
            tr.room.measure([1], seconds=0.05, sweep_s=0.5, block_size=256)
        with pytest.raises(ValueError, match="speakers names each output of the device once"):
            tr.room.measure([1, 1])


def test_from_the_shell_a_recording_becomes_a_rack(tmp_path):
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "twinrack", "room", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)

    assert run("sweep", "sweep.wav", "--sweep", "2").returncode == 0
    sound, rate = sf.read(tmp_path / "sweep.wav", dtype="float32")
    assert rate == 48000
    sf.write(tmp_path / "recorded.wav", np.stack([np.convolve(sound, row)[:120000] for row in echoes()]).T, rate, "FLOAT")
    done = run("response", "recorded.wav", "response.wav", "--sweep", "2", "--seconds", "0.2")
    assert done.returncode == 0, done.stderr
    (tmp_path / "target.txt").write_text("* by hand\n100 3.0\n1000, 0\n")
    done = run("correct", "response.wav", "--out", "room.rack.json", "--target", "target.txt", "--page", "page.html")
    assert done.returncode == 0, done.stderr
    assert "from the target" in done.stdout
    assert tr.load(tmp_path / "room.rack.json")["filter"].mix == 1.0
    assert "<svg" in (tmp_path / "page.html").read_text("utf-8")
    refused = run("correct", "response.wav", "--out", "room.rack.json", "--target", "nowhere.txt")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "nowhere.txt" in refused.stderr


def test_what_is_measured_can_be_corrected():
    response = tr.Response(echoes(), RATE)
    measured = tr.room.MeasuredRoom(response, (60.0, 60.0), -12.0)
    for given in (measured, [measured, response]):
        assert tr.room.correct(given).response.channels == 2


def test_nothing_is_written_over_what_is_read(tmp_path):
    sf.write(tmp_path / "r.wav", echoes().T, RATE, "FLOAT")
    before = (tmp_path / "r.wav").read_bytes()
    for words in (["correct", "r.wav", "--out", "r.wav"], ["response", "r.wav", "r.wav"], ["sweep", "sweep.flac"]):
        command = [sys.executable, "-m", "twinrack", "room", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "r.wav").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.wav"]
