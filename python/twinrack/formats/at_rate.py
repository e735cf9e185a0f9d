"""Positions in metadata, in frames, converted to another sample rate."""

from __future__ import annotations

import re


def frames_at_rate(frames: int, from_rate: int, to_rate: int) -> int:
    """A number of frames at another rate, rounded to the nearest."""
    return (2 * frames * to_rate + from_rate) // (2 * from_rate)


def chunk_at_rate(name: bytes, content: bytes, from_rate: int, to_rate: int) -> bytes:
    """A chunk's content for the sound at another rate: positions in frames are converted."""
    out = bytearray(content)

    def convert(at: int, size: int = 4) -> None:
        value = int.from_bytes(out[at : at + size], "little")
        if at + size <= len(out) and value != (1 << 8 * size) - 1:
            out[at : at + size] = min(frames_at_rate(value, from_rate, to_rate), (1 << 8 * size) - 1).to_bytes(size, "little")

    if name == b"bext":
        convert(338, 8)
    elif name == b"smpl" and len(out) >= 36:
        out[8:12] = round(1e9 / to_rate).to_bytes(4, "little")
        for i in range(min(int.from_bytes(out[28:32], "little"), (len(out) - 36) // 24)):
            convert(36 + 24 * i + 8)
            convert(36 + 24 * i + 12)
    elif name == b"cart":
        for at in range(684, 748, 8):
            if any(out[at : at + 4]):
                convert(at + 4)
    elif name == b"plst":
        for i in range(min(int.from_bytes(out[:4], "little"), (len(out) - 4) // 12)):
            convert(4 + 12 * i + 4)
    elif name == b"iXML":
        return re.sub(rb"(<FILE_SAMPLE_RATE>)\s*\d+\s*(</)", rb"\g<1>%d\g<2>" % to_rate, content)
    return bytes(out)


def cuesheet_at_rate(sheet: bytes, from_rate: int, to_rate: int) -> bytes:
    """A CUESHEET block with its positions at another rate, no longer marked as that of a CD.

    Raises:
        ValueError: it is damaged.
    """
    out = bytearray(sheet)

    def convert(at: int) -> None:
        if at + 12 > len(sheet):
            raise ValueError("the cue sheet is damaged")
        out[at : at + 8] = frames_at_rate(int.from_bytes(out[at : at + 8], "big"), from_rate, to_rate).to_bytes(8, "big")

    convert(128)
    out[136] &= 0x7F
    at = 396
    for _ in range(out[395]):
        convert(at)
        points = out[at + 35]
        at += 36
        for _ in range(points):
            convert(at)
            at += 12
    return bytes(out)
