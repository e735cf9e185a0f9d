"""Files through a rack, and the command around it: same samples, constant memory, and one sentence for what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import psutil
import pytest
import soundfile

import twinrack as tr
from support import error_db, music, run, run_on_full_disk
from twinrack.files.audio_file import AudioFile
from twinrack.render.file import render_file


@pytest.fixture
def folder(tmp_path):
    """A patch with latency and a tail, and a recording of three blocks and a bit."""
    rack = tr.Rack([tr.Compressor(threshold_db=-30, lookahead_ms=3), tr.FDNReverb(decay_s=0.6, mix=0.3)])
    rack.save(tmp_path / "r.rack.json")
    x = 0.4 * music(2, 200_001, 48000, 1)
    soundfile.write(tmp_path / "in.wav", x.T, 48000, subtype="FLOAT")
    return tmp_path, rack, x


def test_a_file_equals_the_array(folder):
    path, rack, x = folder
    done = run("render", path / "in.wav", path / "out.wav", "--rack", path / "r.rack.json", "--bits", 32)
    assert done.returncode == 0, done.stderr
    y, rate = soundfile.read(path / "out.wav", dtype="float32")
    expected = rack(x, 48000, tail="auto")
    assert rate == 48000
    assert np.array_equal(y.T, expected)
    assert "× realtime" in done.stdout


@pytest.mark.parametrize(("tail", "frames"), [(None, 200_001), (0.5, 224_001)])
def test_tail(folder, tail, frames):
    path, rack, _ = folder
    render_file(path / "in.wav", path / "out.wav", rack, tail=tail)
    assert soundfile.info(path / "out.wav").frames == frames


@pytest.mark.parametrize("ending", ["wav", "flac", "aiff"])
@pytest.mark.parametrize("bits", [16, 24])
def test_integer_formats_are_off_by_dither_alone(folder, ending, bits):
    path, rack, x = folder
    assert render_file(path / "in.wav", path / f"out.{ending}", rack, bits=bits, tail=None).clipped == 0
    y, rate = soundfile.read(path / f"out.{ending}", dtype="float64")
    assert rate == 48000
    steps = (y.T - rack(x, 48000)) * 2 ** (bits - 1)
    assert np.max(np.abs(steps)) <= 1.5
    assert np.std(steps) == pytest.approx(0.5, abs=0.02)  # rounding and triangular dither
    assert abs(np.mean(steps)) < 0.01


@pytest.mark.parametrize("ending", ["ogg", "mp3"])
def test_lossy_formats(folder, ending):
    path, rack, x = folder
    render_file(path / "in.wav", path / f"out.{ending}", rack, tail=None)
    y, rate = soundfile.read(path / f"out.{ending}", dtype="float32")
    assert rate == 48000
    expected = rack(x, 48000)
    length = min(len(y), expected.shape[1])
    assert error_db(y.T[:, :length], expected[:, :length]) < -6  # noise, which a coder cannot keep


def test_dither_keeps_what_rounding_would_lose(tmp_path):
    """A tone of a third of a 16-bit step is gone by rounding, and still there as the mean under dither."""
    tone = (0.33 * 2**-15 * np.sin(2 * np.pi * 1000 * np.arange(480000) / 48000)).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", tone, 48000, subtype="FLOAT")
    render_file(tmp_path / "in.wav", tmp_path / "out.wav", tr.Rack([]), bits=16, tail=None)
    y, _ = soundfile.read(tmp_path / "out.wav")
    level = 2 * np.abs(np.mean(y * np.exp(-2j * np.pi * 1000 * np.arange(480000) / 48000)))
    assert level == pytest.approx(0.33 * 2**-15, rel=0.1)


def test_resampling_only_when_asked(folder):
    path, rack, _ = folder
    result = render_file(path / "in.wav", path / "out.wav", rack, sample_rate=44100, tail=None, bits=32)
    info = soundfile.info(path / "out.wav")
    assert info.samplerate == 44100
    assert info.frames == pytest.approx(200_001 * 44100 / 48000, abs=2)
    assert result.seconds == pytest.approx(200_001 / 48000, abs=1e-3)


def test_many_files_and_a_folder(folder):
    path, rack, x = folder
    songs = path / "songs" / "live"
    songs.mkdir(parents=True)
    for i in range(4):
        soundfile.write(songs / f"{i}.wav", x[:, : 20000 * (i + 1)].T, 48000, subtype="FLOAT")
    (songs / "notes.txt").write_text("not audio")
    (songs / "broken.wav").write_bytes(b"RIFF....")
    done = run("render", path / "songs", path / "out", "--rack", path / "r.rack.json", "--bits", 32)
    assert done.returncode == 2
    assert "broken.wav cannot be read as audio" in done.stderr
    assert "1 of 5 files failed" in done.stderr
    for i in range(4):
        y, _ = soundfile.read(path / "out" / "live" / f"{i}.wav", dtype="float32")
        assert np.array_equal(y.T, rack(x[:, : 20000 * (i + 1)], 48000, tail="auto"))
    assert not list((path / "out").rglob("*.part"))
    done = run("render", path / "in.wav", songs / "0.wav", path / "both", "--rack", path / "r.rack.json", "--format", "flac")
    assert done.returncode == 0
    assert {f.name for f in (path / "both").iterdir()} == {"in.flac", "0.flac"}


def test_memory_is_constant(tmp_path):
    """An hour at 8 kHz takes no more memory than a minute."""
    rack = tr.Rack([tr.Gain(gain_db=-3)])
    peaks = []
    for minutes in (1, 60):
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(np.zeros(480_000, np.float32))
        seen: list[int] = []
        process = psutil.Process()
        render_file(path, tmp_path / "out.wav", rack, progress=lambda n, s=seen, p=process: s.append(p.memory_info().rss))
        peaks.append(max(seen))
    assert peaks[1] < peaks[0] + 20e6


def test_sidechain_file(tmp_path):
    tr.Rack([tr.Compressor(threshold_db=-50, ratio=20, key="voice")]).save(tmp_path / "r.json")
    x, key = music(2, 48000, 48000, 1), music(1, 48000, 48000, 2)
    soundfile.write(tmp_path / "in.wav", x.T, 48000, subtype="FLOAT")
    soundfile.write(tmp_path / "key.wav", key.T, 48000, subtype="FLOAT")
    common = (
        "render",
        tmp_path / "in.wav",
        tmp_path / "out.wav",
        "--rack",
        tmp_path / "r.json",
        "--bits",
        "32",
        "--tail",
        "none",
    )
    assert "listens to sidechain 'voice'; give its file" in run(*common).stderr
    assert run(*common, "--sidechain", tmp_path / "key.wav").returncode == 0
    y, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert np.array_equal(y.T, tr.load(tmp_path / "r.json")(x, 48000, sidechain=key))


def test_clipping_and_faults_are_told(tmp_path):
    x = np.zeros((1, 4800), np.float32)
    x[0, 100:200] = 0.9
    x[0, 300] = np.nan
    soundfile.write(tmp_path / "in.wav", x.T, 48000, subtype="FLOAT")
    tr.Rack([tr.Gain(gain_db=12)]).save(tmp_path / "r.json")
    done = run("render", tmp_path / "in.wav", tmp_path / "out.wav", "--rack", tmp_path / "r.json")
    assert "samples clipped" in done.stdout
    assert "NaN or infinity in 1 input sample" in done.stdout


@pytest.fixture
def bad(folder):
    path, _, _ = folder
    (path / "empty.wav").write_bytes(b"")
    (path / "text.wav").write_text("hello")
    soundfile.write(path / "none.wav", np.zeros((0, 2)), 48000)
    soundfile.write(path / "wide.wav", np.zeros((100, 17)), 48000)
    soundfile.write(path / "slow.wav", np.zeros(100), 4000)
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gone.wav", "o.wav", "--rack", "r.rack.json"), "there is no file gone.wav"),
        (("in.wav", "o.wav", "--rack", "gone.json"), "there is no patch gone.json"),
        (("empty.wav", "o.wav", "--rack", "r.rack.json"), "empty.wav cannot be read as audio"),
        (("text.wav", "o.wav", "--rack", "r.rack.json"), "text.wav cannot be read as audio"),
        (("none.wav", "o.wav", "--rack", "r.rack.json"), "none.wav is empty"),
        (("wide.wav", "o.wav", "--rack", "r.rack.json"), "17 channels; 1 to 16"),
        (("slow.wav", "o.wav", "--rack", "r.rack.json"), "4000 Hz; 8000 to 384000"),
        (("in.wav", "o.xyz", "--rack", "r.rack.json"), "no audio ending"),
        (("in.wav", "in.wav", "--rack", "r.rack.json"), "is the input itself"),
        (("in.wav", "o.wav", "--rack", "r.rack.json", "--bits", "12"), "12 bits cannot be written"),
        (("in.wav", "o.wav", "--rack", "r.rack.json", "--tail", "long"), "--tail 'long'"),
        (("in.wav", "o.wav", "--rack", "r.rack.json", "--tail", "inf"), "tail = inf s is outside"),
        (("in.wav", "o.wav", "--rack", "r.rack.json", "--tail", "nan"), "tail = nan s is outside"),
        (("in.wav", "o.wav", "--rack", "r.rack.json", "--rate", "10"), "sample rate 10 Hz is outside"),
        (("in.wav", "o.wav", "--rack", "in.wav"), "not valid JSON"),
        (("in.wav", "--rack", "r.rack.json"), "name the input files and, last, the output"),
        (("in.wav", "o.wav"), "Missing option '--rack'"),
        (("in.wav", "in.wav", "out", "--rack", "r.rack.json"), "would both become"),
    ],
)
def test_one_sentence_exit_2_and_nothing_left(bad, arguments, words):
    before = {p: p.stat().st_mtime_ns for p in bad.iterdir()}
    done = run("render", *arguments, cwd=bad)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert {p: p.stat().st_mtime_ns for p in bad.iterdir()} == before


def test_a_full_disk_says_so_and_leaves_nothing(folder):
    path, _, _ = folder
    done = run_on_full_disk("render", "in.wav", "out.wav", "--rack", "r.rack.json", cwd=path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "out.wav was not written" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in path.iterdir()) == ["in.wav", "r.rack.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(folder):
    path, _, _ = folder
    (path / "locked").mkdir(mode=0o500)
    done = run("render", "in.wav", "locked/out.wav", "--rack", "r.rack.json", cwd=path)
    assert done.returncode == 2
    assert "may not be written to" in done.stderr


def test_reading_again_gives_what_was_written(folder):
    path, _, x = folder
    with AudioFile(path / "in.wav") as file:
        assert (file.channels, file.sample_rate, file.frames) == (2, 48000, 200_001)
        assert np.array_equal(file.read(), x)


def test_printed_cards(folder):
    listing = run("effects").stdout
    for card in tr.CARDS.values():
        assert card.id in listing
    card = run("effects", "compressor").stdout
    for word in ("threshold_db", "-80 to 0 dB", "Giannoulis", "feed_forward"):
        assert word in card
    wrong = run("effects", "compresor")
    assert wrong.returncode == 2
    assert "did you mean 'compressor'" in wrong.stderr
    path, _, _ = folder
    assert "threshold_db          -30 dB * (default -18 dB)" in run("show", path / "r.rack.json").stdout
    assert tr.__version__ in run("--version").stdout


@pytest.mark.parametrize("channels", ["stereo", "mono", None])
def test_channels_of_the_result(tmp_path, channels):
    """A mono voice into a stereo reverb, and back: rack, file and command agree, and a file of more channels is refused."""
    rack = tr.Rack([tr.FDNReverb(mix=0.5)])
    mono, stereo = music(1, 4800, 48000, 1), music(2, 4800, 48000, 2)
    wide = {"stereo": np.repeat(mono, 2, 0), "mono": mono, None: mono}[channels]
    narrow = {"stereo": stereo, "mono": stereo.mean(0, keepdims=True), None: stereo}[channels]
    for given, want in ((mono, wide), (mono[0], wide if channels == "stereo" else wide[0]), (stereo, narrow)):
        assert np.allclose(rack(given, 48000, channels=channels), rack(want, 48000), atol=1e-7)
    if channels == "stereo":
        y = rack(mono, 48000, channels=channels)
        assert error_db(y[0], y[1]) > -20  # a reverb whose sides differ
    rack.save(tmp_path / "r.rack.json")
    for name, x, want in (("m", mono, wide), ("s", stereo, narrow)):
        soundfile.write(tmp_path / f"{name}.wav", x.T, 48000, subtype="FLOAT")
        render_file(tmp_path / f"{name}.wav", tmp_path / "o.wav", rack, bits=32, tail=None, channels=channels)
        y = soundfile.read(tmp_path / "o.wav", dtype="float32", always_2d=True)[0].T
        assert np.allclose(y, rack(want, 48000), atol=1e-6)
        line = [sys.executable, "-m", "twinrack", "render", f"{name}.wav", "c.wav", "--rack", "r.rack.json", "--bits", "32"]
        line += ["--tail", "none", *(["--channels", channels] if channels else [])]
        assert subprocess.run(line, cwd=tmp_path, check=False, capture_output=True).returncode == 0
        assert np.array_equal(soundfile.read(tmp_path / "c.wav", dtype="float32", always_2d=True)[0].T, y)
    if channels:
        with pytest.raises(ValueError, match=f"the sound has 3 channels; only mono and stereo can be brought to {channels}"):
            rack(np.zeros((3, 100), np.float32), 48000, channels=channels)
    with pytest.raises(ValueError, match="channels = 'quad'; give"):
        rack(mono, 48000, channels="quad")
