"""Sessions to files: formats, stems, loudness, cancelling, what is refused before anything is written, and the command."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from session_support import RATE, command, one_track, random_session, read, sound
from support import error_db, music
from twinrack.files.wav import broadcast_chunk
from twinrack.measure.loudness import loudness

LINEAR = ("gain", "parametric_eq", "fdn_reverb", "convolution_reverb")


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
    errors, several = [], 0
    for seed in range(25):
        session = random_session(seed, effects=LINEAR)
        y = session.render(tail=0.2)
        stems = session.stems(tail=0.2)
        total = sum(x.astype(np.float64) for x in stems.values())
        if np.max(np.abs(y)) > 1e-3:
            errors.append(error_db(total, y))
            several += sum(np.max(np.abs(x)) > 1e-4 for x in stems.values()) > 1
    print(f"\nsum of stems against the mix: worst {max(errors):.1f} dB; {len(errors)} loud, {several} of several stems")
    assert len(errors) >= 20  # of 25 are loud enough to compare
    assert several >= 10
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


def test_stems_hold_all_that_goes_to_the_master():
    session = one_track()
    session["k"].send("master", -6)
    session["k"].output = None
    session.add_track("both", clips=[tr.Clip(sound(1.0, 4))]).send("master", -12, pan=0.5)
    session.master.clips = [tr.Clip(sound(0.5, 6))]
    y, stems = session.render(), session.stems()
    assert sorted(stems) == ["both", "k", "master"]
    assert np.max(np.abs(sum(stems.values()) - y)) < 1e-6


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


def test_nothing_is_written_over_what_is_played(tmp_path):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "k.wav", sound(1.0).T, RATE)
    before = (tmp_path / "audio" / "k.wav").read_bytes()
    session = one_track(tr.Clip(tmp_path / "audio" / "k.wav"))
    with pytest.raises(ValueError, match=r"k\.wav is a recording of the session itself"):
        session.render_to(tmp_path / "m.wav", stems=tmp_path / "audio")
    assert (tmp_path / "audio" / "k.wav").read_bytes() == before
    session.rename("k", "mix")
    with pytest.raises(ValueError, match=r"two results would be written to .*mix\.wav"):
        session.render_to(tmp_path / "mix.wav", stems=tmp_path)
    assert not (tmp_path / "mix.wav").exists()


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


def test_a_mix_shorter_than_a_loudness_window_keeps_its_level(tmp_path):
    made = one_track(tr.Clip(sound(0.2))).render_to(tmp_path / "x.wav", normalize_lufs=np.float32(-20))
    assert "shorter than the 0.4 s" in made.notes[0]


def test_a_rendering_without_faults_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Path(one_track().render_to(tmp_path / "z.wav").paths[0]).exists()


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
