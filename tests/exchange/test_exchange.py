"""DAWproject: what was written is valid and comes back sounding the same; what is broken or hostile is refused in a word."""

from __future__ import annotations

import re
import stat
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from exchange_support import carried_session, null_db, peak_db, repacked, xml_of
from session_support import RATE, random_session
from support import music
from twinrack.exchange.dawproject import read_dawproject, write_dawproject
from twinrack.session.clip import Clip
from twinrack.session.freeze import freeze
from twinrack.session.session import Session

etree = pytest.importorskip("lxml.etree")
SCHEMAS = Path(__file__).parents[1] / "data" / "dawproject"


def valid(path: Path) -> None:
    """Refuse what the published schema refuses."""
    with zipfile.ZipFile(path) as archive:
        for name, schema in (("project.xml", "Project.xsd"), ("metadata.xml", "MetaData.xsd")):
            etree.XMLSchema(etree.parse(SCHEMAS / schema)).assertValid(etree.fromstring(archive.read(name)))


def there_and_back(session: Session, folder: Path, **settings) -> tuple[Session, list[str], list[str]]:
    folder.mkdir(exist_ok=True)
    lost = write_dawproject(session, folder / "song.dawproject", **settings)
    valid(folder / "song.dawproject")
    found, missed = read_dawproject(folder / "song.dawproject", folder / "audio")
    return found, lost, missed


@pytest.fixture
def song(tmp_path) -> Path:
    """A small project on disk."""
    session = Session("song", RATE, tempo=[(0, 90), tr.Tempo(4, 100, ramp=True), (8, 140)], metadata={"title": "Song"})
    session.add_group("all", gain_db=-1)
    session.add_return("room", gain_db=-6)
    x = 0.1 * music(2, 9600, RATE, 1)
    session.add_track(
        "a", clips=[Clip(x, "1 beats", fade_out=0.01, name="one")], output="all", rack=[tr.Compressor(), tr.Limiter()]
    )
    session.add_track(
        "b",
        clips=[Clip(x, 0.3, loop=True, loop_length=0.05, duration=0.4)],
        rack=[tr.ParametricEQ(bands=[tr.Band("bell", gain_db=3)])],
    )
    session["a"].send("room", -9, tap="pre", pan=0.3)
    session.automate("a.gain_db", [(0, -6, "hold"), ("2 beats", 0), (2.0, -12)])
    session.automate("b.mute", [(0.5, True, "hold")])
    session.automate("a.sends.room.mute", [(0.6, True, "hold")])
    write_dawproject(session, tmp_path / "song.dawproject")
    return tmp_path / "song.dawproject"


# What comes back


def test_random_sessions_come_back(tmp_path):
    for seed in range(40):
        session = carried_session(seed)
        found, lost, missed = there_and_back(session, tmp_path / f"{seed}")
        assert not [s for s in lost if "straight lines" not in s], seed
        assert not missed, seed
        session.end = found.end = max(session.render().shape[1], found.render().shape[1]) / RATE
        assert null_db(session.render(), found.render()) < -90, seed
        again = tmp_path / f"{seed}" / "again.dawproject"
        found.end = None
        assert not write_dawproject(found, again), seed
        assert xml_of(again) == xml_of(tmp_path / f"{seed}" / "song.dawproject"), seed


def test_any_session_is_written_validly_and_can_be_read(tmp_path):
    """What was read holds only what the format can say, so writing and reading it again changes its sound no more."""
    loud = 0
    for seed in range(20):
        session = random_session(seed, 0.2)
        first, lost, _ = there_and_back(session, tmp_path / f"{seed}", bounce=seed % 2 == 1)
        assert all(s and "\n" not in s for s in lost)
        again, _, _ = there_and_back(first, tmp_path / f"{seed} again")
        first.end = again.end = 0.3
        y = first.render()
        loud += np.max(np.abs(y)) > 1e-3
        assert null_db(y, again.render()) < -90, seed
    assert loud >= 15


def test_any_session_can_be_bounced(tmp_path):
    for seed in range(12):
        session = random_session(seed, 0.3)
        session.master.rack = tr.Rack()
        session.master.automation = {a: p for a, p in session.master.automation.items() if a in ("gain_db", "pan")}
        for channel in session:
            for fader in (channel.fader, *(s.fader for s in channel.sends)):
                fader.width, fader.law = 1.0, "balance"
            channel.automation = {a: p for a, p in channel.automation.items() if not a.endswith("width")}
        found, _, missed = there_and_back(session, tmp_path / f"{seed}", bounce=True)
        assert not missed
        session.end = found.end = 1.0
        assert null_db(session.render(), found.render()) < -90, seed


def test_what_is_bounced_sounds_the_same(tmp_path):
    x = 0.2 * music(2, 9600, RATE, 3)
    session = Session("song", RATE)
    session.add_group("drums", rack=[tr.Saturation(drive_db=12)], gain_db=-3)
    session.add_track("kick", clips=[Clip(x, 0.05)], output="drums", polarity="invert_left")
    session.add_track("snare", clips=[Clip(x[:1], 0.1, reverse=True)], output="drums", gain_db=-6).send("plate", -6)
    session.add_return("plate", rack=[tr.FDNReverb(decay_s=0.3)])
    session.add_track("voice", clips=[Clip(x, 0.0)], rack=[tr.Gate(key="kick"), tr.Compressor(knee_db=0.5)], pan=-0.5)
    session.automate("drums.gain_db", [(0, -20), (0.2, 0)])
    found, lost, missed = there_and_back(session, tmp_path, bounce=True)
    assert not missed
    assert {c.name: c.kind for c in found} == {"drums": "track", "plate": "track", "voice": "track", "master": "master"}
    assert any("snare is within what was rendered" in s for s in lost)
    session.end = found.end = 1.0
    assert null_db(session.render(), found.render()) < -90


def test_frozen_channels_are_written_as_they_are(tmp_path):
    x = 0.2 * music(2, 9600, RATE, 3)
    session = Session("song", RATE)
    session.add_track("a", clips=[Clip(x)], rack=[tr.Compressor()], gain_db=-3)
    session.add_track("b", clips=[Clip(x)], rack=[tr.Saturation(drive_db=9)], gain_db=-3)
    for name in ("a", "b"):
        freeze(session, name, tmp_path / "frozen")
    found, _, _ = there_and_back(session, tmp_path, bounce=True)
    assert list(found["a"].rack.addresses()) == ["compressor"]
    session.end = found.end = 0.3
    assert null_db(session.render(), found.render()) < -90


def test_the_clips_that_must_be_rendered(tmp_path):
    x = 0.2 * music(2, 9600, RATE, 3)
    clips = [
        Clip(x, 0.3, reverse=True, gain_db=-3),
        Clip(x, 0.1, fade_in=0.05, fade_in_curve="equal_power"),
        Clip(x, 0.5, channels=(1,)),
        Clip(x, 0.6, fade_in=0.05, mute=True),
        Clip(x, -0.1),
    ]
    session = Session("song", RATE)
    session.add_track("a", clips=clips, polarity="invert", delay="11 frames")
    found, lost, missed = there_and_back(session, tmp_path)
    assert not lost
    assert not missed
    assert [c.mute for c in found["a"].clips] == [False, False, False, True, False]
    session.end = found.end = 1.0
    assert np.array_equal(session.render(), found.render())


def test_files_of_other_rates_and_formats(tmp_path):
    x = 0.2 * music(2, 44100, 44100, 3)
    for name in ("a.flac", "b.ogg", "c.wav"):
        soundfile.write(tmp_path / name, x.T, 44100)
    session = Session("song", RATE)
    session.add_track("a", clips=[Clip(tmp_path / n, i / 10, 0.01) for i, n in enumerate(("a.flac", "b.ogg", "c.wav"))])
    found, lost, missed = there_and_back(session, tmp_path / "x")
    assert found.sample_rate == RATE
    assert not lost + missed
    assert null_db(session.render(), found.render()) < -90
    assert (tmp_path / "x" / "audio" / "b.ogg").read_bytes() == (tmp_path / "b.ogg").read_bytes()


def test_structure_tempo_and_metadata(song, tmp_path):
    valid(song)
    found, missed = read_dawproject(song, tmp_path / "audio")
    assert not missed
    assert found.name == "song"
    assert found.metadata == {"title": "Song"}
    assert found.tempo == (tr.Tempo(0, 90), tr.Tempo(4, 100, True), tr.Tempo(8, 140))
    assert {c.name: (c.kind, c.output) for c in found} == {
        "all": ("group", "master"), "a": ("track", "all"), "room": ("return", "master"), "b": ("track", "master"),
        "master": ("master", None),
    }  # fmt: skip
    send = found["a"].send_to("room")
    assert (send.tap, send.gain_db, send.fader.get("pan")) == ("pre", -9.0, 0.3)
    assert found["a"].automation["gain_db"][1].time == pytest.approx(2 * 60 / 90)
    assert found["b"].clips[0].loop
    assert found["b"].clips[0].loop_length == pytest.approx(0.05)
    assert found["b"].rack["parametric_eq"].get("band1.gain_db") == 3.0
    assert found["a"].automation["sends.room.mute"][0].value is True


def test_reading_again_takes_the_recordings_that_are_there(song, tmp_path):
    first, _ = read_dawproject(song, tmp_path / "audio")
    files = sorted((tmp_path / "audio").iterdir())
    second, _ = read_dawproject(song, tmp_path / "audio")
    assert sorted((tmp_path / "audio").iterdir()) == files
    assert first == second
    files[0].write_bytes(b"mine")
    read_dawproject(song, tmp_path / "audio")
    assert files[0].read_bytes() == b"mine"
    assert len(list((tmp_path / "audio").iterdir())) == len(files) + 1


def test_the_same_session_is_the_same_file(tmp_path):
    session = carried_session(3)
    for name in ("a", "b"):
        write_dawproject(session, tmp_path / f"{name}.dawproject")
        time.sleep(1.1)  # a second that some formats note
    assert (tmp_path / "a.dawproject").read_bytes() == (tmp_path / "b.dawproject").read_bytes()


def test_curves_become_lines_as_exact_as_said():
    from twinrack.exchange.writer import straight
    from twinrack.session.automation import Lane, Point

    timeline = Session("x", RATE).timeline
    for effect, name, a, b in (("fader", "gain_db", -60, 3), ("parametric_eq", "band1.q", 0.2, 9), ("fader", "pan", -1, 1)):
        p = tr.CARDS[effect].addresses[name]
        for curve in ("smooth", "exponential"):
            if curve == "exponential" and a < 0:
                continue
            lane = Lane("x", p, [Point(-0.1, a, curve), Point(0.7, b), Point(0.9, a)], timeline)
            pieces, bent = straight(lane)
            assert bent == 1
            assert pieces[0][0] == 0.0
            lines = Lane("x", p, [Point(t, v, "hold" if hold else "linear") for t, v, hold in pieces], timeline)
            wrong = np.abs(lines.curve(0, 1500) - lane.curve(0, 1500))
            limit = 1e-4 if p.unit == "dB" else 2e-6 * (b if p.scale == "log" else 2)
            assert wrong.max() < 1.5 * limit


# What others write


PROJECT = """<?xml version="1.0" encoding="UTF-8"?>
<Project version="1.0">
  <Application name="Some Studio" version="5.0"/>
  <Transport><Tempo max="666" min="20" unit="bpm" value="120" id="t" name="Tempo"/>
    <TimeSignature denominator="4" numerator="3" id="s"/></Transport>
  <Structure>
    <Track contentType="audio" loaded="true" id="a" name="Drum/Loop." color="#ff0000">
      <Channel audioChannels="2" destination="mc" role="regular" solo="false" id="ac">
        <Devices>
          <Vst3Plugin deviceName="Magic" deviceRole="audioFX" id="v"/>
          <Compressor deviceName="Comp" deviceRole="audioFX" id="c"><Enabled value="true" id="ce"/>
            <Attack unit="seconds" value="0.02" id="ca"/><InputGain unit="decibel" value="3" id="ci"/>
            <Ratio unit="linear" value="4" id="cr"/><Threshold unit="decibel" value="-200" id="ct"/></Compressor>
        </Devices>
        <Mute value="false" id="am"/>
        <Pan max="1.0" min="0.0" unit="normalized" value="0.25" id="ap"/>
        <Volume max="2.0" min="0.0" unit="linear" value="0.5" id="av"/>
      </Channel>
    </Track>
    <Track contentType="notes" id="n" name="Bass"><Channel role="regular" destination="mc" id="nc"/></Track>
    <Track contentType="audio notes" id="m" name="Master"><Channel audioChannels="2" role="master" id="mc"/></Track>
  </Structure>
  <Arrangement id="arr">
    <Lanes timeUnit="beats" id="l">
      <Lanes track="a" id="la">
        <Clips id="cs">{clips}</Clips>
        <Points unit="linear" id="pp"><Target parameter="av"/>
          <RealPoint time="0.0" value="1.0" interpolation="linear"/><RealPoint time="4.0" value="0.0"/></Points>
        <Points unit="linear" id="pq"><Target parameter="ct"/><RealPoint time="1" value="0.1"/></Points>
      </Lanes>
      <Lanes track="n" id="ln"><Clips id="cn"><Clip time="0" duration="4"><Notes id="no"/></Clip></Clips></Lanes>
    </Lanes>
    <Markers id="mk"><Marker time="0" name="Intro"/></Markers>
  </Arrangement>
  <Scenes><Scene id="sc"><Lanes id="x1"/></Scene></Scenes>
</Project>
"""
AUDIO = '<Audio channels="1" duration="1.0" sampleRate="48000" id="au{n}"><File path="audio/ramp.wav"/></Audio>'


def foreign(tmp_path: Path, clips: str) -> Path:
    """A project of another program with a ramp of a second: what is heard says which second it is."""
    soundfile.write(tmp_path / "ramp.wav", np.arange(RATE) / RATE, RATE, subtype="FLOAT")
    path = tmp_path / "foreign.dawproject"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("project.xml", PROJECT.replace("{clips}", clips))
        archive.write(tmp_path / "ramp.wav", "audio/ramp.wav")
    return path


def heard(tmp_path: Path, clips: str) -> tuple[np.ndarray, list[str], Session]:
    """The clips alone, (frames,), 3 seconds."""
    session, missed = read_dawproject(foreign(tmp_path, clips), tmp_path / "audio")
    alone = Session("x", RATE, width=2, end=3.0)
    alone.add_track("a", clips=session["Drum Loop"].clips)
    return alone.render()[0], missed, session


def test_the_mixer_of_another_program(tmp_path):
    _, missed, session = heard(tmp_path, f'<Clip time="0" duration="1">{AUDIO}</Clip>')
    track = session["Drum Loop"]
    assert track.pan == -0.5
    assert track.gain_db == pytest.approx(-6.0206, abs=1e-4)
    assert list(track.rack.addresses()) == ["gain", "compressor"]
    assert track.rack["compressor"].get("threshold_db") == -80
    assert track.rack["compressor"].get("attack_ms") == 20
    points = track.automation["gain_db"]
    lane = np.array([p.value for p in points])
    times = np.array([p.time for p in points])
    assert np.all(np.diff(lane) < 0)
    assert np.interp(0.5, times, lane) == pytest.approx(20 * np.log10(0.75), abs=1e-3)
    for word in ("Magic", "3/4", "notes", "markers", "scenes", "threshold"):
        assert any(word.lower() in s.lower() for s in missed), (word, missed)


@pytest.mark.parametrize(
    ("clips", "expected"),
    [  # (from second, to second, what is heard at the beginning)
        (f'<Clip time="1" duration="1" contentTimeUnit="seconds" playStart="0.25">{AUDIO}</Clip>', [(0.5, 1.0, 0.25)]),
        (f'<Clip time="0" duration="8" contentTimeUnit="seconds" playStart="0.5">{AUDIO}</Clip>', [(0, 0.5, 0.5)]),
        (  # a loop that begins within itself
            f'<Clip time="0" duration="4" contentTimeUnit="seconds" playStart="0.25" loopStart="0" '
            f'loopEnd="0.5">{AUDIO}</Clip>',
            [(0, 0.25, 0.25), (0.25, 0.75, 0), (0.75, 1.25, 0), (1.25, 1.75, 0), (1.75, 2, 0)],
        ),
        (  # a loop longer than the recording
            f'<Clip time="0" duration="5" contentTimeUnit="seconds" playStart="0" loopStart="0" loopEnd="1.25">{AUDIO}</Clip>',
            [(0, 1, 0), (1.25, 2.25, 0)],
        ),
        (  # warped, but as the recording runs: 2 beats a second
            f'<Clip time="2" duration="1" playStart="0.5"><Warps timeUnit="beats" contentTimeUnit="seconds">{AUDIO}'
            '<Warp time="0" contentTime="0"/><Warp time="2" contentTime="1"/></Warps></Clip>',
            [(1.0, 1.5, 0.25)],
        ),
        (  # clips within a clip that loops
            '<Clip time="0" duration="6" playStart="0" loopStart="0" loopEnd="2"><Clips id="q">'
            f'<Clip time="0.5" duration="1" contentTimeUnit="seconds" playStart="0.1">{AUDIO}</Clip></Clips></Clip>',
            [(0.25, 0.75, 0.1), (1.25, 1.75, 0.1), (2.25, 2.75, 0.1)],
        ),
        (  # the window of the outer one
            '<Clip time="0" duration="1" playStart="1"><Clips id="q">'
            f'<Clip time="0" duration="2" contentTimeUnit="seconds">{AUDIO}</Clip></Clips></Clip>',
            [(0, 0.5, 0.5)],
        ),
        (
            f'<Clip time="0" duration="1" reference="k"/><Clip time="4" duration="1"><Lanes id="k">{AUDIO}</Lanes></Clip>',
            [(0, 0.5, 0), (2, 2.5, 0)],
        ),
    ],
)
def test_nested_looped_and_warped_clips(tmp_path, clips, expected):
    for n in range(clips.count("{n}")):
        clips = clips.replace("{n}", str(n), 1)
    x, missed, _ = heard(tmp_path, clips)
    y = np.zeros_like(x)
    for a, b, value in expected:
        frames = round(b * RATE) - round(a * RATE)
        y[round(a * RATE) : round(b * RATE)] = value + np.arange(frames) / RATE
    assert np.max(np.abs(x - y)) < 1e-5
    assert not any("warped" in s for s in missed)


def test_what_is_stretched_is_said_and_crossfades_begin_earlier(tmp_path):
    x, missed, session = heard(
        tmp_path,
        f'<Clip time="2" duration="2" fadeTimeUnit="seconds" fadeInTime="-0.25" fadeOutTime="0.1"><Lanes>{AUDIO}'
        '<Points unit="linear"><Target expression="gain"/><RealPoint time="0" value="0.5"/></Points></Lanes></Clip>'
        f'<Clip time="5" duration="1" enable="false"><Warps timeUnit="beats" contentTimeUnit="seconds">'
        f"{AUDIO.replace('{n}', '2')}"
        '<Warp time="0" contentTime="0"/><Warp time="4" contentTime="1"/></Warps></Clip>',
    )
    assert any("warped" in s for s in missed)
    first, second = session["Drum Loop"].clips
    assert second.mute
    assert first.gain_db == pytest.approx(-6.0206, abs=1e-4)
    assert first.start == pytest.approx(1.0)
    del x


# What is broken or hostile


def refused(path: Path, folder: Path) -> str:
    """The sentence with which a project is refused; nothing may be left."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read_dawproject(path, folder)
    said = str(caught.value)
    assert said
    assert "\n" not in said
    assert str(path) in said or str(folder) in said
    assert not folder.exists() or not list(folder.iterdir())
    return said


def changed(song: Path, to: Path, pattern: str, by: str, count: int = 1) -> Path:
    text = xml_of(song).decode()
    new, n = re.subn(pattern, by, text, count=count, flags=re.DOTALL)
    assert n, pattern
    return repacked(song, to, {"project.xml": new.encode()})


def test_archives_that_are_none_or_not_to_be_trusted(song, tmp_path):
    folder, broken = tmp_path / "audio", tmp_path / "broken.dawproject"
    assert "no file" in refused(tmp_path / "nothing.dawproject", folder)
    broken.write_bytes(b"")
    assert "not a ZIP archive" in refused(broken, folder)
    broken.write_bytes(song.read_bytes()[: song.stat().st_size // 2])
    assert "not a ZIP archive" in refused(broken, folder)
    assert "project.xml" in refused(repacked(song, broken, {"project.xml": None}), folder)
    for name in ("../out.wav", "/etc/out.wav", "C:/out.wav", "a/../../out.wav", "..\\out.wav", "a\\b.wav"):
        assert "leaves its folder" in refused(repacked(song, broken, {name: b"x"}), folder), name
    repacked(song, broken, {})
    with zipfile.ZipFile(broken, "a") as archive:
        link = zipfile.ZipInfo("audio/link.wav")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert "link" in refused(broken, folder)
    repacked(song, broken, {})
    with zipfile.ZipFile(broken, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("project.xml", "<Project/>")
    assert "two entries" in refused(broken, folder)
    with zipfile.ZipFile(broken, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("project.xml", b" " * (300 << 20))
    assert "would grow" in refused(broken, folder)
    with zipfile.ZipFile(broken, "w") as archive:
        for i in range(20_001):
            archive.writestr(f"{i}", b"")
    assert "entries" in refused(broken, folder)
    assert not (tmp_path / "out.wav").exists()


def test_xml_that_is_not_to_be_trusted(song, tmp_path):
    folder, broken = tmp_path / "audio", tmp_path / "broken.dawproject"
    bomb = '<?xml version="1.0"?><!DOCTYPE Project [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Project version="&b;"/>'
    outside = '<?xml version="1.0"?><!DOCTYPE Project SYSTEM "file:///etc/passwd"><Project version="1"/>'
    for text, word in (
        (bomb, "DOCTYPE"),
        (outside, "DOCTYPE"),
        ("<Project>" * 3000 + "</Project>" * 3000, "deep"),
        ("<Project>", "well-formed"),
        ('<?xml version="1.0" encoding="none"?><Project/>', "well-formed"),
        ("<Other/>", "Other"),
        ("<Project>" + "<a/>" * 1_000_001 + "</Project>", "elements"),
        ("", "well-formed"),
    ):
        assert word in refused(repacked(song, broken, {"project.xml": text.encode()}), folder), text[:60]
    assert "metadata.xml" in refused(repacked(song, broken, {"metadata.xml": b"<MetaData>"}), folder)


@pytest.mark.parametrize(
    ("pattern", "by", "word"),
    [
        (r'path="audio/[^"]+"', 'path="audio/none.wav"', "not in it"),
        (r'path="audio/[^"]+"', 'path="../none.wav"', "leaves"),
        (r'path="audio/[^"]+"', 'path="project.xml"', "audio"),
        (r'parameter="id\d+"', 'parameter="nobody"', "nobody"),
        (r'track="track0"', 'track="nobody"', "nobody"),
        (r'destination="channel\d+"', 'destination="nobody"', "nobody"),
        (r'id="channel1"', 'id="channel2"', "twice"),
        (r' duration="[\d.]+"', ' duration="nan"', "is NaN, infinity or beyond a week"),
        (r' duration="[\d.]+"', ' duration="inf"', "is NaN, infinity or beyond a week"),
        (r' duration="[\d.]+"', ' duration="-1"', "below 0"),
        (r' duration="[\d.]+"', ' duration="long"', "not a number"),
        (r' time="[\d.]+"', ' time="1e300"', "is NaN, infinity or beyond a week"),
        (r' loopEnd="[\d.]+"', ' loopEnd="0"', "loopEnd"),
        (r' time="[\d.]+"', "", "no time"),
        (r'value="90.0" interpolation', 'value="-5" interpolation', "outside"),
        (r'type="bell"', 'type="star"', "star"),
        (r'role="submix"', 'role="hero"', "hero"),
        (r'contentTimeUnit="seconds"', 'contentTimeUnit="years"', "years"),
        (r'solo="false"', 'solo="perhaps"', "neither"),
    ],
)
def test_projects_that_contradict_themselves(song, tmp_path, pattern, by, word):
    assert word in refused(changed(song, tmp_path / "broken.dawproject", pattern, by), tmp_path / "audio")


def test_circles(song, tmp_path):
    text = xml_of(song).decode()
    group = re.search(r'id="(channel\d+)" role="submix"', text)[1]
    track = re.search(r'id="(channel\d+)" role="regular"[^>]*destination="' + group, text)[1]
    circle = re.sub(rf'(id="{group}"[^>]*destination=)"[^"]+"', rf'\1"{track}"', text)
    broken = repacked(song, tmp_path / "broken.dawproject", {"project.xml": circle.encode()})
    assert "circle" in refused(broken, tmp_path / "audio")
    clips = '<Clip time="0" duration="1"><Clips id="me"><Clip time="0" duration="1" reference="me"/></Clips></Clip>'
    path = foreign(tmp_path, clips)
    assert "itself" in refused(path, tmp_path / "audio")
    endless = f'<Clip time="0" duration="99999" playStart="0" loopStart="0" loopEnd="1e-5"><Lanes>{AUDIO}</Lanes></Clip>'
    with pytest.raises(ValueError, match="more than 100000"):
        read_dawproject(foreign(tmp_path, endless), tmp_path / "audio")


def test_hundreds_of_broken_projects(song, tmp_path):
    """Bytes and numbers turned at random: a sentence, or a session; never anything else, nor a file elsewhere."""
    rng = np.random.default_rng(5)
    text, whole = xml_of(song), song.read_bytes()
    values = [
        b"nan",
        b"-1",
        b"1e308",
        b"",
        b"inf",
        b"-inf",
        b"id3",
        b"channel0",
        b"track1",
        b"1e-320",
        b"9" * 400,
        b"true",
        b"\xff",
    ]
    places = [m.span(1) for m in re.finditer(rb'="([^"]*)"', text)]
    tags = [m.span() for m in re.finditer(rb"<[^>]+/>", text)]
    work = tmp_path / "work"
    work.mkdir()
    path, folder = work / "x.dawproject", work / "audio"
    read = 0
    for i in range(600):
        if i % 3 == 0:
            data = bytearray(whole)
            for at in (
                rng.integers(0, len(data), int(rng.integers(1, 6))) if i % 2 else rng.integers(len(data) - 600, len(data), 2)
            ):
                data[at] = rng.integers(256)
            path.write_bytes(data)
        elif i % 3 == 1:
            a, b = places[rng.integers(len(places))]
            repacked(song, path, {"project.xml": text[:a] + values[rng.integers(len(values))] + text[b:]})
        else:
            (a, b), (c, d) = (tags[k] for k in rng.integers(len(tags), size=2))
            other = text[c:d] if rng.random() < 0.5 else b""
            repacked(song, path, {"project.xml": text[:a] + other + text[b:]})
        try:
            session, missed = read_dawproject(path, folder)
        except (ValueError, FileNotFoundError) as error:
            said = str(error)
            assert said, i
            assert "\n" not in said, i
            assert said.startswith(str(path)), (i, said)
        else:
            read += 1
            assert all(s and "\n" not in s for s in missed)
            assert all(c.path.parent == folder for channel in session for c in channel.clips)
        for left in folder.iterdir() if folder.exists() else ():
            assert left.suffix == ".wav", left
            left.unlink()
        assert {p.name for p in work.iterdir()} <= {"x.dawproject", "audio"}
    assert 100 < read < 500


def test_writing_is_whole_or_not_at_all(tmp_path, song):
    session, _ = read_dawproject(song, tmp_path / "audio")
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_dawproject(session, tmp_path / "none" / "x.dawproject")
    next((tmp_path / "audio").iterdir()).unlink()
    before = song.read_bytes()
    with pytest.raises(FileNotFoundError):
        write_dawproject(session, song)
    assert song.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"song.dawproject", "audio"}


def test_a_loud_and_a_silent_fader(tmp_path):
    session = Session("song", RATE, end=0.2)
    session.add_track("a", clips=[Clip(0.1 * music(2, 4800, RATE, 1))], gain_db=-100, pan=1.0)
    session.add_track("b", clips=[Clip(0.1 * music(2, 4800, RATE, 1))], gain_db=24, pan=-1.0, solo=True)
    found, lost, _ = there_and_back(session, tmp_path)
    assert [found["a"].gain_db, found["b"].gain_db] == [-100, 24]
    assert found["b"].solo
    assert len(lost) == 1
    assert peak_db(found.render()) > -20


def test_devices_keep_their_names_orders_and_bypass(tmp_path):
    bands = [
        tr.Band("low_cut", frequency_hz=80, slope_db_per_octave="36"),
        tr.Band("off"),
        tr.Band("high_shelf", gain_db=-2, q=0.5),
    ]
    rack = [
        tr.Gain(gain_db=-3, name="trim"),
        tr.ParametricEQ(bands=bands, bypass=True),
        tr.Compressor(name="glue", auto_makeup=True, makeup_db=2),
        tr.Gate(range_db=20, attack_ms=1.5),
        tr.Limiter(ceiling_db=-2, lookahead_ms=3, input_gain_db=4),
    ]
    session = Session("song", RATE)
    session.add_track("a", clips=[Clip(np.ones((1, 100)))], rack=rack)
    session.automate("a.parametric_eq.band3.gain_db", [(0, 0), (1, 6)])
    found, lost, missed = there_and_back(session, tmp_path)
    assert not lost + missed
    assert list(found["a"].rack.addresses()) == ["trim", "parametric_eq", "glue", "gate", "limiter"]
    for name in ("trim", "glue", "gate", "limiter"):
        assert found["a"].rack[name] == session["a"].rack[name]
    eq = found["a"].rack["parametric_eq"]
    assert eq.bypass
    assert eq.bands[:2] == (bands[0], bands[2])
    assert list(found["a"].automation) == ["parametric_eq.band2.gain_db"]


def test_devices_of_another_program(tmp_path):
    bands = "".join(
        f'<Band type="bell"><Freq unit="hertz" value="{100 + i}" id="f{i}"/><Gain unit="decibel" value="1" id="g{i}"/></Band>'
        for i in range(18)
    )
    odd = '<Band type="highPass" order="3"><Freq unit="hertz" value="50"/></Band>'
    off = '<Band type="notch"><Freq unit="hertz" value="5"/><Enabled value="false"/></Band>'
    devices = (
        f'<Equalizer deviceName="E" deviceRole="audioFX" name="E 1">{odd}{off}{bands}'
        '<OutputGain unit="linear" value="2"/></Equalizer>'
        '<NoiseGate deviceName="N" deviceRole="audioFX"><Range unit="decibel" value="-inf"/></NoiseGate>'
        '<Limiter deviceName="L" deviceRole="audioFX"><Attack unit="seconds" value="0"/></Limiter>'
    )
    path = foreign(tmp_path, "")
    text = re.sub(r"<Devices>.*</Devices>", f"<Devices>{devices}</Devices>", xml_of(path).decode(), flags=re.DOTALL)
    text = re.sub(r'<Points unit="linear" id="pq">.*?</Points>', "", text, flags=re.DOTALL)
    session, missed = read_dawproject(
        repacked(path, tmp_path / "x.dawproject", {"project.xml": text.encode()}), tmp_path / "audio"
    )
    rack = session["Drum Loop"].rack
    assert list(rack.addresses()) == ["parametric_eq", "parametric_eq_2", "gain", "gate", "limiter"]
    assert rack["parametric_eq"].get("band1.slope_db_per_octave") == "24"
    assert rack["parametric_eq_2"].get("band3.frequency_hz") == 117
    assert rack["parametric_eq_2"].get("band4.type") == "off"
    assert rack["gain"].get("gain_db") == pytest.approx(6.0206, abs=1e-4)
    assert rack["gate"].get("range_db") == 100
    assert rack["limiter"].get("lookahead_ms") == 1
    assert any("order 3" in s for s in missed)
