"""MPEG audio: the true number of frames, and a Xing frame that states it. Sources: ISO 11172-3, 13818-3; LAME's tag."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, field
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
SEARCH = 1 << 17  # bytes in which two frames are enough to be taken for sound; further on, more of them are needed


@dataclass(frozen=True)
class Head:
    """A frame's header of four bytes: all sizes in bytes, `samples` of each channel."""

    version: int  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    layer: int
    sample_rate: int
    channels: int
    size: int
    samples: int


def read_head(word: bytes) -> Head | None:
    """The header of a frame; None for other bytes and for the free format."""
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
        gaps: what is not sound between start and end; damaged: bytes of it that are not tags either.
        silent: side information of frames whose bits are damaged or were in a gap, as it is of silence, by place.
    """

    head: Head
    start: int
    end: int
    frames: int
    info: int | None
    claimed: int | None
    cut: bool
    gaps: tuple[tuple[int, int], ...] = ()
    damaged: int = 0
    silent: dict[int, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all frames."""
        return self.end - self.start - sum(b - a for a, b in self.gaps)


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
        frames, end, damaged = 0, len(data), 0
        cut = False
        gaps: list[tuple[int, int]] = []
        silent: dict[int, bytes] = {}
        last, before = at, None  # the end of the last whole frame, and the frame
        stored, hurt = 1 << 9, False  # bytes of the bit reservoir since the last gap
        while at + 4 <= end:
            here = read_head(data[at : at + 4])
            if here is None or here.sample_rate != head.sample_rate or here.layer != head.layer:
                after = _tags_end(data, at)
                following = _first(data, max(after, at + 1), head)
                if following is None:
                    break
                damaged += following - max(after, at)
                hurt = hurt or following > max(after, at)
                at = following
                continue
            if at + here.size > end:
                cut = True
                break
            if at > last:
                gaps.append((last, at))
                stored = 0
                if hurt and before is not None:  # it reached into what is damaged
                    silent |= _silence(data, *before)
                hurt = False
            if here.layer == 3:
                place = _side_place(data, at)
                reach = data[place] << 1 | data[place + 1] >> 7 if here.version == 3 else data[place]
                if reach > stored:
                    silent |= _silence(data, at, here)
                stored += here.size - (place - at) - _side(here)
            frames += 1
            before = at, here
            last = at = at + here.size
        return Stream(head, start, last, frames, info, claimed, cut or 0 < end - at < 4, tuple(gaps), damaged, silent)


def _side_place(data: mmap.mmap, at: int) -> int:
    """Where the side information of a frame begins: after its head, and the checksum where there is one."""
    return at + (4 if data[at + 1] & 1 else 6)


def _silence(data: mmap.mmap, at: int, head: Head) -> dict[int, bytes]:
    """Side information of no bits, but with the same reach into the reservoir, which the next frames need, too."""
    if head.layer != 3:
        return {}
    place = _side_place(data, at)
    reach = bytes([data[place], data[place + 1] & 0x80 if head.version == 3 else 0])
    return {place: reach.ljust(_side(head), b"\0")}


def _tags_end(data: mmap.mmap, at: int) -> int:
    """The end of the tags that begin at a position; the position itself without any."""
    while (end := _tag_end(data, at)) > at:
        at = end
    return at


def _tag_end(data: mmap.mmap, at: int) -> int:
    if data[at : at + 3] == b"ID3":
        return at + id3_end(data[at : at + 10])
    if data[at : at + 8] == b"APETAGEX":
        return at + 32 + int.from_bytes(data[at + 12 : at + 16], "little")
    if data[at : at + 11] == b"LYRICSBEGIN":
        end = max(data.find(mark, at, at + SEARCH) for mark in (b"LYRICS200", b"LYRICSEND"))
        return at if end < 0 else end + 9
    return at + 128 if data[at : at + 3] == b"TAG" else at


def _first(data: mmap.mmap, at: int, like: Head | None = None) -> int | None:
    """The next position from which frames of one kind follow each other, of the kind of `like` if given."""
    near = at + SEARCH
    while (at := data.find(b"\xff", at)) >= 0:
        head = read_head(data[at : at + 4])
        if head is not None and (like is None or _alike(head, like)) and _follow(data, at, head, 1 if at < near else 3):
            return at
        at += 1
    return None


def _follow(data: mmap.mmap, at: int, head: Head, count: int) -> bool:
    """Whether so many frames follow the one at a position, or all up to the file's end."""
    after: Head | None = head
    for _ in range(count):
        assert after is not None
        at += after.size
        if at == len(data):
            return True
        after = read_head(data[at : at + 4])
        if after is None or not _alike(after, head):
            return False
    return True


def _alike(a: Head, b: Head) -> bool:
    return (a.sample_rate, a.layer) == (b.sample_rate, b.layer)


def _info_place(data: mmap.mmap, start: int, head: Head) -> int | None:
    if head.layer != 3:
        return None
    at = start + 4 + _side(head)
    return at if data[at : at + 4] in (b"Xing", b"Info") else None


def _side(head: Head) -> int:
    """Bytes of side information."""
    return (32 if head.channels == 2 else 17) if head.version == 3 else (17 if head.channels == 2 else 9)


def make_info(word: bytes, frames: int, size: int) -> bytes:
    """A silent frame whose Xing tag states the number of the frames after it, of the kind of `word`."""
    for bits in range(1, 15):
        header = bytes([word[0], word[1] | 1, bits << 4 | word[2] & 0x0C, word[3]])
        head = read_head(header)
        assert head is not None
        tag = b"Xing" + (3).to_bytes(4, "big") + frames.to_bytes(4, "big") + (size + head.size).to_bytes(4, "big")
        if head.size >= 4 + _side(head) + len(tag) + 36:
            return (header + bytes(_side(head)) + tag).ljust(head.size, b"\0")
    raise AssertionError("every kind has a frame that is large enough")


def changed_info(path: Path, stream: Stream) -> dict[int, bytes]:
    """The corrected bytes of an info frame that promises more than the file holds."""
    assert stream.info is not None
    changes = {stream.info + 8: stream.frames.to_bytes(4, "big")}
    with path.open("rb") as file:
        file.seek(stream.info)
        tag = file.read(156)
    flags = int.from_bytes(tag[4:8], "big")
    at = 12
    if flags & 2:
        changes[stream.info + at] = stream.size.to_bytes(4, "big")
        at += 4
    at += 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    if len(tag) > at + 24 and tag[at : at + 4] in (b"LAME", b"Lavf", b"Lavc"):  # no silence is appended at the end any more
        place = at + 22
        changes[stream.info + place] = bytes([tag[place] & 0xF0, 0])
    return changes
