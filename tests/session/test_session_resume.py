"""Renderings that go on after a crash: the file is the same as that of one that was not interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

import twinrack as tr
from session_support import RATE, command, make_song, one_track, random_session, read, sound
from twinrack.session import render_job


def test_going_on_after_kill_9(tmp_path):
    """Killed at random moments, again and again: the file is the same as that of one that was not."""
    kills = int(os.environ.get("TWINRACK_SESSION_KILLS", "3"))
    song = make_song(tmp_path, seconds=120.0, tracks=6)
    session = tr.Session.load(song)
    session.render_to(tmp_path / "wanted.wav", normalize_lufs=-16)
    rng = np.random.default_rng(0)
    killed = went_on = 0
    arguments = ["session", "render", song, "--out", tmp_path / "mix.wav", "--normalize", "-16", "--resume"]
    began = time.monotonic()
    assert command(*arguments).returncode == 0
    whole = time.monotonic() - began
    (tmp_path / "mix.wav").unlink()
    for _ in range(kills * 5):
        process = subprocess.Popen(
            [sys.executable, "-m", "twinrack", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            words, _ = process.communicate(timeout=float(rng.uniform(0.35, 1.05)) * whole)
            assert process.returncode == 0
            went_on += "went on from" in words
            assert (tmp_path / "mix.wav").read_bytes() == (tmp_path / "wanted.wav").read_bytes()
            assert not (tmp_path / ".mix.wav.rendering").exists()
            (tmp_path / "mix.wav").unlink()
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            if (tmp_path / "mix.wav").exists():  # it was done, and only about to end
                assert (tmp_path / "mix.wav").read_bytes() == (tmp_path / "wanted.wav").read_bytes()
                (tmp_path / "mix.wav").unlink()
        if killed >= kills and went_on:
            break

    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mix.wav").read_bytes() == (tmp_path / "wanted.wav").read_bytes()
    print(f"\n{killed} kills; went on from a checkpoint {went_on} times")
    assert killed


def crash_at(seconds: float):
    def crash(done: float, total: float) -> None:
        if done > seconds:
            raise MemoryError("a crash")

    return crash


def test_a_changed_session_is_not_continued(song, tmp_path):
    session = tr.Session.load(song)

    def crash(done: float, total: float) -> None:
        if done > 1.0:
            raise MemoryError("a crash")

    tr.session.render_job.CHECKPOINT_S, before = 0.3, tr.session.render_job.CHECKPOINT_S
    try:
        with pytest.raises(MemoryError):
            session.render_to(tmp_path / "mix.wav", checkpoint=True, step=1000, progress=crash)
        assert (tmp_path / ".mix.wav.rendering").exists()
        session["track 0"].gain_db = -3
        made = session.render_to(tmp_path / "mix.wav", resume=True, step=1000, bits=32)
        assert made.continued_s == 0
        assert np.array_equal(read(tmp_path / "mix.wav"), session.render(tail="auto"))
        with pytest.raises(MemoryError):
            session.render_to(tmp_path / "mix.wav", checkpoint=True, step=1000, progress=crash)
        made = session.render_to(tmp_path / "mix.wav", resume=True, threads=1, bits=32)
        assert made.continued_s > 0.2
        assert np.array_equal(read(tmp_path / "mix.wav"), session.render(tail="auto"))
    finally:
        tr.session.render_job.CHECKPOINT_S = before


def test_random_sessions_go_on_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(tr.session.render_job, "CHECKPOINT_S", 0.1)
    for seed in range(20):
        session = random_session(seed)
        y = session.render(tail="auto")
        rng = np.random.default_rng(seed)
        at = float(rng.uniform(0.1, 0.5))

        def crash(done: float, total: float, at=at) -> None:
            if done > at:
                raise MemoryError("a crash")

        path = tmp_path / f"{seed}.wav"
        try:
            session.render_to(path, checkpoint=True, step=int(rng.integers(500, 4000)), progress=crash, bits=32)
        except MemoryError:
            made = session.render_to(path, resume=True, bits=32)
            assert made.continued_s > 0
        assert np.array_equal(read(path), y), seed


def test_going_on_with_a_cache_another_tempo_or_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(render_job, "CHECKPOINT_S", 0.2)
    session = one_track(tr.Clip(sound(3.0)), rack=[tr.Compressor()])
    wanted = session.render(tail="auto")
    settings = {"step": 1000, "bits": 32}
    with pytest.raises(MemoryError):
        session.render_to(tmp_path / "a.wav", checkpoint=True, cache=tmp_path / "c", progress=crash_at(1.5), **settings)
    made = session.render_to(tmp_path / "a.wav", resume=True, cache=tmp_path / "c", **settings)
    assert made.continued_s > 0
    assert np.array_equal(soundfile.read(tmp_path / "a.wav", dtype="float32")[0].T, wanted)
    with pytest.raises(MemoryError):
        session.render_to(tmp_path / "a.wav", checkpoint=True, start="1 beats", progress=crash_at(1.5), **settings)
    session.tempo = (tr.Tempo(0, 60),)
    made = session.render_to(tmp_path / "a.wav", resume=True, start="1 beats", **settings)
    assert made.continued_s == 0
    assert soundfile.info(tmp_path / "a.wav").frames == wanted.shape[1] - RATE
    with pytest.raises(MemoryError):
        session.render_to(tmp_path / "a.wav", checkpoint=True, progress=crash_at(1.5), **settings)
    (tmp_path / ".a.wav.rendering" / "state.npz").write_bytes(b"PK\x03\x04" + bytes(200))
    made = session.render_to(tmp_path / "a.wav", resume=True, **settings)
    assert made.continued_s == 0
