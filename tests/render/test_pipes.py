"""`twinrack render` and pipes: sound in and out of them as through files, and one sentence where that cannot be. File names
that are no text in UTF-8, for all that reads and writes files.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from twinrack.render.file import render_file
from twinrack.system.names import below, writable

COMMAND = [sys.executable, "-m", "twinrack", "render"]
X = np.random.default_rng(0).uniform(-0.2, 0.2, (30000, 2))


@pytest.fixture
def folder(tmp_path):
    with soundfile.SoundFile(tmp_path / "in.flac", "w", 48000, 2, "PCM_24") as file:
        file.title = "Té"
        file.write(X)
    soundfile.write(tmp_path / "in.wav", X, 48000, subtype="FLOAT")
    tr.Rack([tr.Gain(gain_db=-6)]).save(tmp_path / "r.rack.json")
    tr.Rack([tr.Compressor(threshold_db=-40, key="voice")]).save(tmp_path / "duck.rack.json")
    return tmp_path


def run(folder: Path, *arguments: object, feed: bytes | None = b"", rack: str = "r") -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, *map(str, arguments), "--rack", f"{rack}.rack.json"]
    return subprocess.run(command, input=feed, capture_output=True, timeout=60, cwd=folder)


def sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    assert done.returncode == 2, done
    assert b"Traceback" not in done.stderr
    told = [line for line in done.stderr.decode().splitlines() if line.startswith("twinrack:")]
    assert told
    return told[0]


@pytest.mark.parametrize("source", ["-", "/dev/stdin", "/dev/fd/0"])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_standard_input(folder, source, kind):
    assert run(folder, f"in.{kind}", "file.wav").returncode == 0
    done = run(folder, source, "piped.wav", feed=(folder / f"in.{kind}").read_bytes())
    assert done.returncode == 0, done.stderr
    assert (folder / "piped.wav").read_bytes() == (folder / "file.wav").read_bytes()
    assert b"piped.wav" in done.stdout


@pytest.mark.parametrize("target", ["-", "/dev/stdout", "/dev/fd/1"])
@pytest.mark.parametrize("kind", [None, "wav", "flac", "ogg", "mp3", "aiff"])
def test_standard_output_has_the_sound_and_nothing_else(folder, target, kind):
    ending = kind or "wav"
    assert run(folder, "in.flac", f"file.{ending}").returncode == 0
    done = run(folder, "in.flac", target, *(("--format", kind) if kind else ()))
    assert done.returncode == 0, done.stderr
    if ending == "ogg":  # whose serial number is chance
        assert np.array_equal(soundfile.read(io.BytesIO(done.stdout))[0], soundfile.read(folder / "file.ogg")[0])
    else:
        assert done.stdout == (folder / f"file.{ending}").read_bytes()
    assert "Té".encode() in done.stdout or "Té".encode("utf-16-le") in done.stdout
    assert b"realtime" in done.stderr


def test_from_pipe_to_pipe(folder):
    head = (folder / "in.wav").read_bytes()
    streamed = (
        head[:4] + b"\xff\xff\xff\xff" + head[8:].replace(b"data" + (240000).to_bytes(4, "little"), b"data\xff\xff\xff\xff")
    )
    done = run(folder, "-", "-", "--format", "flac", feed=streamed)
    y, rate = soundfile.read(io.BytesIO(done.stdout))
    assert rate == 48000
    assert np.allclose(y, X * 10 ** (-6 / 20), atol=1e-6)


def test_named_pipes(folder):
    os.mkfifo(folder / "in.fifo")
    os.mkfifo(folder / "out.flac")
    found: list[bytes] = []
    feeding = threading.Thread(target=lambda: (folder / "in.fifo").write_bytes((folder / "in.wav").read_bytes()), daemon=True)
    reading = threading.Thread(target=lambda: found.append((folder / "out.flac").read_bytes()), daemon=True)
    feeding.start()
    reading.start()
    done = run(folder, "in.fifo", "out.flac")
    reading.join(20)
    assert done.returncode == 0, done.stderr
    assert (folder / "out.flac").is_fifo()
    y, _ = soundfile.read(io.BytesIO(found[0]))
    assert np.allclose(y, X * 10 ** (-6 / 20), atol=1e-6)
    assert run(folder, "in.wav", "/dev/null").returncode == 0


def test_a_reader_that_goes_away(folder):
    soundfile.write(folder / "long.wav", np.zeros((2_000_000, 2)), 48000)
    command = [*COMMAND, "long.wav", "-", "--rack", "r.rack.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        told = process.stderr.read().decode()
        assert process.wait(60) == 2
    assert "what reads standard output has ended" in told
    assert "Traceback" not in told
    done = run(folder, "in.wav", "/dev/full")
    assert "the sound could not be written to /dev/full: No space left" in sentence(done)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-", "in.wav", "out"), "serves one input and one output"),
        (("-", "folder"), "gives no name for a file in folder; name the output file"),
        (("-", "new"), "gives no name for a file in new; name the output file"),
        (("folder", "-"), "a folder does not fit into standard output"),
        (("-", "o.wav", "--resume"), "--resume needs files that stay"),
        (("in.wav", "-", "--dask", "local"), "--dask needs files that stay"),
        (("-", "o.wav", "--sidechain", "-"), "standard input can be read only once"),
        (("-", "o.wav", "--sidechain", "/dev/stdin"), "standard input can be read only once"),
        (("-", "o.wav"), "nothing came through standard input"),
        (("-", "-", "--format", "xyz"), "no audio ending"),
    ],
)
def test_where_a_pipe_cannot_serve(folder, arguments, words):
    (folder / "folder").mkdir()
    (folder / "folder" / "a.wav").write_bytes((folder / "in.wav").read_bytes())
    before = sorted(folder.rglob("*"))
    feed = b"" if "nothing" in words else (folder / "in.wav").read_bytes()
    assert words in sentence(run(folder, *arguments, feed=feed, rack="duck" if "--sidechain" in arguments else "r"))
    assert sorted(folder.rglob("*")) == before


def test_what_comes_through_a_pipe_is_named_so(folder):
    told = sentence(run(folder, "-", "o.wav", feed=b"this is not audio at all"))
    assert "standard input cannot be read as audio" in told
    done = run(folder, "-", "o.wav", feed=(folder / "in.wav").read_bytes()[:50000])
    assert b"standard input was cut short" in done.stdout


def test_elsewhere_a_pipe_is_refused(folder):
    os.mkfifo(folder / "x.wav")
    session = tr.Session("s", 48000)
    session.add_track("a", clips=[tr.Clip(folder / "x.wav")])
    for attempt in (
        lambda: session.render(),
        lambda: render_file(folder / "x.wav", folder / "y.wav", tr.Rack([])),
        lambda: tr.Rack([tr.ConvolutionReverb(impulse_response=folder / "x.wav")]),
    ):
        with pytest.raises(ValueError, match=r"x\.wav is a pipe or a device"):
            attempt()


@pytest.mark.parametrize("by", [-20000, -1, 1, 20000])
def test_a_sidechain_of_another_length(folder, by):
    """Silence from its end on; what is longer is not heard."""
    key = np.random.default_rng(1).uniform(-0.9, 0.9, (30000 + by, 1))
    soundfile.write(folder / "key.wav", key, 48000, subtype="FLOAT")
    rack = tr.load(folder / "duck.rack.json")
    render_file(folder / "in.wav", folder / "o.wav", rack, bits=32, sidechain=folder / "key.wav", tail=None)
    whole = np.zeros((1, 30000), np.float32)
    n = min(30000, 30000 + by)
    whole[0, :n] = key[:n, 0]
    y = soundfile.read(folder / "o.wav", dtype="float32")[0].T
    assert np.array_equal(y, rack(X.T.astype(np.float32), 48000, sidechain=whole))
    feed = (folder / "in.wav").read_bytes()
    done = run(folder, "-", "p.wav", "--bits", 32, "--tail", "none", "--sidechain", "key.wav", feed=feed, rack="duck")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(soundfile.read(folder / "p.wav", dtype="float32")[0].T, y)


# --- names --------------------------------------------------------------------------------------------------------------

needs_bytes = pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are text there")


def named(folder: Path, name: bytes) -> Path:
    return folder / os.fsdecode(name)


@pytest.fixture
def latin(tmp_path):
    """A folder and files in it, with names in Latin-1."""
    folder = named(tmp_path, b"d\xe9p\xf4t")
    folder.mkdir()
    soundfile.write(tmp_path / "a.wav", X, 48000, subtype="PCM_24")
    named(folder, b"caf\xe9.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    tr.Rack([tr.Gain()]).save(named(folder, b"r\xe9.rack.json"))
    return folder


@needs_bytes
def test_names_that_are_no_text_in_the_command(latin):
    arguments = [os.fsencode(named(latin, n)) for n in (b"caf\xe9.wav", b"o\xfc.flac")]
    command = [*map(os.fsencode, COMMAND), *arguments, b"--rack", os.fsencode(named(latin, b"r\xe9.rack.json"))]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"o\\udcfc.flac" in done.stdout
    assert soundfile.info(os.fsencode(named(latin, b"o\xfc.flac"))).frames == 30000
    out = named(latin, b"fo\xfcr")
    command = [*map(os.fsencode, COMMAND), os.fsencode(latin), os.fsencode(out), b"--resume", *command[-2:]]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    again = subprocess.run(command, capture_output=True, timeout=60)
    assert b"2 of 2 files were done before" in again.stdout, again.stderr
    gone = subprocess.run(
        [*command[:3], b"render", os.fsencode(latin / "none.wav"), b"x.wav", *command[-2:]], capture_output=True
    )
    assert b"there is no file" in gone.stderr
    assert b"Traceback" not in gone.stderr


@needs_bytes
def test_names_that_are_no_text_in_sessions_and_patches(latin):
    clip = named(latin, b"caf\xe9.wav")
    session = tr.Session("s", 48000)
    session.add_track("a", clips=[tr.Clip(clip)], rack=[tr.ConvolutionReverb(impulse_response=clip)])
    wanted = session.render()
    path = named(latin, b"s\xe9.session.json")
    session.save(path)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text)["channels"][0]["clips"][0]["file"] == "caf\uf7e9.wav"
    loaded = tr.Session.load(path)
    assert np.array_equal(loaded.render(), wanted)
    made = loaded.render_to(named(latin, b"m\xe9.wav"), stems=named(latin, b"st\xe9ms"), cache=named(latin, b"c\xe9che"))
    from twinrack.session.manifest import verify

    assert made.manifest is not None
    assert verify(made.manifest, loaded) == []
    made.paths[0].write_bytes(b"changed")
    assert verify(made.manifest) == ["m\uf7e9.wav was changed"]
    rack = tr.Rack([tr.ConvolutionReverb(impulse_response=clip)])
    rack.save(named(latin, b"hall\xe9.rack.json"))
    x = X.T.astype(np.float32)
    assert np.array_equal(tr.load(named(latin, b"hall\xe9.rack.json"))(x, 48000), rack(x, 48000))


def test_names_in_json_and_back(tmp_path):
    assert writable("café \U0001f3b5") == "café \U0001f3b5"
    held = writable(os.fsdecode(b"caf\xe9"))
    assert held.encode()
    if os.name != "nt":
        assert below(tmp_path, held) == tmp_path / os.fsdecode(b"caf\xe9")
    (tmp_path / held).write_text("a file that is really called so")
    assert below(tmp_path, held) == tmp_path / held


def test_a_pipe_is_measured(folder):
    """As the file is, named as it was given; with what is missing from it; alone."""
    twinrack = [str(Path(sys.executable).with_name("twinrack")), "measure"]
    data = (folder / "in.wav").read_bytes()

    def measured(*arguments: str, feed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*twinrack, *arguments], input=feed, capture_output=True, timeout=60, cwd=folder)

    by_name, by_pipe = (json.loads(measured(*a, "--json", feed=f).stdout)[0] for a, f in ((["in.wav"], b""), (["-"], data)))
    assert by_pipe.pop("path") == "-"
    assert by_name.pop("path") == "in.wav"
    assert by_pipe == by_name
    assert b"was cut short" in measured("-", feed=data[: len(data) // 2]).stdout
    for arguments, feed, words in (
        (("-", "in.wav"), data, b"standard input is a pipe; measure it alone"),
        (("-",), b"", b"nothing came through standard input"),
        (("-",), b"no sound", b"- cannot be read as audio"),
    ):
        done = measured(*arguments, feed=feed)
        assert done.returncode == 2
        assert words in done.stderr
