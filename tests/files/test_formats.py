"""Audio files as programs really write them: bits in larger containers, lengths that are not known, files that were cut
short. Files made by hand, byte by byte, and what libsndfile and the `wave` module of Python say of the same sound.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from twinrack.files.audio_file import AudioFile, AudioWriter, read_audio
from twinrack.formats import flac, ogg
from twinrack.formats.pcm import PcmSound
from twinrack.formats.sound import open_sound
from twinrack.render.file import render_file

RATE = 48000
PCM_GUID, FLOAT_GUID = (bytes([n]) + bytes.fromhex("00000000001000800000aa00389b71") for n in (1, 3))


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)


def fmt(
    tag: int, channels: int, bits: int, each: int, valid: int | None = None, guid: bytes = PCM_GUID, order: str = "<"
) -> bytes:
    """A fmt chunk; with `valid`, a WAVE_FORMAT_EXTENSIBLE."""
    head = (0xFFFE if valid is not None else tag, channels, RATE, RATE * each * channels, each * channels, bits)
    body = struct.pack(f"{order}HHIIHH", *head)
    if valid is not None:
        body += struct.pack(f"{order}HHI", 22, valid, (1 << channels) - 1) + guid
    return chunk(b"fmt ", body, order)


def riff(*chunks: bytes, mark: bytes = b"RIFF", order: str = "<") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return mark + struct.pack(f"{order}I", len(body)) + body


def packed(steps: np.ndarray, each: int, big: bool = False) -> bytes:
    """Integers in containers of some bytes, frame by frame."""
    wide = steps.astype("<i8").reshape(-1, 1).view(np.uint8).reshape(-1, 8)[:, :each]
    return (wide[:, ::-1] if big else wide).tobytes()


def heard(path: Path) -> dict[str, np.ndarray]:
    """The sound of a file, and of the same file as a clip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        x = read_audio(path)[0]
        session = tr.Session("s", RATE, width=x.shape[0]) if x.shape[0] in (1, 2) else None
        if session is None:
            return {"file": x}
        session.add_track("a", clips=[tr.Clip(path)])
        from twinrack.session.render import sources

        return {"file": x, "clip": sources(session)["a"]}


def check(path: Path, wanted: np.ndarray) -> None:
    for how, x in heard(path).items():
        assert np.array_equal(x, wanted), how


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    ("bits", "each"),
    [(8, 1), (12, 2), (16, 2), (18, 3), (20, 3), (24, 3), (16, 4), (18, 4), (20, 4), (24, 4), (32, 4), (16, 3), (9, 2)],
)
@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("place", ["top", "below", "below, zeros above"])
def test_integers_in_any_container(tmp_path, channels, bits, each, extensible, place):
    unused = 8 * each - bits
    if place != "top" and not unused:
        return
    rng = np.random.default_rng(bits * each + channels)
    steps = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (777, channels))
    steps[0] = 1  # the lowest bit is used
    if bits == 8 and each == 1:
        content = (steps + 128).astype(np.uint8).tobytes()
    elif place == "top":
        content = packed(steps << unused, each)
    else:
        content = packed(steps & (1 << bits) - 1 if "zeros" in place else steps, each)
    head = fmt(1, channels, 8 * each if extensible else bits, each, bits if extensible else None)
    path = tmp_path / "x.wav"
    path.write_bytes(
        riff(chunk(b"JUNK", bytes(7)), head, chunk(b"odd ", b"abc"), chunk(b"data", content), chunk(b"tail", b"x"))
    )
    wanted = (steps / 2.0 ** (bits - 1)).astype(np.float32).T
    check(path, wanted)


def test_bits_on_top_that_are_not_clean_below(tmp_path):
    """32 bits that a header calls 24: read as the 32 that they are, never shifted up."""
    steps = np.random.default_rng(0).integers(-(2**31), 2**31, (500, 2))
    path = tmp_path / "x.wav"
    path.write_bytes(riff(fmt(1, 2, 24, 4), chunk(b"data", packed(steps, 4))))
    check(path, (steps / 2.0**31).astype(np.float32).T)


def test_a_place_that_the_samples_do_not_show_is_told(tmp_path):
    steps = np.arange(-100, 100).reshape(-1, 2) << 8  # quiet and on top, or 16 bits at the bottom
    path = tmp_path / "x.wav"
    path.write_bytes(riff(fmt(1, 2, 24, 4), chunk(b"data", packed(steps, 4))))
    with pytest.warns(RuntimeWarning, match="24 bits in 4 bytes.* read as at the top"):
        x, _ = read_audio(path)
    assert np.array_equal(x, (steps / 2.0**31).astype(np.float32).T)
    path.write_bytes(riff(fmt(1, 2, 32, 4, 24), chunk(b"data", packed(steps, 4))))  # here the format is clear about it
    check(path, (steps / 2.0**31).astype(np.float32).T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path.write_bytes(riff(fmt(1, 2, 24, 4), chunk(b"data", bytes(800))))
        assert not read_audio(path)[0].any()  # silence is the same either way


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("extensible", [False, True])
def test_floats(tmp_path, kind, extensible):
    x = np.random.default_rng(1).uniform(-2, 2, (999, 3)).astype(kind)
    each = int(kind[1])
    path = tmp_path / "x.wav"
    head = fmt(3, 3, 8 * each, each, 8 * each if extensible else None, FLOAT_GUID)
    path.write_bytes(riff(head, chunk(b"data", x.astype(f"<{kind}").tobytes())))
    check(path, x.astype(np.float32).T)
    check(path, soundfile.read(path, dtype="float32")[0].T)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (fmt(1, 2, 24, 5), "no certain meaning"),
        (fmt(1, 2, 8, 2), "no certain meaning"),
        (fmt(3, 2, 32, 8), "no certain meaning"),
        (fmt(3, 2, 24, 3), "no certain meaning"),
        (fmt(1, 2, 64, 8), "no certain meaning"),
        (chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, RATE, RATE * 7, 7, 24)), "block align 7"),
        (fmt(1, 0, 16, 2), "impossible layout"),
        (fmt(1, 2, 0, 2), "impossible layout"),
        (fmt(1, 2, 16, 2, 16, bytes(16)), "unknown sub-format"),
    ],
)
def test_what_has_no_certain_meaning_is_refused(tmp_path, head, words):
    path = tmp_path / "x.wav"
    path.write_bytes(riff(head, chunk(b"data", bytes(range(240)))))
    with pytest.raises(ValueError, match=words) as error:
        read_audio(path)
    assert "x.wav" in str(error.value)
    assert "\n" not in str(error.value)
    session = tr.Session("s", RATE)
    session.add_track("a", clips=[tr.Clip(path)])
    with pytest.raises(ValueError, match=words):
        session.render()


def test_a_block_align_that_was_forgotten(tmp_path):
    """0, or that of one channel: then the samples are packed."""
    steps = np.random.default_rng(2).integers(-30000, 30000, (100, 2))
    for align in (0, 2):
        path = tmp_path / "x.wav"
        head = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, RATE, RATE * 4, align, 16))
        path.write_bytes(riff(head, chunk(b"data", packed(steps, 2))))
        check(path, (steps / 32768).astype(np.float32).T)


def test_chunks_that_are_not_padded(tmp_path):
    steps = np.arange(100).reshape(-1, 2)
    path = tmp_path / "x.wav"
    forgotten = b"junk" + struct.pack("<I", 3) + b"abc"
    path.write_bytes(riff(forgotten, fmt(1, 2, 16, 2), chunk(b"data", packed(steps, 2))))
    check(path, (steps / 32768).astype(np.float32).T)


def wide_file(mark: bytes, data: bytes, size: int, written: int = 0xFFFFFFFF) -> bytes:
    sizes = struct.pack("<QQQI", 0, size, 0, 0)
    body = b"WAVE" + chunk(b"ds64", sizes) + fmt(1, 2, 24, 3) + b"data" + struct.pack("<I", written) + data
    return mark + b"\xff\xff\xff\xff" + body


@pytest.mark.parametrize("mark", [b"RF64", b"BW64"])
def test_sizes_of_64_bits(tmp_path, mark):
    steps = np.random.default_rng(3).integers(-(2**23), 2**23, (500, 2))
    content = packed(steps, 3)
    wanted = (steps / 2.0**23).astype(np.float32).T
    path = tmp_path / "x.wav"
    path.write_bytes(wide_file(mark, content + chunk(b"axml", b"<x/>"), len(content)))
    check(path, wanted)
    for unknown in (0, (1 << 64) - 1, 0xFFFFFFFF):
        path.write_bytes(wide_file(mark, content, unknown))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.array_equal(read_audio(path)[0], wanted)
    path.write_bytes(wide_file(mark, content, 2 * len(content)))
    with pytest.warns(RuntimeWarning, match="500 of 1000 frames"):
        assert np.array_equal(read_audio(path)[0], wanted)


def test_the_most_significant_byte_first(tmp_path):
    steps = np.random.default_rng(4).integers(-(2**23), 2**23, (500, 2))
    wanted = (steps / 2.0**23).astype(np.float32).T
    path = tmp_path / "x.wav"
    data = chunk(b"data", packed(steps, 3, big=True), ">")
    path.write_bytes(riff(fmt(1, 2, 24, 3, order=">"), data, mark=b"RIFX", order=">"))
    check(path, wanted)
    check(path, soundfile.read(path, dtype="float32")[0].T)
    path.write_bytes(
        riff(fmt(1, 2, 24, 4, order=">"), chunk(b"data", packed(steps, 4, big=True), ">"), mark=b"RIFX", order=">")
    )
    check(path, wanted)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF"])
def test_what_libsndfile_writes_is_read_as_it_reads_it(tmp_path, subtype, kind):
    if kind == "AIFF" and subtype == "PCM_U8":
        subtype = "PCM_S8"
    for channels in (1, 2, 6):
        path = tmp_path / f"{channels}.{'aiff' if kind == 'AIFF' else 'wav'}"
        x = np.random.default_rng(channels).uniform(-1, 1, (1234, channels))
        soundfile.write(path, x, 44100, subtype=subtype, format=kind)
        sound = open_sound(path)
        assert isinstance(sound, PcmSound)
        wanted = soundfile.read(path, dtype="float32", always_2d=True)[0].T
        assert np.array_equal(sound.read(0, 5000), wanted)
        assert np.array_equal(sound.read(100, 77), wanted[:, 100:177])
        sound.close()


def test_the_wave_module_agrees(tmp_path):
    path = tmp_path / "x.wav"
    steps = np.random.default_rng(5).integers(-32768, 32768, (1000, 2)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(steps.tobytes())
    check(path, (steps / 32768).astype(np.float32).T)
    with AudioWriter(tmp_path / "y.wav", RATE, 2, 16, tags={"title": "T"}) as out:
        out.write(np.zeros((2, 999), np.float32))
    with wave.open(str(tmp_path / "y.wav")) as file:
        assert (file.getnchannels(), file.getnframes(), file.getframerate()) == (2, 999, RATE)


# --- lengths that are not known -----------------------------------------------------------------------------------------

SOUND = (np.random.default_rng(6).standard_normal((3 * RATE, 2)) * np.linspace(0.0001, 0.2, 3 * RATE)[:, None]).clip(-0.9, 0.9)


def quiet(path: Path) -> dict[str, np.ndarray]:
    """As `heard`, where nothing may be told."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_audio(path)
    return heard(path)


@pytest.mark.parametrize(
    "sizes", [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000), (0x80000024, 0x80000000), (36, 0)]
)
@pytest.mark.parametrize("listed", [False, True])
def test_wav_sizes_that_are_not_known(tmp_path, sizes, listed):
    steps = np.rint(SOUND * 32767).astype("<i2")
    info = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"recorder\0")) if listed else b""
    path = tmp_path / "x.wav"
    head = b"RIFF" + struct.pack("<I", sizes[0]) + b"WAVE" + fmt(1, 2, 16, 2) + info + b"data" + struct.pack("<I", sizes[1])
    path.write_bytes(head + steps.tobytes())
    for x in quiet(path).values():
        assert np.array_equal(x, (steps / 32768).astype(np.float32).T)


def test_a_wav_file_that_is_really_empty(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(riff(fmt(1, 2, 16, 2), chunk(b"data", b""), chunk(b"LIST", b"INFO" + chunk(b"INAM", b"nothing\0"))))
    with pytest.raises(ValueError, match="is empty"):
        read_audio(path)


def test_more_than_4_gib_in_a_plain_wav_file(tmp_path):
    """Sizes are then written modulo 4 GiB; a sparse file, of which the last frames are read."""
    path = tmp_path / "x.wav"
    size = (1 << 32) + 4000
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", size + 36 & 0xFFFFFFFF) + b"WAVE" + fmt(1, 2, 16, 2))
        file.write(b"data" + struct.pack("<I", size & 0xFFFFFFFF))
        file.seek(size - 4, os.SEEK_CUR)
        file.write(struct.pack("<hh", 16384, -16384))
    with AudioFile(path) as file:
        assert file.frames == size // 4
        assert file.notes == []
        assert np.array_equal(file._sound.read(file.frames - 1, 1), [[0.5], [-0.5]])


def test_what_stands_behind_the_sound_is_told(tmp_path):
    """A recorder that ended its header early: the header is believed, and the rest is named."""
    path = tmp_path / "x.wav"
    steps = np.rint(SOUND[::-1] * 32767).astype("<i2")
    whole = riff(fmt(1, 2, 16, 2), chunk(b"data", steps[:1000].tobytes()))
    path.write_bytes(whole + steps[1000:3000].tobytes())
    with pytest.warns(RuntimeWarning, match="holds 8000 bytes behind the sound that its header promises"):
        assert read_audio(path)[0].shape[1] == 1000
    for rest in (bytes(9000), b"TAG" + bytes(125), chunk(b"LIST", b"INFO" + chunk(b"INAM", b"name\0"))):
        path.write_bytes(whole + rest)
        assert all(x.shape[1] == 1000 for x in quiet(path).values())


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("endian", ["FILE", "LITTLE"])
def test_aiff_c(tmp_path, subtype, endian):
    if endian == "LITTLE" and subtype in ("FLOAT", "DOUBLE", "ULAW"):
        return
    path = tmp_path / "x.aifc"
    soundfile.write(path, SOUND[:5000], RATE, subtype=subtype, format="AIFF", endian=endian)
    check(path, soundfile.read(path, dtype="float32")[0].T)


def test_a_compressed_wav_file(tmp_path):
    for subtype in ("ULAW", "ALAW", "IMA_ADPCM"):
        path = tmp_path / "x.wav"
        soundfile.write(path, SOUND, RATE, subtype=subtype)
        wanted = soundfile.read(path, dtype="float32")[0].T
        check(path, wanted)
        data = bytearray(path.read_bytes())
        at = data.find(b"data") + 4
        del data[at + 4 + int.from_bytes(data[at : at + 4], "little") :]
        data[4:8] = data[at : at + 4] = b"\xff\xff\xff\xff"
        path.write_bytes(data)
        for x in quiet(path).values():
            assert np.array_equal(x[:, : wanted.shape[1]], wanted)
        data[at : at + 4] = (len(data) * 2).to_bytes(4, "little")
        path.write_bytes(data)
        with pytest.warns(RuntimeWarning, match=r"was cut short: it holds \d+\.\d % of the bytes"):
            read_audio(path)


def piped_flac(path: Path) -> bytes:
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_S8"])
@pytest.mark.parametrize("frames", [1, 100, 4096, 4097, 3 * RATE])
def test_flac_through_a_pipe(tmp_path, subtype, frames):
    path = tmp_path / "x.flac"
    for channels in (1, 2):
        soundfile.write(path, SOUND[-frames:, :channels], RATE, subtype=subtype)
        wanted = soundfile.read(path, dtype="float32", always_2d=True)[0].T
        stream = flac.read_stream(path)
        assert flac.find_end(path, stream) == flac.Real(frames, path.stat().st_size)
        path.write_bytes(piped_flac(path))
        for x in quiet(path).values():
            assert np.array_equal(x, wanted)
        tagged = piped_flac(path) + b"TAG" + bytes(125)
        path.write_bytes(tagged)
        for x in quiet(path).values():
            assert np.array_equal(x, wanted)
        path.write_bytes(b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + tagged)
        assert np.array_equal(read_audio(path)[0], wanted)


@pytest.mark.parametrize("known", [False, True])
def test_flac_that_was_cut(tmp_path, known):
    path = tmp_path / "x.flac"
    soundfile.write(path, SOUND, RATE, subtype="PCM_16")
    data, wanted = path.read_bytes() if known else piped_flac(path), soundfile.read(path, dtype="float32")[0].T
    if not known:
        path.write_bytes(data)
    rng = np.random.default_rng(7)
    for size in [len(data) - 1, len(data) - 3, *rng.integers(40000, len(data), 12)]:
        path.write_bytes(data[:size])
        if known:
            with pytest.warns(RuntimeWarning, match=rf"x\.flac was cut short: it holds \d+ of {3 * RATE} frames"):
                read_audio(path)
        else:
            with pytest.warns(RuntimeWarning, match=r"x\.flac was cut short: \d\.\d\d s are there, .* within a frame"):
                read_audio(path)
        sounds = heard(path)
        there = sounds["file"].shape[1]
        assert there > wanted.shape[1] * size / len(data) * 0.5 - 8192
        assert there < wanted.shape[1]
        for x in sounds.values():
            assert np.array_equal(x, wanted[:, :there])


def frames_of(data: bytes) -> list[int]:
    """Where the frames of an MP3 file begin, counted by sizes here."""
    rates = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    places, at = [], 0
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] & 0xE0 == 0xE0:
        places.append(at)
        at += 144000 * rates[data[at + 2] >> 4] // RATE + (data[at + 2] >> 1 & 1)
    return places


def test_mp3_without_a_xing_frame(tmp_path):
    """All frames are heard: the same samples as with it, but for the silence that the coder added."""
    path = tmp_path / "x.mp3"
    soundfile.write(path, SOUND, RATE)
    data, wanted = path.read_bytes(), read_audio(path)[0]
    places = frames_of(data)
    assert b"Xing" in data[: places[1]]
    path.write_bytes(data[places[1] :])
    sounds = quiet(path)
    x = sounds["file"]
    assert x.shape[1] >= wanted.shape[1]
    assert x.shape[1] <= (len(places) - 1) * 1152
    best = min((float(np.max(np.abs(x[:, d : d + RATE] - wanted[:, :RATE]))), d) for d in (0, 576, 576 + 529, 1105, 1152, 529))
    assert best[0] < 1e-3
    assert np.array_equal(sounds["clip"], x)


def test_mp3_that_was_cut(tmp_path):
    path = tmp_path / "x.mp3"
    soundfile.write(path, SOUND, RATE)
    data, wanted = path.read_bytes(), read_audio(path)[0]
    places = frames_of(data)
    for size in (places[40], places[40] + 100, places[90] - 1, len(data) - 1):
        path.write_bytes(data[:size])
        whole = sum(a <= size for a in [*places[2:], len(data)])
        with pytest.warns(RuntimeWarning, match="x.mp3 was cut short") as told:
            read_audio(path)
        assert len(told) == 1
        sounds = heard(path)
        there = sounds["file"].shape[1]
        assert abs(there - whole * 1152) < 1700
        assert np.array_equal(sounds["clip"], sounds["file"])
        assert np.allclose(sounds["file"][:, : there - 2304], wanted[:, : there - 2304], atol=1e-4)
    path.write_bytes(data[places[1] : places[60] + 50])  # without a Xing frame, too
    with pytest.warns(RuntimeWarning, match="ends within a frame"):
        assert read_audio(path)[0].shape[1] > 57 * 1152


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_that_was_cut(tmp_path, subtype):
    path = tmp_path / "x.ogg"
    soundfile.write(path, SOUND, RATE, format="OGG", subtype=subtype)
    data, wanted = path.read_bytes(), soundfile.read(path, dtype="float32")[0].T
    assert all(np.array_equal(x, wanted) for x in quiet(path).values())
    for size in (len(data) // 2, len(data) - 1, len(data) - len(data) // 5):
        path.write_bytes(data[:size])
        with pytest.warns(RuntimeWarning, match="x.ogg was cut short: the end of its stream is missing"):
            read_audio(path)
        sounds = heard(path)
        there = sounds["file"].shape[1]
        assert 0 < there < wanted.shape[1]
        assert np.array_equal(sounds["clip"], sounds["file"])
        assert np.allclose(sounds["file"][:, : there - 1000], wanted[:, : there - 1000], atol=1e-4)


def test_the_checksum_of_ogg_pages(tmp_path):
    path = tmp_path / "x.ogg"
    soundfile.write(path, SOUND[:20000], RATE)
    data, at = path.read_bytes(), 0
    while size := ogg.page_size(data, at):
        page = data[at : at + size]
        value = 0  # bit by bit, as RFC 3533 describes it
        for byte in page[:22] + bytes(4) + page[26:]:
            value ^= byte << 24
            for _ in range(8):
                value = (value << 1 ^ 0x04C11DB7 if value & 1 << 31 else value << 1) & 0xFFFFFFFF
        assert value.to_bytes(4, "little") == page[22:26]
        assert ogg.sealed(page) == page
        at += size
    assert at == len(data)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_aiff_with_unknown_lengths_and_cut(tmp_path, subtype):
    path = tmp_path / "x.aiff"
    soundfile.write(path, SOUND, RATE, subtype=subtype)
    data, wanted = path.read_bytes(), soundfile.read(path, dtype="float32")[0].T
    comm, ssnd = data.find(b"COMM"), data.find(b"SSND")
    for size in (0, 0xFFFFFFFF, 0x7F000008):
        changed = bytearray(data)
        changed[4:8] = changed[ssnd + 4 : ssnd + 8] = size.to_bytes(4, "big")
        changed[comm + 10 : comm + 14] = bytes(4)
        path.write_bytes(changed)
        for x in quiet(path).values():
            assert np.array_equal(x[:, : wanted.shape[1]], wanted)
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(RuntimeWarning, match=rf"of {3 * RATE} frames"):
        read_audio(path)
    for x in heard(path).values():
        assert np.array_equal(x, wanted[:, : x.shape[1]])
        assert x.shape[1] == pytest.approx(1.5 * RATE, abs=50)


@pytest.mark.parametrize("kind", ["AU", "CAF"])
def test_other_formats_through_a_pipe(tmp_path, kind):
    path = tmp_path / f"x.{kind.lower()}"
    soundfile.write(path, SOUND, RATE, subtype="PCM_16", format=kind)
    data, wanted = bytearray(path.read_bytes()), soundfile.read(path, dtype="float32")[0].T
    at, count = (8, 4) if kind == "AU" else (data.find(b"data") + 4, 8)
    start = int.from_bytes(data[4:8], "big") if kind == "AU" else at + 12
    written = bytes(data[at : at + count])
    data[at : at + count] = b"\xff" * count
    path.write_bytes(data[: start + SOUND.shape[0] * 4])
    assert all(np.array_equal(x, wanted) for x in quiet(path).values())
    data[at : at + count] = written
    path.write_bytes(data[: start + 40000])
    with pytest.warns(RuntimeWarning, match="was cut short"):
        assert np.array_equal(read_audio(path)[0], wanted[:, :10000])


def test_what_is_missing_is_told_once(tmp_path):
    path = tmp_path / "cut.wav"
    soundfile.write(path, SOUND, RATE, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:100000])
    with pytest.warns(RuntimeWarning, match="cut.wav was cut short: it holds 24989 of 144000 frames") as told:
        result = render_file(path, tmp_path / "o.wav", tr.Rack([]), tail=None)
    assert len(told) == 1
    assert [n for n in result.notes if "cut.wav" in n]
    assert soundfile.info(tmp_path / "o.wav").frames == 24989
    session = tr.Session("s", RATE)
    session.add_track("a", clips=[tr.Clip(path), tr.Clip(path, start=1.0)])
    session.add_track("b", clips=[tr.Clip(path)])
    with pytest.warns(RuntimeWarning, match=r"cut\.wav was cut short") as told:
        session.render()
    assert len(told) == 1
    made = session.render_to(tmp_path / "m.wav")
    assert sum("cut.wav was cut short" in note for note in made.notes) == 1


def test_any_damage_is_one_sentence(tmp_path):
    """Bytes changed and files cut anywhere: sound, or a ValueError of one line."""
    rng = np.random.default_rng(8)
    content = {}
    for ending, kind in (("wav", "WAV"), ("aiff", "AIFF"), ("flac", "FLAC"), ("ogg", "OGG"), ("mp3", "MP3"), ("w64", "W64")):
        buffer = io.BytesIO()
        soundfile.write(buffer, SOUND[:20000], RATE, format=kind)
        content[ending] = buffer.getvalue()
    for i in range(400):
        ending = list(content)[i % len(content)]
        data = bytearray(content[ending])
        for _ in range(int(rng.integers(1, 5))):
            data[int(rng.integers(0, rng.choice([60, 300, len(data)])))] = int(rng.choice([0, 255, 127, rng.integers(256)]))
        path = tmp_path / f"x.{ending}"
        path.write_bytes(data[: int(rng.integers(0, len(data)))] if rng.random() < 0.4 else data)
        said = str(path)
        try:
            with AudioFile(path) as file:
                file.metadata().at_rate(file.sample_rate, 44100)
                assert sum(x.shape[1] for x in file.blocks()) == file.frames
        except ValueError as error:
            said = str(error)
        assert str(path) in said
        assert "\n" not in said


@pytest.mark.skipif(os.name == "nt", reason="names there have no line ends")
@pytest.mark.parametrize(
    "content", [b"", b"noise" * 50, b"fLaC", riff(chunk(b"data", b"abcd")), riff(fmt(1, 0, 16, 2), chunk(b"data", b"ab"))]
)
def test_messages_show_names_on_one_line(tmp_path, content):
    for name in ("a\nb.wav", "a\x1b[31m.wav", "a\u202eb.wav"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match="wav") as error:
            read_audio(path)
        assert str(error.value).isprintable()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_streams_after_each_other(tmp_path, subtype):
    """All of them, as libsndfile reads each file by itself."""
    content, wanted = [], []
    path = tmp_path / "x.ogg"
    for i in range(3):
        soundfile.write(path, SOUND[i * 30000 : (i + 1) * 48000], RATE, format="OGG", subtype=subtype)
        content.append(path.read_bytes())
        wanted.append(soundfile.read(path, dtype="float32")[0].T)
    path.write_bytes(b"".join(content))
    assert all(np.array_equal(x, np.concatenate(wanted, axis=1)) for x in quiet(path).values())
    with AudioFile(path) as file:
        whole = file.read()
        for start in (wanted[0].shape[1] - 5, 7, file.frames - 20000):
            assert np.allclose(file._sound.read(start, 1000), whole[:, start : start + 1000], atol=1e-4)
    path.write_bytes(content[0] + content[1][:-1] + content[2])  # one of them was cut
    with pytest.warns(RuntimeWarning, match="x.ogg was cut short"):
        x, _ = read_audio(path)
    assert x.shape[1] > wanted[0].shape[1] + wanted[2].shape[1]
    assert np.array_equal(x[:, : wanted[0].shape[1]], wanted[0])
    assert np.array_equal(x[:, -wanted[2].shape[1] :], wanted[2])
    mono = io.BytesIO()
    soundfile.write(mono, SOUND[:24000, 0], RATE, format="OGG", subtype=subtype)
    path.write_bytes(content[0] + mono.getvalue() + content[2])
    with pytest.warns(RuntimeWarning, match=r"3 streams .* 1 are left out.* of 0\.50 s with 1 channels at 48000 Hz"):
        assert np.array_equal(read_audio(path)[0], np.concatenate([wanted[0], wanted[2]], axis=1))
    path.write_bytes(content[0] + content[1][:100] + content[2])
    with pytest.warns(RuntimeWarning, match=r"3 streams .* 1 are left out.* of no sound that can be read"):
        assert np.array_equal(read_audio(path)[0], np.concatenate([wanted[0], wanted[2]], axis=1))


def mp3_of(path: Path) -> tuple[bytes, np.ndarray]:
    soundfile.write(path, SOUND, RATE)
    return path.read_bytes(), read_audio(path)[0]


def test_tags_within_an_mp3_file(tmp_path):
    """Files that were put behind each other with their tags: all of them are heard, and nothing is missing."""
    path = tmp_path / "x.mp3"
    data, wanted = mp3_of(path)
    id3 = b"ID3\3\0\0\0\0\7\0" + bytes(7 * 128)
    ape = b"APETAGEX" + struct.pack("<III", 2000, 64, 0) + bytes([0, 0, 0, 0xA0]) + bytes(8 + 64)
    for tag in (b"", id3, b"TAG" + bytes(125), ape, b"TAG" + bytes(125) + id3):
        path.write_bytes(data + tag + data + tag + data)
        for x in quiet(path).values():
            assert 3 * wanted.shape[1] <= x.shape[1] < 3 * (wanted.shape[1] + 3 * 1152)
            assert np.allclose(x[:, :RATE], wanted[:, :RATE], atol=1e-6)


@pytest.mark.parametrize("filling", ["zeros", "noise", "nothing"])
def test_a_hole_in_an_mp3_file(tmp_path, filling, capfd):
    path = tmp_path / "x.mp3"
    data, wanted = mp3_of(path)
    for at, size in ((len(data) // 2, 5000), (len(data) // 3, 10000), (len(data) // 2, 1000)):
        hole = {"zeros": bytes(size), "noise": np.random.default_rng(at).bytes(size), "nothing": b""}[filling]
        path.write_bytes(data[:at] + hole + data[at + size :])
        with pytest.warns(RuntimeWarning, match=r"x\.mp3 is damaged: \d+ bytes within it") as told:
            x, _ = read_audio(path)
        assert len(told) == 1
        lost = wanted.shape[1] - x.shape[1]
        share = size / len(data) * wanted.shape[1]
        assert share * 0.4 < lost < share * 1.6 + 2304
        before = int(wanted.shape[1] * at / len(data) * 0.8)
        assert np.allclose(x[:, :before], wanted[:, :before], atol=1e-4)
        assert np.max(np.abs(x)) < 1.2  # no clicks
        after = x[:, -30000:-20000]
        place = int(np.argmax(np.correlate(wanted[0], after[0, :500])))
        assert np.allclose(after, wanted[:, place : place + 10000], atol=1e-4)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("size", [1000, 200000])
def test_zeros_before_an_mp3_file(tmp_path, size):
    path = tmp_path / "x.mp3"
    data, wanted = mp3_of(path)
    path.write_bytes(bytes(size) + data)
    assert all(np.array_equal(x, wanted) for x in quiet(path).values())


@pytest.mark.parametrize("filling", ["zeros", "noise", "nothing"])
def test_a_hole_in_a_flac_file(tmp_path, filling):
    """What was decoded before it is kept, however it is read."""
    path = tmp_path / "x.flac"
    soundfile.write(path, SOUND, RATE, subtype="PCM_16")
    data, wanted = path.read_bytes(), soundfile.read(path, dtype="float32")[0].T
    for at in (len(data) // 3, len(data) // 2, len(data) - 60000):
        hole = {"zeros": bytes(1000), "noise": np.random.default_rng(at).bytes(1000), "nothing": b""}[filling]
        path.write_bytes(data[:at] + hole + data[at + 1000 :])
        with pytest.warns(RuntimeWarning, match=r"x\.flac ends after \d\.\d\d of 3\.00 s; what follows is damaged") as told:
            x, _ = read_audio(path)
        assert len(told) == 1
        assert x.shape[1] > wanted.shape[1] * at / len(data) * 0.5
        assert np.array_equal(x, wanted[:, : x.shape[1]])
        for size in (4096, 10000):
            with AudioFile(path) as file:
                parts = np.concatenate(list(file.blocks(size)), axis=1)
                assert abs(parts.shape[1] - x.shape[1]) <= 64
                assert file.frames == parts.shape[1]
                assert np.array_equal(parts, wanted[:, : parts.shape[1]])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("order", ["<", ">"])
def test_chunks_behind_samples_of_unknown_size(tmp_path, size, order):
    """They are no sound, and their tags are read."""
    path = tmp_path / "x.wav"
    steps = np.rint(SOUND[:5000] * 32767).astype(f"{order}i2")
    info = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"a name\0", order), order)
    picture = chunk(b"id3 ", b"ID3\3\0\0\0\0\0\x10" + b"LIST" + struct.pack(f"{order}I", 8) + bytes(8), order)
    broadcast, odd = chunk(b"bext", bytes(602), order), chunk(b"junk", b"LIST\1", order)
    mark = b"RIFF" if order == "<" else b"RIFX"
    head = (
        mark
        + struct.pack(f"{order}I", size)
        + b"WAVE"
        + fmt(1, 2, 16, 2, order=order)
        + b"data"
        + struct.pack(f"{order}I", size)
    )
    wanted = (steps / 32768).astype(np.float32).T
    for tail in ([info], [picture], [broadcast, info], [info, odd, picture], [picture, broadcast, odd], [odd[:-1]]):
        path.write_bytes(head + steps.tobytes() + b"".join(tail))
        for x in quiet(path).values():
            assert np.array_equal(x, wanted)
        with AudioFile(path) as file:
            assert (file.tags().get("title") == "a name") == (info in tail)
    path.write_bytes(head + steps.tobytes() + info[:-2])  # not whole: then nothing shows where it begins
    assert read_audio(path)[0].shape[1] >= 5000


@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_a_clip_of_a_damaged_file_is_the_same_sound(tmp_path, rate):
    """What comes before the damage, silence from there on, and one sentence; also at another rate."""
    x = (0.2 * np.random.default_rng(1).standard_normal((5 * RATE, 1))).clip(-1, 1)
    soundfile.write(tmp_path / "a.flac", x, RATE, subtype="PCM_16")
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.warns(RuntimeWarning, match=r"a\.flac ends after .* of 5\.00 s; what follows is damaged or missing"):
        file = read_audio(tmp_path / "a.flac")[0]
    assert 0.3 * x.shape[0] < file.shape[1] < 0.7 * x.shape[0]
    session = tr.Session("s", sample_rate=rate, width=1)
    session.add_track("t", clips=[tr.Clip(tmp_path / "a.flac")])
    with pytest.warns(RuntimeWarning, match=r"a\.flac ends after .* what follows is damaged or missing"):
        y = session.render(tail=None)
    if rate == RATE:
        assert np.array_equal(y[:, : file.shape[1]], file)
    assert not y[:, file.shape[1] * rate // RATE + 200 :].any()
