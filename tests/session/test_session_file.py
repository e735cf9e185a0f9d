"""Session files: what was saved is loaded and sounds the same; what is broken or hostile is refused in one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from session_support import RATE, one_track, random_session, sound
from support import music
from twinrack.session.clip import Clip
from twinrack.session.session import Session


@pytest.fixture
def song(tmp_path) -> Path:
    """A small session on disk."""

    (tmp_path / "audio").mkdir()
    for name in ("a", "b"):
        soundfile.write(tmp_path / "audio" / f"{name}.wav", 0.1 * music(2, 4800, RATE, ord(name)).T, RATE, subtype="FLOAT")
    session = Session(
        "song", RATE, metadata={"title": "Song"}, tempo=[(0, 90), tr.Tempo(4, 100, ramp=True), (8, 140)], end="1:00"
    )
    session.add_return("plate", rack=[tr.ConvolutionReverb(impulse_response=tr.Response(np.ones((2, 9)), RATE))])
    a = session.add_track(
        "a", clips=[Clip(tmp_path / "audio" / "a.wav", start="1 beats", fade_out=0.01)], rack=[tr.Compressor()]
    )
    a.send("plate", -6, tap="pre", pan=0.3)
    session.add_track("b", clips=[Clip(tmp_path / "audio" / "b.wav")], rack=[tr.Gate(key="a")], gain_db=-3, law="linear_6db")
    session["b"].keys["a"] = ("a", "pre")
    session.automate("a.gain_db", [(0, -6, "hold"), ("2 beats", 0)])
    session.automate("b.mute", [(0.5, True, "hold")])
    session.master.rack = tr.Rack([tr.Limiter()])
    path = tmp_path / "song.session.json"
    session.save(path)
    return path


def test_random_sessions_come_back(tmp_path):
    for seed in range(30):
        session = random_session(seed)
        path = tmp_path / f"{seed}" / "x.session.json"
        path.parent.mkdir()
        session.save(path, collect=True)
        loaded = Session.load(path)
        assert np.array_equal(loaded.render(), session.render()), seed
        loaded.save(path)
        assert Session.load(path) == loaded
        text = path.read_text(encoding="utf-8")
        loaded.save(path)
        assert path.read_text(encoding="utf-8") == text


def test_the_file_is_readable_and_moves_with_its_folder(song, tmp_path):
    session = Session.load(song)
    assert session.metadata == {"title": "Song"}
    assert session.tempo[1] == tr.Tempo(4, 100, True)
    assert session.end == "1:00"
    assert session["b"].keys == {"a": ("a", "pre")}
    text = song.read_text(encoding="utf-8")
    assert '"file": "audio/a.wav"' in text
    assert '[0, -6, "hold"]' in text
    y = session.render(end=0.5)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for item in list(tmp_path.iterdir()):
        if item != moved:
            item.rename(moved / item.name)
    assert np.array_equal(Session.load(moved / song.name).render(end=0.5), y)


def test_recordings_elsewhere(song, tmp_path):
    session = Session.load(song)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ValueError, match="not in the session's folder"):
        session.save(other / "song.session.json")
    assert not (other / "song.session.json").exists()
    session.save(other / "song.session.json", collect=True)
    assert {p.name for p in (other / "song.media").iterdir()} == {"a.wav", "b.wav"}
    assert np.array_equal(Session.load(other / "song.session.json").render(end=0.2), session.render(end=0.2))
    y = session.render(end=0.2)
    (tmp_path / "audio").rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"needs 2 recordings that are not there: audio/a.wav, audio/b.wav; put them"):
        Session.load(song)
    (tmp_path / "media").mkdir()
    (tmp_path / "moved").rename(tmp_path / "media" / "audio")
    loaded = Session.load(song, media=[tmp_path / "media"])
    assert np.array_equal(loaded.render(end=0.2), y)


def changed(path: Path, change) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def channel(data, name):
    return next(c for c in data["channels"] if c["name"] == name)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.update(format="x"), "is not a twinrack session: its format is 'x'"),
        (lambda d: d.update(version=99, written_by="twinrack 9"), "written by a newer twinrack .twinrack 9."),
        (lambda d: d.update(version=True), "version is True"),
        (lambda d: d.update(sample_rate=1), "sample rate 1 Hz is outside"),
        (lambda d: d.update(width=99), "width must be an integer from 1 to 16, got 99"),
        (lambda d: d.update(tempo=[]), "no point at beat 0"),
        (lambda d: d.update(tempo=[{"beat": 0, "bpm": 0}]), "0 beats a minute"),
        (lambda d: d.update(end="soon"), "end is 'soon'"),
        (lambda d: d.update(channels=[]), "channels has too few entries; at least 1"),
        (lambda d: d.update(surprise=1), "surprise is not known here"),
        (lambda d: channel(d, "a").update(pan=3), r"channels\[1\] .a.: fader.pan = 3 is above 1"),
        (lambda d: channel(d, "a").update(law="x"), "fader.law = 'x' is none of"),
        (lambda d: channel(d, "a").update(name="a/b"), "channel name 'a/b'"),
        (lambda d: channel(d, "a").update(name="b"), "already a channel 'b'"),
        (lambda d: channel(d, "a").update(output="nowhere"), "output of a has no channel 'nowhere'"),
        (lambda d: channel(d, "a").update(output="a"), "circle: a → a"),
        (lambda d: channel(d, "plate").update(output="a"), "circle"),
        (lambda d: channel(d, "a")["sends"][0].update(to="plat"), "did you mean 'plate'"),
        (lambda d: channel(d, "a")["rack"]["rack"][0].update(effect="compresor"), r"a.: rack\[0\]: no effect is called"),
        (lambda d: channel(d, "a")["rack"]["rack"][0]["values"].update(ratio=0.1), "compressor.ratio = 0.1 is below 1"),
        (lambda d: channel(d, "a").update(rack=5), r"rack is 5; an object \{…\} or text or a list \[…\] was expected"),
        (lambda d: channel(d, "a").update(automation={"gain_db": []}), "a.gain_db has no points"),
        (lambda d: channel(d, "a").update(automation={"gain": [[0, 1]]}), "did you mean 'gain_db'"),
        (lambda d: channel(d, "a").update(automation={"gain_db": [[0]]}), "automation.gain_db"),
        (lambda d: channel(d, "a").update(automation={"gain_db": [[0, 1, "wild"]]}), "curve 'wild'"),
        (lambda d: channel(d, "a").update(automation={"gain_db": [[True, 1]]}), "a point of the automation of gain_db"),
        (lambda d: channel(d, "a")["clips"][0].update(file="/etc/passwd"), "leaves the session's folder"),
        (lambda d: channel(d, "a")["clips"][0].update(file="../x.wav"), "leaves the session's folder"),
        (lambda d: channel(d, "a")["clips"][0].update(file="a/../../x.wav"), "leaves the session's folder"),
        (lambda d: channel(d, "a")["clips"][0].update(file="C:\\x.wav"), "leaves the session's folder"),
        (lambda d: channel(d, "a")["clips"][0].update(file=""), "leaves the session's folder"),
        (lambda d: channel(d, "a").update(rack="../x.rack.json"), "leaves the session's folder"),
        (lambda d: channel(d, "a")["clips"][0].update(gain_db=1e9), "gain_db = 1000000000.0 of clip"),
        (lambda d: d["channels"].reverse(), "the master is the last channel"),
        (lambda d: channel(d, "plate")["rack"]["arrays"].update(sha256="0" * 64), "sha256 does not fit"),
        (lambda d: channel(d, "plate")["rack"]["arrays"].update(file="../x.safetensors"), "arrays.file"),
    ],
)
def test_wrong_files_are_refused_in_one_sentence(song, change, match):
    changed(song, change)
    with pytest.raises((ValueError, FileNotFoundError), match=match) as caught:
        Session.load(song)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(str(song)) <= 1


def test_broken_and_huge_files(song, tmp_path):
    text = song.read_text(encoding="utf-8")
    for i in range(0, len(text) - 2, 97):
        song.write_text(text[:i], encoding="utf-8")
        with pytest.raises(ValueError, match="not valid JSON"):
            Session.load(song)
    for content, match in (
        (b"[" * 100000, "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "holds a JSON list"),
        (b'{"format": "twinrack.session", "version": 1, "name": "x", "sample_rate": 1e999, "channels": []}', "sample_rate"),
        (b'{"format": "twinrack.session", "version": 1, "name": "x", "sample_rate": NaN, "channels": []}', "sample_rate"),
    ):
        song.write_bytes(content)
        with pytest.raises(ValueError, match=match):
            Session.load(song)
    deep: object = {"effect": "gain", "version": "1.0.0"}
    for _ in range(400):
        deep = {"chain": [deep]}
    song.write_text(text, encoding="utf-8")
    changed(song, lambda d: channel(d, "a")["rack"].update(rack=[deep]))
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        Session.load(song)
    with song.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(ValueError, match="more than 64 MB"):
        Session.load(song)
    with pytest.raises(FileNotFoundError, match="there is no session"):
        Session.load(tmp_path / "none.session.json")
    with pytest.raises(ValueError, match="is a folder; give the session file"):
        Session.load(tmp_path)


def test_links_that_leave_the_folder(song, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    target = song.parent / "audio" / "a.wav"
    target.rename(outside / "a.wav")
    target.symlink_to(outside / "a.wav")
    with pytest.raises(ValueError, match="is a link that leaves the session's folder"):
        Session.load(song)
    Session.load(song, media=[outside])


def test_a_failed_save_leaves_the_old_file(song):
    before = song.read_bytes()
    session = Session.load(song)
    session["a"].output = "nowhere"
    with pytest.raises(ValueError, match="nowhere"):
        session.save(song)
    session["a"].output = "master"
    session.provenance["x"] = float("nan")
    with pytest.raises(ValueError, match="cannot hold this session"):
        session.save(song)
    assert song.read_bytes() == before
    assert not [p for p in song.parent.iterdir() if p.name.startswith(".")]
    if os.geteuid() != 0:
        song.parent.chmod(0o500)
        with pytest.raises(OSError, match="may not be written"):
            Session.load(song).save(song)
        song.parent.chmod(0o700)


def test_texts_are_saved_as_they_are(tmp_path):
    soundfile.write(tmp_path / "take [ 1,   2 ].wav", sound(0.2).T, RATE)
    session = one_track(tr.Clip(tmp_path / "take [ 1,   2 ].wav", name='"[ 3,  4 ]"'))
    session.metadata["comment"] = "see [ 1,   2 ]"
    session.automate("k.gain_db", [(0, -3), (0.1, 0, "smooth")])
    session.save(tmp_path / "x.session.json")
    loaded = tr.Session.load(tmp_path / "x.session.json")
    assert loaded.metadata == session.metadata
    assert loaded["k"].clips[0].name == '"[ 3,  4 ]"'
    assert '[0.1, 0, "smooth"]' in (tmp_path / "x.session.json").read_text(encoding="utf-8")


def test_saving_again_collects_nothing_twice(tmp_path):
    session = one_track()
    for _ in range(3):
        session.save(tmp_path / "x.session.json", collect=True)
    assert len(list((tmp_path / "x.media").iterdir())) == 1


def test_two_sends_to_one_channel_are_refused(tmp_path):
    one_track().save(tmp_path / "x.session.json", collect=True)
    data = json.loads((tmp_path / "x.session.json").read_text())
    data["channels"][0]["sends"] = [{"to": "master"}, {"to": "master"}]
    (tmp_path / "y.session.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="there are two sends to 'master'"):
        tr.Session.load(tmp_path / "y.session.json")
