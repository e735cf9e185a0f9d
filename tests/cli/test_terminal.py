"""Nothing that stands in files, names or paths steers the terminal, and no character is too much for its encoding."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf

import twinrack as tr

EVIL = "a\x1b[2J\x1b]0;title\x07\x9b31m\x7f\u202eb\u2066\u200f\u2028c\nd"
ESCAPED = "a\\x1b[2J\\x1b]0;title\\x07\\x9b31m\\x7f\\u202eb\\u2066\\u200f\\u2028c"


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "twinrack", *map(str, words)]
    return subprocess.run(command, capture_output=True, env=os.environ | environment, timeout=120)


def harmless(output: bytes) -> bool:
    text = output.decode("utf-8", "replace")
    return all(c.isprintable() or c in "\n\t " for c in text.replace("\r\n", "\n"))


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not have")
def test_names_and_paths(tmp_path):
    folder = tmp_path / EVIL
    folder.mkdir()
    rack = tr.Rack([tr.Gain()], name=EVIL)
    rack.provenance = {"date": EVIL, "not_determined": [EVIL], "held_out": {EVIL: {"error_db": -3.0}}}
    rack.save(folder / "r.rack.json")
    sf.write(folder / "in.wav", np.zeros(1000), 48000)
    session = tr.Session(EVIL, sample_rate=48000)
    session.add_track("\u202ea", clips=[tr.Clip(folder / "in.wav", name=EVIL)])
    session.save(folder / "s.session.json")
    (folder / "broken.rack.json").write_text(json.dumps({"format": EVIL, "version": EVIL}))
    (folder / "other.rack.json").write_text(
        json.dumps({"format": "twinrack.rack", "version": 1, "name": EVIL, "rack": [{"effect": EVIL, "version": "1.0.0"}]})
    )
    for words, code in (
        (("show", folder / "r.rack.json"), 0),
        (("certify", folder / "r.rack.json"), 0),
        (("render", folder / "in.wav", folder / "out.wav", "--rack", folder / "r.rack.json"), 0),
        (("render", folder / "r.rack.json", folder / "out.wav", "--rack", folder / "r.rack.json"), 2),
        (("convert", folder / "r.rack.json", folder / "out.rack.json"), 0),
        (("session", "show", folder / "s.session.json"), 0),
        (("session", "render", folder / "s.session.json"), 0),
        (("show", folder / "none.rack.json"), 2),
        (("show", folder / "broken.rack.json"), 2),
        (("show", folder / "other.rack.json"), 2),
        (("effects", EVIL), 2),
        ((EVIL,), 2),
        (("show", f"--{EVIL}"), 2),
    ):
        done = run(*words)
        assert done.returncode == code, (words, done)
        assert harmless(done.stdout), (words, done.stdout)
        assert harmless(done.stderr), (words, done.stderr)
        assert b"Traceback" not in done.stderr
        if code:
            lines = [line for line in done.stderr.splitlines() if not line.startswith(b"rendering")]
            assert all(line.startswith(b"twinrack: ") for line in lines), done.stderr  # sentences on lines of their own
            assert len(lines) <= 2
    assert ESCAPED.encode() in run("show", folder / "none.rack.json").stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_encoding_of_the_terminal(encoding, tmp_path):
    path = tmp_path / "漢é🎚.rack.json"
    tr.Rack([tr.Gain()], name="漢é🎚").save(path)
    for words in (("show", path), ("effects",), ("effects", "compressor"), ("show", tmp_path / "ü漢.rack.json")):
        done = run(*words, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.returncode == (2 if "ü漢" in str(words[-1]) else 0), done
        (done.stdout + done.stderr).decode(encoding)


def test_who_reads_only_the_beginning(tmp_path):
    tr.Rack([tr.Gain() for _ in range(5000)]).save(tmp_path / "r.rack.json")
    shell = f"'{sys.executable}' -m twinrack show '{tmp_path / 'r.rack.json'}' | head -1"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, timeout=120)
    assert done.stdout.startswith(b"rack 'rack': gain")
    assert done.stderr == b""


def test_errors_of_the_system_are_sentences(tmp_path):
    done = run("render", tmp_path / ("x" * 300 + ".wav"), tmp_path / "o.wav", "--rack", tmp_path / "r.rack.json")
    assert done.returncode == 2
    assert b"Errno" not in done.stderr
    assert done.stderr.count(b"\n") == 1
