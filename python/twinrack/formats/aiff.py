"""AIFF and AIFF-C: chunks, and the position of the samples. Source: Apple, "Audio Interchange File Format", 1.3 and AIFF-C."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..system.disk import shown
from .pcm import Kind, Layout
from .riff import Chunk

# Compression types that are none: kind, most significant byte first, bytes of a sample (0: as COMM says).
PLAIN: dict[bytes, tuple[Kind, bool, int]] = {
    b"NONE": ("signed", True, 0), b"twos": ("signed", True, 0), b"sowt": ("signed", False, 0), b"raw ": ("unsigned", True, 0),
    b"fl32": ("float", True, 4), b"FL32": ("float", True, 4), b"fl64": ("float", True, 8), b"FL64": ("float", True, 8),
    b"in24": ("signed", True, 3), b"in32": ("signed", True, 4), b"42ni": ("signed", False, 3), b"23ni": ("signed", False, 4),
}  # fmt: skip


@dataclass(frozen=True)
class Aiff:
    """The chunks of an AIFF file; the sizes are as written."""

    compressed: bool
    chunks: list[Chunk]
    end: int

    def find(self, name: bytes) -> Chunk | None:
        return next((c for c in self.chunks if c.name == name), None)


def read_aiff(path: Path) -> Aiff | None:
    """The chunks of an AIFF file; None for other files."""
    with path.open("rb") as file:
        head = file.read(12)
        end = file.seek(0, os.SEEK_END)
        if head[:4] != b"FORM" or head[8:] not in (b"AIFF", b"AIFC"):
            return None
        chunks, at = [], 12
        while at + 8 <= end:
            file.seek(at)
            name, size = file.read(4), int.from_bytes(file.read(4), "big")
            if name == b"SSND" and size in (0, 8) and end - at - 16 > 8:
                size = 0xFFFFFFFF  # not known when it was written
            chunks.append(Chunk(name, at + 8, size))
            at += 8 + size + size % 2
        return Aiff(head[8:] == b"AIFC", chunks, end)


@dataclass(frozen=True)
class Found:
    """The samples of an AIFF file: their layout (None where they are compressed), and the frames that the header promises."""

    layout: Layout | None
    claimed: int | None


def find_samples(path: Path, aiff: Aiff) -> Found:
    """The position and layout of the samples of an AIFF file.

    Raises:
        ValueError: no format or no samples in it; one sentence.
    """
    comm, data = aiff.find(b"COMM"), aiff.find(b"SSND")
    if comm is None or data is None:
        missing = "no COMM chunk" if comm is None else "no SSND chunk"
        raise ValueError(f"{shown(path)} cannot be read as audio ({missing}); give WAV, FLAC, OGG, AIFF or MP3")
    with path.open("rb") as file:
        file.seek(comm.at)
        head = file.read(min(comm.size, 22))
        file.seek(data.at)
        offset = int.from_bytes(file.read(4), "big")
    channels, frames, bits = (int.from_bytes(head[a:b], "big") for a, b in ((0, 2), (2, 6), (6, 8)))
    code = head[18:22] if aiff.compressed else b"NONE"
    if code not in PLAIN or len(head) < 18:
        return Found(None, None)
    kind, big, each = PLAIN[code]
    each = each or -(-bits // 8)
    if channels == 0 or not 1 <= each <= (8 if kind == "float" else 4) or (kind == "unsigned" and each > 1):
        raise ValueError(
            f"{shown(path)} has an impossible layout ({bits} bits, {channels} channels); write it anew as 16, 24 or 32 bits"
        )
    start = data.at + 8 + offset
    available = max(min(data.at + data.size, aiff.end) - start, 0) // (each * channels)
    available_bytes = aiff.end - data.at
    unknown = (data.size >= 0x7F000000 and data.size > available_bytes) or frames == 0 or frames >= 0x7FFFF000
    claimed = None if unknown else frames
    count = available if claimed is None else min(available, claimed)
    return Found(Layout(start, channels, round(_extended(head[8:18])), count, kind, each, 8 * each, big=big), claimed)


def _extended(data: bytes) -> float:
    """An 80-bit floating point number, as AIFF holds its sample rate."""
    exponent = int.from_bytes(data[:2], "big") & 0x7FFF
    if exponent - 16383 > 40:
        return 0.0
    return float(int.from_bytes(data[2:], "big") * 2.0 ** (exponent - 16383 - 63))
