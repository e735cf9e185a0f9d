"""MPEG audio: how many frames there really are, and a Xing frame that says so. Sources: ISO 11172-3, 13818-3; LAME's tag."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

_V1 = {
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_V2 = {
    1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_V2[3] = _V2[2]
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
SEARCH = 1 << 17  # bytes in which the first frame must come


@dataclass(frozen=True)
class Head:
    """What a frame's four bytes say: all sizes in bytes, `samples` of each channel."""

    version: int  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    layer: int
    sample_rate: int
    channels: int
    size: int
    samples: int


def read_head(word: bytes) -> Head | None:
    """A frame's head; None where it is none, or of free format."""
    if len(word) < 4 or word[0] != 0xFF or word[1] & 0xE0 != 0xE0:
        return None
    version, layer = word[1] >> 3 & 3, 4 - (word[1] >> 1 & 3)
    rate_code, bits = word[2] >> 2 & 3, word[2] >> 4
    if version == 1 or layer == 4 or rate_code == 3 or bits in (0, 15):
        return None
    rate = RATES[version][rate_code]
    bit_rate = 1000 * (_V1 if version == 3 else _V2)[layer][bits]
    padding = word[2] >> 1 & 1
    samples = 384 if layer == 1 else 1152 if layer == 2 or version == 3 else 576
    size = (12 * bit_rate // rate + padding) * 4 if layer == 1 else samples // 8 * bit_rate // rate + padding
    return Head(version, layer, rate, 1 if word[3] >> 6 == 3 else 2, size, samples)


@dataclass(frozen=True)
class Stream:
    """The frames of an MPEG audio file.

    Attributes:
        start: the first frame, an info frame counted; end: after the last whole one.
        frames: whole ones that hold sound.
        info: place of "Xing" or "Info"; None without. claimed: frames that it promises.
        cut: the last frame is not whole.
    """

    head: Head
    start: int
    end: int
    frames: int
    info: int | None
    claimed: int | None
    cut: bool


def id3_end(data: bytes | mmap.mmap) -> int:
    """Where the ID3v2 tags at the beginning of a file end."""
    at = 0
    while data[at : at + 3] == b"ID3" and len(size := data[at + 6 : at + 10]) == 4:
        at += 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]) + (10 if data[at + 5] & 0x10 else 0)
    return at


def read_stream(path: Path) -> Stream | None:
    """All frames of an MPEG audio file; None for other files."""
    if os.path.getsize(path) < 64:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = _first(data, id3_end(data))
        if start is None:
            return None
        head = read_head(data[start : start + 4])
        assert head is not None
        info = _info_place(data, start, head)
        claimed = None
        if info is not None and int.from_bytes(data[info + 4 : info + 8], "big") & 1:
            claimed = int.from_bytes(data[info + 8 : info + 12], "big")
        at = start if info is None else start + head.size
        frames, end = 0, len(data)
        cut = False
        while at + 4 <= end:
            here = read_head(data[at : at + 4])
            if here is None or here.sample_rate != head.sample_rate or here.layer != head.layer:
                if data[at : at + 3] in (b"TAG", b"APE", b"LYR", b"ID3"):
                    break
                following = _first(data, at + 1)  # something else between frames; the decoder looks for the next one, too
                if following is None:
                    break
                at = following
                continue
            if at + here.size > end:
                cut = True
                break
            frames += 1
            at += here.size
        return Stream(head, start, at, frames, info, claimed, cut or 0 < end - at < 4)


def _first(data: mmap.mmap, at: int) -> int | None:
    """The next place at which two frames of the same kind follow each other."""
    stop = at + SEARCH
    while (at := data.find(b"\xff", at, stop)) >= 0:
        head = read_head(data[at : at + 4])
        if head is not None:
            after = read_head(data[at + head.size : at + head.size + 4])
            whole = at + head.size == len(data) and stop - at < SEARCH
            if whole or (after is not None and (after.sample_rate, after.layer) == (head.sample_rate, head.layer)):
                return at
        at += 1
    return None


def _info_place(data: mmap.mmap, start: int, head: Head) -> int | None:
    if head.layer != 3:
        return None
    at = start + 4 + _side(head)
    return at if data[at : at + 4] in (b"Xing", b"Info") else None


def _side(head: Head) -> int:
    """Bytes of side information."""
    return (32 if head.channels == 2 else 17) if head.version == 3 else (17 if head.channels == 2 else 9)


def make_info(word: bytes, frames: int, size: int) -> bytes:
    """A silent frame before others of the kind of `word`, whose Xing tag says how many they are."""
    for bits in range(1, 15):
        made = bytes([word[0], word[1] | 1, bits << 4 | word[2] & 0x0C, word[3]])
        head = read_head(made)
        assert head is not None
        tag = b"Xing" + (3).to_bytes(4, "big") + frames.to_bytes(4, "big") + (size + head.size).to_bytes(4, "big")
        if head.size >= 4 + _side(head) + len(tag) + 36:
            return (made + bytes(_side(head)) + tag).ljust(head.size, b"\0")
    raise AssertionError("every kind has a frame that is large enough")


def changed_info(path: Path, stream: Stream) -> dict[int, bytes]:
    """The bytes of an info frame that promises more than there is, as they should be."""
    assert stream.info is not None
    changes = {stream.info + 8: stream.frames.to_bytes(4, "big")}
    with path.open("rb") as file:
        file.seek(stream.info)
        tag = file.read(156)
    flags = int.from_bytes(tag[4:8], "big")
    at = 12
    if flags & 2:
        changes[stream.info + at] = (stream.end - stream.start).to_bytes(4, "big")
        at += 4
    at += 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    if len(tag) > at + 24 and tag[at : at + 4] in (b"LAME", b"Lavf", b"Lavc"):  # no silence is appended at the end any more
        place = at + 22
        changes[stream.info + place] = bytes([tag[place] & 0xF0, 0])
    return changes
