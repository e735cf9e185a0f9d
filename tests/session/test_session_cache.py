"""Stored sounds of channels: the cache, frozen channels, bounced ones; and when they no longer hold."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

import twinrack as tr
from session_support import RATE, one_track, random_session, read, sound
from support import error_db
from twinrack.session.freeze import bounce, freeze, unfreeze


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
        assert not list((folder / "cache").glob("*.part"))


def test_the_cache_notices_a_clip_that_moves(tmp_path):
    session = one_track(rack=[tr.Compressor(threshold_db=-40)])
    session.render_to(tmp_path / "a.wav", bits=32, cache=tmp_path / "cache", tail=1.0)
    session["k"].clips = [session["k"].clips[0].with_(start="320 frames")]
    moved = session.render_to(tmp_path / "b.wav", bits=32, cache=tmp_path / "cache", tail=1.0)
    assert moved.reused == []
    a, b = read(tmp_path / "a.wav"), read(tmp_path / "b.wav")
    assert np.max(np.abs(a)) > 0.01
    assert np.array_equal(b[:, 320 : a.shape[1]], a[:, : a.shape[1] - 320])


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


def test_channels_that_sound_alike_share_a_place_in_the_cache(tmp_path):
    session = one_track(tr.Clip(sound(1.0)), rack=[tr.Compressor()])
    session.add_track("again", clips=session["k"].clips, rack=[tr.Compressor()], pan=0.4)
    session.add_track("unheard", clips=[tr.Clip(sound(1.0, 5))], rack=[tr.Compressor()], output=None)
    session.render_to(tmp_path / "a.wav", cache=tmp_path / "c", bits=32)
    assert len(list((tmp_path / "c").iterdir())) == 1
    made = session.render_to(tmp_path / "b.wav", cache=tmp_path / "c", bits=32)
    assert sorted(made.reused) == ["again", "k"]
    assert np.array_equal(soundfile.read(tmp_path / "a.wav")[0], soundfile.read(tmp_path / "b.wav")[0])
    for _ in range(10):  # whatever the threads' timing
        assert sorted(session.render_to(tmp_path / "b.wav", cache=tmp_path / "c", bits=32).reused) == ["again", "k"]


def test_python_effects_are_never_taken_for_known(tmp_path):
    for gain in (0.5, 0.1):
        effect = tr.PythonEffect(lambda x, rate, gain=gain: x * np.float32(gain))
        session = one_track(rack=[effect])
        made = session.render_to(tmp_path / "m.wav", cache=tmp_path / "c", bits=32, tail=None)
        assert made.reused == []
        y = soundfile.read(tmp_path / "m.wav")[0]
        assert np.max(np.abs(y)) == pytest.approx(gain * np.max(np.abs(sound(1.0))), rel=0.05)
        with pytest.raises(ValueError, match="bounce it instead"):
            freeze(session, "k", tmp_path)
        made = session.render_to(tmp_path / "m.wav", checkpoint=True)
        assert "k has an effect outside the engine" in made.notes[0]


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


def test_frozen_channels_notice_what_matters_and_nothing_else(tmp_path):
    session = one_track(rack=[tr.Compressor()])
    session.add_track("vox", clips=[tr.Clip(sound(1.0, 2))])
    session["k"].send("vox", -6)
    session.automate("k.sends.vox.gain_db", [(0, -6), (0.5, -3)])
    freeze(session, "k", tmp_path)
    freeze(session, "vox", tmp_path)
    session["vox"].solo = True
    session.render()
    session.rename("vox", "voice")
    session.render()
    session.end = 0.5
    with pytest.raises(ValueError, match="was changed since it was frozen"):
        session.render()
    alone = one_track(rack=[tr.Gain()])
    alone.add_track("other", clips=[tr.Clip(sound(1.0, 3))], solo=True)
    assert np.max(np.abs(soundfile.read(freeze(alone, "k", tmp_path))[0])) > 0.01  # solo or not


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
