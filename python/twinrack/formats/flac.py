"""FLAC: the true number of samples, from the last whole frame. Source: RFC 9639."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

WINDOW = 1 << 18  # bytes at the end that are searched first


def _table(polynomial: int, bits: int) -> list[int]:
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return table


CRC8, CRC16 = _table(0x07, 8), _table(0x8005, 16)


def crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = CRC8[value ^ byte]
    return value


def crc16(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ CRC16[value >> 8 ^ byte]
    return value


@dataclass(frozen=True)
class Stream:
    """The head of a FLAC file.

    Attributes:
        info: place of the 34 bytes of STREAMINFO; first: of the first frame.
        block: frames in a block, where all have the same; samples: 0 when the writer did not know.
    """

    info: int
    first: int
    block: int
    sample_rate: int
    channels: int
    bits: int
    samples: int


def read_stream(path: Path) -> Stream | None:
    """The head of a FLAC file, which an ID3v2 tag may precede; None for other files."""
    with path.open("rb") as file:
        at = 0
        head = file.read(10)
        if head[:3] == b"ID3":
            at = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
        file.seek(at)
        if file.read(4) != b"fLaC":
            return None
        at, info, content, last = at + 4, 0, b"", False
        while not last:
            file.seek(at)
            head = file.read(4)
            if len(head) < 4:
                return None
            last = bool(head[0] & 0x80)
            if head[0] & 0x7F == 0:
                info, content = at + 4, file.read(34)
            at += 4 + int.from_bytes(head[1:], "big")
    if len(content) < 34:
        return None
    packed = int.from_bytes(content[10:18], "big")
    least, most = int.from_bytes(content[:2], "big"), int.from_bytes(content[2:4], "big")
    return Stream(
        info,
        at,
        most if least == most else 0,
        packed >> 44,
        (packed >> 41 & 7) + 1,
        (packed >> 36 & 31) + 1,
        packed & (1 << 36) - 1,
    )


@dataclass(frozen=True)
class Real:
    """The number of samples in the file, the end of the last whole frame, and whether a partial frame follows."""

    samples: int
    end: int
    cut: bool = False


def find_end(path: Path, stream: Stream) -> Real:
    """The last whole frame of a file: one whose checksum fits."""
    with path.open("rb") as file:
        size = end = _without_tags(file, file.seek(0, os.SEEK_END))
        window = WINDOW
        while stream.first < end:
            start = max(stream.first, end - window)
            file.seek(start)
            frame = _last_frame(file.read(end - start), stream)
            if frame is not None:
                last = start + frame[1]
                file.seek(last)
                return Real(frame[0], last, last < size and file.read(1) == b"\xff")
            if start == stream.first:
                break
            window *= 4
    return Real(0, stream.first, False)


def _without_tags(file: BinaryIO, end: int) -> int:
    """Where the sound ends, before tags of other formats that some programs append."""
    file.seek(max(end - 128, 0))
    if file.read(3) == b"TAG":
        end -= 128
    file.seek(max(end - 32, 0))
    tail = file.read(32)
    if tail[:8] == b"APETAGEX":
        end -= int.from_bytes(tail[12:16], "little") + (32 if tail[23] & 0x80 else 0)
    return end


def _last_frame(data: bytes, stream: Stream) -> tuple[int, int] | None:
    """The last whole frame in a stretch: the sample after it, and the byte after it."""
    heads = []
    at = data.find(b"\xff")
    while at >= 0:
        if (
            at + 1 < len(data)
            and data[at + 1] & 0xFE == 0xF8
            and (after := _sample_after(data[at : at + 16], stream)) is not None
        ):
            heads.append((at, after))
        at = data.find(b"\xff", at + 1)
    places = [at for at, _ in heads] + [len(data)]
    for i in range(len(heads) - 1, -1, -1):
        at, after = heads[i]
        for end in places[i + 1 : i + 4]:  # a head inside a frame can be chance
            if crc16(data[at:end]) == 0:
                return after, end
    return None


def _sample_after(head: bytes, stream: Stream) -> int | None:
    """The number of the sample after a frame, from the frame's head; None for other bytes."""
    if len(head) < 6:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    channel_code, bits_code = head[3] >> 4, head[3] >> 1 & 7
    channels = channel_code + 1 if channel_code < 8 else 2
    if size_code == 0 or rate_code == 15 or channel_code > 10 or head[3] & 1 or channels != stream.channels:
        return None
    if bits_code and (0, 8, 12, 0, 16, 20, 24, 32)[bits_code] != stream.bits:
        return None
    ones = 8 - (head[4] ^ 0xFF).bit_length()
    if ones == 1 or ones > 7:
        return None
    at = 4 + max(ones, 1)
    if len(head) < at + 5:
        head = head + bytes(at + 5 - len(head))
    number = head[4] & (0x7F >> ones)
    for byte in head[5:at]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    if size_code == 1:
        frames = 192
    elif size_code < 6:
        frames = 144 << size_code
    elif size_code < 8:
        count = size_code - 5
        frames = int.from_bytes(head[at : at + count], "big") + 1
        at += count
    else:
        frames = 1 << size_code
    at += (0, 1, 2, 2)[rate_code - 11] if rate_code > 11 else 0
    if crc8(head[:at]) != head[at]:
        return None
    if head[1] & 1:
        return number + frames
    return number * stream.block + frames if stream.block else None


def with_samples(path: Path, stream: Stream, samples: int) -> bytes:
    """STREAMINFO with another number of samples, and without the checksum of all of them."""
    with path.open("rb") as file:
        file.seek(stream.info)
        info = bytearray(file.read(34))
    packed = int.from_bytes(info[10:18], "big") >> 36 << 36 | samples
    info[10:18] = packed.to_bytes(8, "big")
    info[18:34] = bytes(16)
    return bytes(info)
