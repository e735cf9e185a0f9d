"""What files say of themselves, kept from format to format: written by hand or by libsndfile, read back by tinytag, wavinfo and
libsndfile, which know nothing of this package.
"""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from twinrack.files.audio_file import AudioFile, AudioWriter
from twinrack.formats import id3
from twinrack.formats.metadata import read_metadata
from twinrack.formats.tags import Marker, Metadata, Picture
from twinrack.render.file import render_file

RATE = 48000
ENDINGS = ["wav", "flac", "ogg", "aiff", "mp3"]
TITLES = [
    "Plain", "Études d'exécution transcendante, n° 4", "夜の歌 🎵👩‍🎤", "Ω" * 300, "x" * 5000, "Ünï\u0301", "ÿþ marks", "a\nb",
]  # fmt: skip
X = np.random.default_rng(0).uniform(-0.1, 0.1, (24000, 2))


def png(width: int = 3, height: int = 2) -> bytes:
    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def write(path: Path, metadata: Metadata) -> list[str]:
    with AudioWriter(path, RATE, 2, 16, metadata=metadata) as out:
        out.write(X.T.astype(np.float32))
    return out.notes


def render(source: Path, path: Path, **settings) -> tuple[Metadata, tuple[str, ...]]:
    result = render_file(source, path, tr.Rack([]), tail=None, **settings)
    assert abs(len(soundfile.read(path)[0]) - len(soundfile.read(source)[0])) < 4000 or settings
    assert not list(path.parent.glob("*.part"))
    assert not list(path.parent.glob(".*"))
    with AudioFile(path) as file:
        return file.metadata(), result.notes


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("title", TITLES)
def test_titles_are_read_by_others(tmp_path, ending, title):
    tinytag = pytest.importorskip("tinytag")
    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE, 2) as file:
        file.title = title
        file.artist = "Ärtist"
        file.write(X)
    render_file(tmp_path / "a.flac", tmp_path / f"b.{ending}", tr.Rack([]), tail=None)
    session = tr.Session("s", RATE, metadata={"title": title, "artist": "Ärtist"})
    session.add_track("t", clips=[tr.Clip(tmp_path / "a.flac")])
    session.render_to(tmp_path / f"c.{ending}", tail=None)
    for name in ("b", "c"):
        path = tmp_path / f"{name}.{ending}"
        with AudioFile(path) as file:
            assert file.tags()["title"] == title
            assert file.tags()["artist"] == "Ärtist"
        found = tinytag.TinyTag.get(path)
        assert (found.title, found.artist) == (title, "Ärtist")
        with soundfile.SoundFile(path) as file:
            if ending in ("flac", "ogg") or (ending == "wav" and len(title) < 400):
                assert file.title == title


FULL = Metadata(
    comments={
        "TITLE": ["Té 🎵"], "ARTIST": ["Ä", "B/C"], "ALBUM": ["Al"], "ALBUMARTIST": ["AA"], "COMPOSER": ["Cömp"],
        "TRACKNUMBER": ["3/9"], "DISCNUMBER": ["1"], "DATE": ["2021-05-06"], "GENRE": ["Jazz"], "ISRC": ["DEABC2112345"],
        "COMMENT": ["a comment"], "COPYRIGHT": ["© me"], "LYRICS": ["la\nlü"], "CUSTOM NAME": ["ü"], "LICENSE": ["CC BY 4.0"],
        "BPM": ["120"], "MOOD": ["calm"], "ARTISTSORT": ["A"], "SOFTWARE": ["some program"], "MUSICBRAINZ_TRACKID": ["12-34"],
        "COMMENT:NOTE": ["other"],
    },
    pictures=[Picture(png(), "image/png", 3, "Frönt"), Picture(png(5, 7), "image/png", 4)],
    markers=[Marker(1, 4800, "Öne"), Marker(2, 14400, "two")],
)  # fmt: skip


@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("second", ENDINGS)
def test_all_of_it_goes_from_format_to_format(tmp_path, first, second):
    assert write(tmp_path / f"a.{first}", FULL) == []
    before = read_metadata(tmp_path / f"a.{first}", RATE)
    after, notes = render(tmp_path / f"a.{first}", tmp_path / f"b.{second}")
    assert notes == ()
    for found in (before, after):
        assert found.unread == []
        assert found.comments == FULL.comments
        assert [(p.data, p.mime, p.kind, p.description) for p in found.pictures] == [
            (p.data, p.mime, p.kind, p.description) for p in FULL.pictures
        ]
        assert [(m.frame, m.label) for m in found.markers] == [(4800, "Öne"), (14400, "two")]


@pytest.mark.parametrize("ending", ENDINGS)
def test_covers_and_names_are_read_by_others(tmp_path, ending):
    tinytag = pytest.importorskip("tinytag")
    write(tmp_path / f"a.{ending}", FULL)
    found = tinytag.TinyTag.get(tmp_path / f"a.{ending}", image=True)
    assert found.album == "Al"
    assert found.composer == "Cömp"
    assert found.genre == "Jazz"
    if ending != "wav":  # of which tinytag reads the INFO list alone when there is one
        assert found.albumartist == "AA"
        assert found.images.front_cover.data == png()
        assert found.images.front_cover.mime_type == "image/png"
        assert found.disc == 1


def riff_file(path: Path, *chunks: tuple[bytes, bytes]) -> None:
    soundfile.write(path, X, RATE, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    for name, content in chunks:
        data += name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    data[4:8] = struct.pack("<I", len(data) - 8)
    path.write_bytes(data)


def cue(*frames: int) -> bytes:
    return struct.pack("<I", len(frames)) + b"".join(
        struct.pack("<II4sIII", i + 1, f, b"data", 0, 0, f) for i, f in enumerate(frames)
    )


def sampler(start: int, end: int) -> bytes:
    return struct.pack("<9I", 0, 0, 1000000000 // RATE, 60, 7, 0, 0, 1, 0) + struct.pack("<6I", 0, 0, start, end, 0, 3)


def bext(first: int) -> bytes:
    return b"Scene 1".ljust(256, b"\0") + bytes(82) + struct.pack("<Q", first) + struct.pack("<H", 1) + bytes(254)


IXML = b"<BWFXML><SPEED><FILE_SAMPLE_RATE>48000</FILE_SAMPLE_RATE></SPEED></BWFXML>"
LABELS = (
    b"adtl" + b"labl" + struct.pack("<II", 13, 1) + b"begin \xc3\xa9\0\0"
    + b"ltxt" + struct.pack("<III4sHHHH", 20, 2, 4800, b"rgn ", 0, 0, 0, 0)
    + b"note" + struct.pack("<II", 8, 2) + b"abc\0"
)  # fmt: skip


@pytest.mark.parametrize("rate", [48000, 44100, 96000])
def test_markers_loops_and_chunks_of_wav(tmp_path, rate):
    chunks = (
        (b"cue ", cue(2400, 12001)), (b"LIST", LABELS), (b"smpl", sampler(1000, 20001)), (b"bext", bext(480000)),
        (b"iXML", IXML), (b"axml", b"<ebuCoreMain/>"), (b"inst", b"\x3c\0\0\0\x7f\0\x7f"),
    )  # fmt: skip
    riff_file(tmp_path / "a.wav", *chunks)
    found, notes = render(tmp_path / "a.wav", tmp_path / "b.wav", sample_rate=rate)
    assert notes == ()

    def turned(frames: int) -> int:
        return round(frames * rate / RATE)

    first, second = found.markers
    assert (first.id, first.frame, second.id, second.frame) == (1, turned(2400), 2, turned(12001))
    assert (first.label, second.note, second.length, second.purpose) == ("begin é", "abc", turned(4800), b"rgn ")
    loop = struct.unpack("<6I", found.chunks[b"smpl"][36:])
    assert loop == (0, 0, turned(1000), turned(20001), 0, 3)
    head = struct.unpack("<9I", found.chunks[b"smpl"][:36])
    assert head == (0, 0, round(1e9 / rate) if rate != RATE else 1000000000 // RATE, 60, 7, 0, 0, 1, 0)
    assert struct.unpack("<Q", found.chunks[b"bext"][338:346])[0] == 480000 * rate // RATE
    assert found.chunks[b"iXML"] == IXML.replace(b"48000", str(rate).encode())
    assert found.chunks[b"axml"] == b"<ebuCoreMain/>"
    wavinfo = pytest.importorskip("wavinfo")
    info = wavinfo.WavInfoReader(str(tmp_path / "b.wav"))
    assert info.bext.description == "Scene 1"
    assert info.bext.time_reference == 480000 * rate // RATE
    assert [c.sample_offset for c in info.cues.cues] == [turned(2400), turned(12001)]
    assert info.smpl.sample_loops[0].start == turned(1000)


def test_latency_and_tail_do_not_move_markers(tmp_path):
    """The sound is where it was, and so are they."""
    x = np.zeros((RATE, 1))
    x[12000] = 0.5
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    with AudioWriter(tmp_path / "b.wav", RATE, 1, 32, metadata=Metadata(markers=[Marker(1, 12000, "click")])) as out:
        out.write(x.T.astype(np.float32))
    rack = tr.Rack([tr.Limiter(ceiling_db=-1), tr.FDNReverb(mix=0.01)])
    render_file(tmp_path / "b.wav", tmp_path / "c.wav", rack, bits=32)
    with AudioFile(tmp_path / "c.wav") as file:
        at = file.metadata().markers[0].frame
        assert int(np.argmax(np.abs(file.read()[0]))) == at == 12000


def test_what_has_no_place_is_listed(tmp_path):
    why, because = "left out, as", "has no place for it here or its meaning is not known"
    riff_file(
        tmp_path / "a.wav",
        (b"bext", bext(0)),
        (b"iXML", IXML),
        (b"DGDA", b"private"),
        (b"cue ", cue(100, 5000)),
        (b"LIST", LABELS),
    )
    _, notes = render(tmp_path / "a.wav", tmp_path / "b.flac")
    assert notes == (f"b.flac: {why} FLAC {because}: chunk DGDA, chunk bext, chunk iXML, notes of markers",)
    _, notes = render(tmp_path / "a.wav", tmp_path / "b.wav")
    assert notes == (f"b.wav: {why} WAV {because}: chunk DGDA",)
    result = write(tmp_path / "c.flac", Metadata({"TITLE": ["t"], "REPLAYGAIN_TRACK_GAIN": ["-3 dB"]}))
    assert result == ["c.flac: left out, as it is of the sound before: REPLAYGAIN_TRACK_GAIN"]
    assert b"REPLAYGAIN" not in (tmp_path / "c.flac").read_bytes()


def test_a_long_wav_is_an_rf64_with_its_tags(tmp_path, monkeypatch):
    monkeypatch.setattr("twinrack.files.audio_file.LARGEST_WAV", 1000)
    with AudioWriter(tmp_path / "a.wav", RATE, 2, 16, metadata=FULL, frames=24000) as out:
        out.write(X.T.astype(np.float32))
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RF64"
    with AudioFile(tmp_path / "a.wav") as file:
        assert file.frames == 24000
        assert file.notes == []
        assert file.metadata().comments == FULL.comments
    assert soundfile.info(tmp_path / "a.wav").frames == 24000


# --- ID3 ----------------------------------------------------------------------------------------------------------------


def synchsafe(n: int) -> bytes:
    return bytes(n >> s & 127 for s in (21, 14, 7, 0))


def tag(version: int, *frames: tuple[bytes, bytes], flags: int = 0) -> bytes:
    body = b""
    for name, content in frames:
        if version == 2:
            body += name + len(content).to_bytes(3, "big") + content
        else:
            size = synchsafe(len(content)) if version == 4 else len(content).to_bytes(4, "big")
            body += name + size + b"\0\0" + content
    if flags & 0x80:
        body = body.replace(b"\xff", b"\xff\0")
    body += bytes(20)
    return b"ID3" + bytes([version, 0, flags]) + synchsafe(len(body)) + body


CODED = [
    (0, "Té ß".encode("latin-1")), (1, "Té ß".encode("utf-16")), (1, b"\xfe\xff" + "Té ß".encode("utf-16-be")),
    (2, "Té ß".encode("utf-16-be")), (3, "Té ß".encode()), (0, "Té ß".encode()),
]  # fmt: skip


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("coded", CODED)
@pytest.mark.parametrize("unsynchronised", [False, True])
@pytest.mark.parametrize("end", [False, True])
def test_every_version_and_coding_of_id3(tmp_path, version, coded, unsynchronised, end):
    coding, text = coded
    stop = (b"\0\0" if coding in (1, 2) else b"\0") if end else b""
    title, comment, extra = (b"TT2", b"COM", b"TXX") if version == 2 else (b"TIT2", b"COMM", b"TXXX")
    null = b"\0\0" if coding in (1, 2) else b"\0"
    label = "name".encode({0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}[coding])
    frames = [
        (title, bytes([coding]) + text + stop), (comment, bytes([coding]) + b"eng" + null + text + stop),
        (extra, bytes([coding]) + label + null + text + stop),
    ]  # fmt: skip
    flags = 0x80 if unsynchronised and version < 4 else 0
    soundfile.write(tmp_path / "x.mp3", X, RATE)
    sound = (tmp_path / "x.mp3").read_bytes()
    (tmp_path / "x.mp3").write_bytes(tag(version, *frames, flags=flags) + sound)
    found, _ = render(tmp_path / "x.mp3", tmp_path / "y.mp3")
    assert found.comments == {"TITLE": ["Té ß"], "COMMENT": ["Té ß"], "NAME": ["Té ß"]}


def test_details_of_id3(tmp_path):
    found = Metadata()
    year = ((b"TYER", b"\x002021"), (b"TDAT", b"\x000605"), (b"TIME", b"\x001230"), (b"TCON", b"\x00(17)"))
    id3.read(tag(3, *year), RATE, found)
    assert found.comments == {"DATE": ["2021-05-06T12:30"], "GENRE": ["Rock"]}
    found = Metadata()
    id3.read(tag(4, (b"TPE1", b"\x03A\0B"), (b"TDRC", b"\x032020-01"), (b"APIC", b"\0image/png\0\x03\0" + png())), RATE, found)
    assert found.comments == {"ARTIST": ["A", "B"], "DATE": ["2020-01"]}
    assert found.pictures == [Picture(png(), "image/png", 3)]
    found = Metadata()
    id3.read(tag(2, (b"PIC", b"\0PNG\x03\0" + png()), (b"TP1", b"\0A"), (b"XYZ", b"?")), RATE, found)
    assert found.pictures == [Picture(png(), "image/png", 3)]
    assert found.unread == ["XYZ"]
    long = b"\x03" + b"t" * 200  # a size with eight bits a byte in version 2.4, as iTunes wrote it
    body = b"TIT2" + (201).to_bytes(4, "big") + b"\0\0" + long + b"TALB" + (2).to_bytes(4, "big") + b"\0\0\x03x"
    found = Metadata()
    id3.read(b"ID3\x04\0\0" + synchsafe(len(body)) + body, RATE, found)
    assert found.comments == {"TITLE": ["t" * 200], "ALBUM": ["x"]}
    packed = zlib.compress(b"\x03packed")
    frame = b"TIT2" + synchsafe(len(packed) + 4) + b"\0\x09" + synchsafe(7) + packed
    found = Metadata()
    id3.read(b"ID3\x04\0\0" + synchsafe(len(frame)) + frame, RATE, found)
    assert found.comments == {"TITLE": ["packed"]}
    soundfile.write(tmp_path / "x.mp3", X, RATE)
    old = (
        b"TAG" + b"Old T\xe9".ljust(30, b"\0") + b"Who".ljust(30) + bytes(30) + b"1999" + b"c".ljust(28, b"\0") + b"\0\x07\x08"
    )
    (tmp_path / "x.mp3").write_bytes((tmp_path / "x.mp3").read_bytes() + old)
    found, _ = render(tmp_path / "x.mp3", tmp_path / "y.flac")
    wanted = {"TITLE": "Old Té", "ARTIST": "Who", "DATE": "1999", "COMMENT": "c", "TRACKNUMBER": "7", "GENRE": "Jazz"}
    assert {n: t[0] for n, t in found.comments.items()} == wanted


def test_vorbis_comments_with_several_texts_and_a_big_cover(tmp_path):
    """A cover of 1 MB goes over many pages of an Ogg file, whose other pages get new numbers."""
    noise = np.random.default_rng(1).bytes(1_000_000)
    many = Metadata({"ARTIST": ["A", "B", "C"], "X=Y~": ["odd name"]}, [Picture(noise, "image/jpeg")])
    write(tmp_path / "a.ogg", many)
    bare, _ = soundfile.read(tmp_path / "a.ogg")
    write(tmp_path / "b.ogg", Metadata())
    assert np.array_equal(bare, soundfile.read(tmp_path / "b.ogg")[0])
    found, _ = render(tmp_path / "a.ogg", tmp_path / "c.flac")
    assert found.comments == {"ARTIST": ["A", "B", "C"], "X_Y_": ["odd name"]}
    assert found.pictures[0].data == noise
    data, numbers, at = (tmp_path / "a.ogg").read_bytes(), [], 0
    while data[at : at + 4] == b"OggS":
        numbers.append(struct.unpack("<I", data[at + 18 : at + 22])[0])
        count = data[at + 26]
        at += 27 + count + sum(data[at + 27 : at + 27 + count])
    assert numbers == list(range(len(numbers)))
    assert at == len(data)
    assert b"METADATA_BLOCK_PICTURE=" + base64.b64encode(b"\0\0\0\x03\0\0\0\x0aimage/jpeg")[:20] in data


def test_a_flac_too_big_a_picture_is_left_out_with_a_word(tmp_path):
    notes = write(tmp_path / "a.flac", Metadata({"TITLE": ["t"]}, [Picture(bytes(1 << 24), "image/png")]))
    assert notes == ["a.flac: left out, as FLAC has no place for it here or its meaning is not known: a picture"]
    with AudioFile(tmp_path / "a.flac") as file:
        assert file.tags() == {"title": "t"}


def id3_frame(name: bytes, content: bytes, flags: int = 0) -> bytes:
    return name + struct.pack(">I", len(content)) + bytes([0, flags]) + content


def id3_tag(body: bytes) -> bytes:
    return b"ID3\3\0\0" + bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0)) + body


def id3_chapter(inside: bytes) -> bytes:
    return id3_frame(b"CHAP", b"c\0" + struct.pack(">II", 100, 200) + b"\xff" * 8 + inside)


@pytest.mark.parametrize("ending", ["mp3", "wav", "aiff", "flac"])
def test_chapters_in_chapters(tmp_path, ending):
    """Only the title of a chapter is read, whatever else is in it, and the sound is rendered."""
    body = b""
    for _ in range(3000):
        body = id3_chapter(body)
    body += id3_chapter(id3_frame(b"TIT2", b"\0one") + id3_chapter(id3_frame(b"TIT2", b"\0two")))
    path = tmp_path / "a.mp3"
    soundfile.write(path, X, RATE)
    path.write_bytes(id3_tag(body) + path.read_bytes())
    found, _ = render(path, tmp_path / f"b.{ending}")
    assert [m.label for m in found.markers] == ["", "one"]


def test_packed_frames_share_one_limit(tmp_path):
    into = Metadata()
    packed = zlib.compress(bytes(40 << 20), 9)
    frame = id3_frame(b"PRIV", struct.pack(">I", 40 << 20) + packed, 0x80)
    small = id3_frame(b"TIT2", struct.pack(">I", 6) + zlib.compress(b"\0title"), 0x80)
    id3.read(id3_tag(frame * 8 + small + id3_chapter(frame)), RATE, into)
    assert [len(content) for _, content in into.frames] == [40 << 20]
    assert into.unread == ["PRIV"] * 7
    assert into.comments == {"TITLE": ["title"]}


@pytest.mark.parametrize("error", [RecursionError, MemoryError, ValueError, OverflowError])
def test_tags_never_stop_the_sound(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    path = tmp_path / "a.wav"
    soundfile.write(path, X, RATE)
    monkeypatch.setattr("twinrack.files.audio_file.read_metadata", fail)
    with pytest.warns(RuntimeWarning, match="its tags cannot be read"):
        result = render_file(path, tmp_path / "b.wav", tr.Rack([]), tail=None)
    assert "a.wav: its tags cannot be read" in result.notes
    assert len(soundfile.read(tmp_path / "b.wav")[0]) == len(X)


def test_a_damaged_cue_sheet_at_another_rate(tmp_path):
    sheet = bytes(395) + b"\3" + bytes(36)
    changed = Metadata(cuesheet=sheet).at_rate(48000, 44100)
    assert changed.cuesheet is None
    assert changed.unread == ["cue sheet (damaged)"]


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int64])
def test_bits_of_numpy(tmp_path, kind):
    for bits in (16, 24, 32):
        for ending in ENDINGS:
            with AudioWriter(tmp_path / f"n.{ending}", RATE, 2, kind(bits)) as out:
                out.write(X.T.astype(np.float32))
            with AudioWriter(tmp_path / f"p.{ending}", RATE, 2, bits) as out:
                out.write(X.T.astype(np.float32))
            assert np.array_equal(soundfile.read(tmp_path / f"n.{ending}")[0], soundfile.read(tmp_path / f"p.{ending}")[0])
