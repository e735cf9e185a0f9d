"""Sessions to files: formats, stems, loudness, manifest, cache, freezing, bouncing, cancelling, and going on after a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from session_support import RATE, random_session
from support import error_db, music
from twinrack.files.wav import broadcast_chunk
from twinrack.measure.loudness import loudness
from twinrack.session.freeze import bounce, freeze, unfreeze
from twinrack.session.manifest import verify

LINEAR = ("gain", "parametric_eq", "fdn_reverb", "convolution_reverb")


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def make_song(folder: Path, seconds: float = 2.0, tracks: int = 3) -> Path:
    session = tr.Session("song", RATE, metadata={"title": "Song", "artist": "Band"})
    session.add_return("plate", rack=[tr.FDNReverb(mix=1.0, decay_s=0.4)])
    for i in range(tracks):
        path = folder / f"{i}.wav"
        x = np.tile(0.1 * music(2, 2 * RATE, RATE, i), (1, int(seconds / 2)))
        soundfile.write(path, x.T, RATE, subtype="FLOAT")
        rack = [tr.ParametricEQ(bands=[tr.Band("bell", gain_db=i)]), tr.Compressor(threshold_db=-30, lookahead_ms=i)]
        session.add_track(f"track {i}", clips=[tr.Clip(path)], rack=rack, pan=0.1 * i - 0.1).send("plate", -12)
    session.automate("track 1.gain_db", [(0, -6), (1, 0, "smooth"), (1.5, -3)])
    session.master.rack = tr.Rack([tr.Limiter(ceiling_db=-1)])
    path = folder / "song.session.json"
    session.save(path)
    return path


@pytest.fixture
def song(tmp_path) -> Path:
    return make_song(tmp_path)


def test_several_formats_with_tags_and_place(song, tmp_path):
    session = tr.Session.load(song)
    y = session.render(tail="auto")
    made = session.render_to(*[tmp_path / f"mix.{e}" for e in ("wav", "flac", "ogg", "mp3", "aiff")], bits=24)
    assert made.seconds == y.shape[1] / RATE
    assert made.loudness.integrated == pytest.approx(loudness(y, RATE).integrated, abs=1e-6)
    assert made.loudness.true_peak_db == pytest.approx(loudness(y, RATE).true_peak_db, abs=1e-4)  # 24 bits, dithered
    for path in made.paths:
        z = read(path)
        assert made.measured[path].integrated == pytest.approx(loudness(z, RATE).integrated, abs=1e-6)
        assert made.measured[path].true_peak_db == pytest.approx(loudness(z, RATE).true_peak_db, abs=1e-6)
        lossy = path.suffix in (".ogg", ".mp3")
        if not lossy:
            assert z.shape == y.shape
            assert np.max(np.abs(z - y)) < 2.0**-22
        with tr.files.AudioFile(path) as file:
            tags = file.tags()
        assert tags.get("title") == "Song", path
    assert broadcast_chunk(tmp_path / "mix.wav")[:4] == b"Song"
    part = session.render_to(tmp_path / "part.wav", start=0.5, end=1.5, bits=32)
    assert np.array_equal(read(tmp_path / "part.wav"), y[:, RATE // 2 : RATE + RATE // 2])
    assert int.from_bytes(broadcast_chunk(part.paths[0])[338:346], "little") == RATE // 2
    session.render_to(tmp_path / "half.wav", sample_rate=24000, bits=32)
    assert soundfile.info(tmp_path / "half.wav").frames == -(-y.shape[1] // 2)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_loudness_and_true_peak_as_wanted(song, tmp_path):
    session = tr.Session.load(song)
    made = session.render_to(tmp_path / "a.wav", normalize_lufs=-20, bits=32)
    assert loudness(read(tmp_path / "a.wav"), RATE).integrated == pytest.approx(-20, abs=0.01)
    assert made.loudness.integrated == pytest.approx(-20, abs=1e-6)
    assert made.gain_db == pytest.approx(-20 - loudness(session.render(tail="auto"), RATE).integrated, abs=1e-3)
    made = session.render_to(tmp_path / "b.wav", normalize_lufs=-3, true_peak_db=-2, bits=32)
    assert loudness(read(tmp_path / "b.wav"), RATE).true_peak_db == pytest.approx(-2, abs=0.01)
    assert "out of reach below -2.0 dBTP" in made.notes[0]  # there is a limiter on the master: no advice to put one there
    peak = loudness(session.render(tail="auto"), RATE).true_peak_db
    session.render_to(tmp_path / "c.wav", true_peak_db=peak - 6, bits=32)
    assert loudness(read(tmp_path / "c.wav"), RATE).true_peak_db == pytest.approx(peak - 6, abs=0.01)
    assert session.render_to(tmp_path / "c.wav", true_peak_db=min(peak + 6, 0.0), bits=32).gain_db == 0  # never louder
    for channel in session:
        channel.clips = []
    session.end = 0.5
    made = session.render_to(tmp_path / "d.wav", normalize_lufs=-14)
    assert made.notes == ["the mix is silent, or shorter than the 0.4 s that a loudness takes, so its level stays as it is"]


def test_stems_add_up_to_the_mix(tmp_path):
    errors = []
    for seed in range(25):
        session = random_session(seed, effects=LINEAR)
        y = session.render(tail=0.2)
        stems = session.stems(tail=0.2)
        total = sum(x.astype(np.float64) for x in stems.values())
        if np.max(np.abs(y)) > 1e-3:
            errors.append(error_db(total, y))
    print(f"\nsum of stems against the mix: worst {max(errors):.1f} dB")
    assert sorted(errors)[-2] < -110  # rounding of the master's own filters
    assert max(errors) < -100  # ... that cut nearly everything off, in one of these mixes
    session = random_session(1, effects=("gain",))
    session.master.automation.clear()
    y, stems = session.render(), session.stems()
    assert error_db(sum(x.astype(np.float64) for x in stems.values()), y) < -120


def test_stems_in_files(song, tmp_path):
    session = tr.Session.load(song)
    session.master.rack = tr.Rack([tr.Gain(gain_db=-3)])
    made = session.render_to(tmp_path / "mix.wav", stems=tmp_path / "stems", bits=32)
    assert sorted(made.stems) == ["plate", "track 0", "track 1", "track 2"]
    total = sum(read(p).astype(np.float64) for p in made.stems.values())
    assert error_db(total, read(tmp_path / "mix.wav")) < -120
    dry = session.render_to(tmp_path / "mix.wav", stems=tmp_path / "dry", stems_through_master=False, bits=32)
    total = sum(read(p).astype(np.float64) for p in dry.stems.values()) * 10 ** (-3 / 20)
    assert error_db(total, read(tmp_path / "mix.wav")) < -120


def test_the_manifest_proves_what_was_rendered(song, tmp_path):
    session = tr.Session.load(song)
    made = session.render_to(tmp_path / "mix.wav")
    data = json.loads(made.manifest.read_text(encoding="utf-8"))
    assert set(data["recordings"]) == {"0.wav", "1.wav", "2.wav"}
    assert data["engine"]["cards"]["compressor"] == tr.CARDS["compressor"].version
    assert verify(made.manifest, tr.Session.load(song)) == []
    session["track 0"].rack["compressor"].ratio = 9
    changed = [f"channel {name} was changed" for name in ("track 0", "plate", "master")]
    assert sorted(verify(made.manifest, session)) == sorted(changed)
    soundfile.write(tmp_path / "1.wav", np.zeros((100, 2)), RATE)
    assert "recording 1.wav was changed" in verify(made.manifest, tr.Session.load(song))
    (tmp_path / "mix.wav").unlink()
    assert "mix.wav is not there" in verify(made.manifest)


def test_the_cache_is_exact_and_spares_work(tmp_path):
    for seed in range(12):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        session = random_session(seed)
        session.render_to(folder / "a.wav", bits=32, cache=folder / "cache")
        again = session.render_to(folder / "b.wav", bits=32, cache=folder / "cache")
        assert np.array_equal(read(folder / "a.wav"), read(folder / "b.wav"))
        if session.master.rack.addresses():
            assert again.reused == ["master"]
        rng = np.random.default_rng(seed)
        channel = list(session)[int(rng.integers(len(session) - 1))]
        channel.gain_db = -7.5
        channel.rack = tr.Rack([tr.Saturation(drive_db=6)])
        channel.automation = {a: p for a, p in channel.automation.items() if a.partition(".")[0] in ("gain_db", "pan", "sends")}
        changed = session.render_to(folder / "c.wav", bits=32, cache=folder / "cache")
        assert channel.name not in changed.reused
        session.render_to(folder / "d.wav", bits=32)
        assert np.array_equal(read(folder / "c.wav"), read(folder / "d.wav"))
    session["0"].clips = [c.with_(start="0 frames") for c in session["0"].clips]
    assert not list((folder / "cache").glob("*.part"))


def test_a_longer_tail_than_the_stored_one(song, tmp_path):
    session = tr.Session.load(song)
    session.render_to(tmp_path / "a.wav", bits=32, cache=tmp_path / "cache", tail=None)
    made = session.render_to(tmp_path / "b.wav", bits=32, cache=tmp_path / "cache", tail=1.0)
    session.render_to(tmp_path / "c.wav", bits=32, tail=1.0)
    assert np.array_equal(read(tmp_path / "b.wav"), read(tmp_path / "c.wav"))
    assert made.seconds == 3.0


def test_the_cache_stays_within_its_limit(song, tmp_path):
    session = tr.Session.load(song)
    cache = tr.session.cache.Cache(tmp_path / "cache", limit_bytes=2_000_000)
    session.render_to(tmp_path / "a.wav", cache=cache)
    assert sum(p.stat().st_size for p in (tmp_path / "cache").iterdir()) <= 2_000_000


def test_frozen_channels_sound_the_same(song, tmp_path):
    session = tr.Session.load(song)
    y = session.render(tail="auto")
    path = freeze(session, "track 1", tmp_path / "frozen")
    z = session.render(tail="auto")  # a frozen tail ends at -140 dBFS
    assert error_db(z[:, : y.shape[1]], y[:, : z.shape[1]]) < -120
    assert np.array_equal(z[:, : 2 * RATE], y[:, : 2 * RATE])
    session["track 1"].gain_db = -3  # the fader is not frozen
    session.save(song)
    loaded = tr.Session.load(song)
    assert loaded["track 1"].frozen is not None
    assert np.array_equal(loaded.render(), session.render())
    loaded["track 1"].rack["compressor"].ratio = 7
    with pytest.raises(ValueError, match="'track 1' was changed since it was frozen; freeze it again, or unfreeze"):
        loaded.render()
    unfreeze(loaded, "track 1")
    freeze(loaded, "plate", tmp_path / "frozen")
    loaded["track 1"].gain_db = -4  # which the plate hears
    with pytest.raises(ValueError, match="'plate' was changed"):
        loaded.render()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="track 1"):
        tr.Session.load(song)


def test_bounced_channels_sound_the_same(song, tmp_path):
    session = tr.Session.load(song)
    session.add_group("all", rack=[tr.Saturation(drive_db=3)], gain_db=-2)
    for i in range(3):
        session[f"track {i}"].output = "all"
    y = session.render(tail="auto")
    made = bounce(session, "all", tmp_path / "all.wav")
    assert "track 0" in made.channels  # it still sends to the plate
    z = made.render(tail="auto")  # a bounced tail ends at -140 dBFS
    assert np.array_equal(z[:, : 2 * RATE], y[:, : 2 * RATE])
    assert error_db(z[:, : y.shape[1]], y[:, : z.shape[1]]) < -120
    for i in range(3):
        session[f"track {i}"].sends.clear()
    made = bounce(session, "all", tmp_path / "all.wav")
    assert sorted(made.channels) == ["all", "master", "plate"]
    y = session.render()
    assert np.array_equal(made.render()[:, : y.shape[1]], y)
    session["track 0"].send("plate", tap="pre")
    with pytest.raises(ValueError, match="hears 'track 0' before its fader"):
        bounce(session, "track 0", tmp_path / "x.wav")


def test_what_cannot_be_rendered_is_said_before(song, tmp_path):
    session = tr.Session.load(song)
    for arguments, settings, match in (
        ((), {}, "name the file"),
        ((tmp_path / "x.doc",), {}, "no audio ending"),
        ((tmp_path / "no" / "x.wav",), {}, "there is no folder"),
        ((tmp_path / "0.wav",), {}, "is a recording of the session itself"),
        ((tmp_path / "x.wav", tmp_path / "x.wav"), {}, "are the same"),
        ((tmp_path / "x.wav",), {"normalize_lufs": 5}, "outside -70 to 0"),
        ((tmp_path / "x.wav",), {"start": 99}, "nothing is left from 99.000 s on"),
        ((tmp_path / "x.wav",), {"tail": "long"}, 'give "auto"'),
        ((tmp_path / "x.wav",), {"bits": 12}, "12 bits cannot be written"),
        ((tmp_path / "x.wav",), {"stems": tmp_path / "s", "channel": "plate"}, "stems are those of the master"),
    ):
        with pytest.raises((ValueError, OSError), match=match):
            session.render_to(*arguments, **settings)
    assert not (tmp_path / "x.wav").exists()


def test_recordings_with_nan_or_infinity_are_named(tmp_path):
    x = 0.1 * music(2, 9600, RATE, 1)
    x[0, 100:105] = np.nan
    x[1, 7] = np.inf
    soundfile.write(tmp_path / "bad.wav", x.T, RATE, subtype="FLOAT")
    session = tr.Session("bad", RATE)
    session.add_track("a", clips=[tr.Clip(tmp_path / "bad.wav")])
    made = session.render_to(tmp_path / "mix.wav")
    assert made.notes == ["bad.wav has NaN or infinity in 6 samples; they count as silence"]
    assert np.isfinite(read(tmp_path / "mix.wav")).all()


def test_cancelling_leaves_nothing(song, tmp_path):
    session = tr.Session.load(song)

    def stop(done: float, total: float) -> None:
        if done > 0.2:
            raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    for settings in ({}, {"checkpoint": True}, {"normalize_lufs": -14}, {"cache": tmp_path / "cache"}):
        with pytest.raises(KeyboardInterrupt):
            session.render_to(tmp_path / "x.wav", step=1000, progress=stop, **settings)
        left = [p for p in tmp_path.iterdir() if p not in before and p.name != "cache"]
        assert left == [], settings
    assert list((tmp_path / "cache").iterdir()) == []


def command(*arguments: object, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "twinrack", *map(str, arguments)], capture_output=True, text=True, check=False, **more
    )  # fmt: skip


def test_the_command(song, tmp_path):
    done = command(
        "session", "render", song, "--stems", "--normalize", "-20LUFS", "--true-peak", "-1", "--from", "0:00.5", "--to", "1.5"
    )
    assert done.returncode == 0, done.stderr
    assert "× realtime" in done.stdout
    assert "LUFS" in done.stdout
    assert soundfile.info(tmp_path / "song.wav").frames == RATE
    assert len(list((tmp_path / "song.stems").iterdir())) == 4
    assert "track 1" in command("session", "show", song).stdout
    assert "all is as it was" in command("session", "verify", tmp_path / "song.wav.manifest.json", "--session", song).stdout
    assert command("session", "freeze", song, "track 0").returncode == 0
    assert tr.Session.load(song)["track 0"].frozen is not None
    assert command("session", "freeze", song, "track 0", "--undo").returncode == 0
    for arguments, match in (
        (
            ("session", "render", song, "--normalize", "loud"),
            "--normalize must be a number such as -14LUFS or -1dBTP, got 'loud'",
        ),
        (("session", "render", tmp_path / "x.session.json"), "there is no session"),
        (("session", "render", song, "--channel", "vocals"), "has no channel 'vocals'"),
        (("session", "freeze", song, "master"), "the master cannot be frozen"),
    ):
        failed = command(*arguments)
        assert failed.returncode == 2
        assert match in failed.stderr
        assert failed.stderr.count("\n") == 1


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


def test_a_changed_session_is_not_continued(song, tmp_path):
    session = tr.Session.load(song)

    def crash(done: float, total: float) -> None:
        if done > 1.0:
            raise MemoryError("a crash")

    tr.session.output.CHECK_S, before = 0.3, tr.session.output.CHECK_S
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
        tr.session.output.CHECK_S = before


def test_random_sessions_go_on_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(tr.session.output, "CHECK_S", 0.1)
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


def test_the_command_exchanges(song, tmp_path):
    done = command("session", "export", song, tmp_path / "song.dawproject")
    assert done.returncode == 0, done.stderr
    (tmp_path / "other").mkdir()
    done = command("session", "import", tmp_path / "song.dawproject", tmp_path / "other" / "song.session.json")
    assert done.returncode == 0, done.stderr
    assert "4 channels" in done.stdout
    assert list(tr.Session.load(tmp_path / "other" / "song.session.json").channels)[:1] == ["plate"]
    (tmp_path / "stems").mkdir()
    for i in range(3):
        (tmp_path / f"{i}.wav").rename(tmp_path / "stems" / f"{i}.wav")
    done = command("session", "import", tmp_path / "stems", tmp_path / "stems.session.json")
    assert done.returncode == 0, done.stderr
    assert tr.Session.load(tmp_path / "stems.session.json").render().shape[1] == 2 * RATE
    failed = command("session", "import", tmp_path / "none.dawproject", tmp_path / "x.session.json")
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
