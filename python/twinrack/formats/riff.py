"""WAV and its relatives (RIFF, RIFX, RF64, BW64, W64): chunks, and the position of the samples.

Sources: Microsoft, "Multiple Channel Audio Data and WAVE Files"; EBU Tech 3306 (RF64); ITU-R BS.2088 (BW64); Sonic Foundry W64.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ..system.disk import shown
from .pcm import Kind, Layout, place_bits

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
# The tails of the sub-format identifiers that carry a format tag: the usual one, and that of B-format.
GUID_TAILS = (bytes.fromhex("000000001000800000aa00389b71"), bytes.fromhex("00002107d3118644c8c1ca000000"))
W64_RIFF, W64_WAVE = bytes.fromhex("726966662e91cf11a5d628db04c10000"), bytes.fromhex("77617665f3acd3118cd100c04f8edb8a")
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
# Chunks that programs write behind the samples, and how far from a file's end they are looked for.
TAIL_NAMES = re.compile(
    rb"LIST|id3 |ID3 |bext|iXML|axml|cart|cue |smpl|inst|acid|PEAK|fact|JUNK|junk|PAD |FLLR|afsp|DISP|_PMX|chna"
)
TAIL = 1 << 24


@dataclass(frozen=True)
class Chunk:
    """A chunk: its name, the place of its content in the file, and the size that is written for it."""

    name: bytes
    at: int
    size: int


@dataclass(frozen=True)
class Wave:
    """The kind of a RIFF file, and its chunks; the sizes are as written, so the last may reach beyond the file's end."""

    kind: Literal["RIFF", "RIFX", "RF64", "W64"]
    chunks: list[Chunk]
    end: int

    def find(self, name: bytes) -> Chunk | None:
        return next((c for c in self.chunks if c.name == name), None)

    @property
    def big(self) -> bool:
        return self.kind == "RIFX"


def read_wave(path: Path) -> Wave | None:
    """The chunks of a WAV file; None for other files."""
    with path.open("rb") as file:
        head = file.read(40)
        end = file.seek(0, os.SEEK_END)
        if head[:16] == W64_RIFF and head[24:40] == W64_WAVE:
            return Wave("W64", list(_w64_chunks(file, end)), end)
        if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:12] != b"WAVE":
            return None
        kind: Literal["RIFF", "RIFX", "RF64"]
        kind = "RIFX" if head[:4] == b"RIFX" else "RIFF" if head[:4] == b"RIFF" else "RF64"
        return Wave(kind, list(_riff_chunks(file, end, kind)), end)


def _riff_chunks(file: BinaryIO, end: int, kind: str) -> Iterator[Chunk]:
    order: Literal["little", "big"] = "big" if kind == "RIFX" else "little"
    long: dict[bytes, int] = {}
    at = 12
    while at + 8 <= end:
        file.seek(at)
        head = file.read(8)
        name, size = head[:4], int.from_bytes(head[4:], order)
        if name == b"ds64" and kind == "RF64":
            sizes = file.read(min(size, 1 << 16))
            long[b"data"] = int.from_bytes(sizes[8:16], "little")
            for i in range(28, len(sizes) - 11, 12):
                long[sizes[i : i + 4]] = int.from_bytes(sizes[i + 4 : i + 12], "little")
        elif size == 0xFFFFFFFF and name in long:
            size = long[name]
        if name == b"data":
            size = _data_size(file, at + 8, size, end, kind)
        yield Chunk(name, at + 8, size)
        if at + 8 + size >= end:
            return
        at = _after(file, at + 8 + size, size)


def _after(file: BinaryIO, at: int, size: int) -> int:
    """Where the next chunk begins: a byte further after odd sizes, which some programs forget."""
    if size % 2 == 0:
        return at
    file.seek(at)
    follows = file.read(9)
    forgotten = _is_name(follows[:4]) and follows[:1] != b"\0" and not _is_name(follows[1:5])
    return at if forgotten else at + 1


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= c < 127 for c in name) and name[:1] != b" "


def is_placeholder(size: int, kind: str) -> bool:
    """Whether a size is a placeholder, as programs write it into pipes or before they have finished."""
    if kind in ("RF64", "W64"):
        return size >= 1 << 62 or size == 0xFFFFFFFF
    return size >= 0xFFFFF000 or 0x7FFFF000 <= size <= 0x80001000


def _data_size(file: BinaryIO, at: int, size: int, end: int, kind: str) -> int:
    """The size of the samples where the header has 0 or too little; otherwise `size`."""
    if size == 0 and not _chunks_fill(file, at, end):
        return _before_chunks(file, at, end, kind) - at
    if is_placeholder(size, kind) and at + size > end:
        last = _before_chunks(file, at, end, kind)
        return size if last == end else last - at
    if kind in ("RIFF", "RIFX") and end - at > 1 << 32 and not _chunks_fill(file, at + size, end):
        for turns in range(1, (end - at) >> 32 | 1):  # more than 4 GiB, counted modulo 4 GiB
            more = size + (turns << 32)
            if more + at <= end and _chunks_fill(file, at + more + more % 2, end):
                return more
        return end - at
    return size


def _before_chunks(file: BinaryIO, at: int, end: int, kind: str) -> int:
    """The begin of the chunks after samples of unknown size, searched from the file's end."""
    order: Literal["little", "big"] = "big" if kind == "RIFX" else "little"
    start = max(at, end - TAIL)
    file.seek(start)
    data = file.read(end - start)
    firsts = {len(data)}
    for at_name in sorted((m.start() for m in TAIL_NAMES.finditer(data)), reverse=True):
        size = int.from_bytes(data[at_name + 4 : at_name + 8], order)
        if {at_name + 8 + size + size % 2, at_name + 8 + size} & firsts and at_name + 8 <= len(data):
            firsts.add(at_name)
    return start + min(firsts)


def _chunks_fill(file: BinaryIO, at: int, end: int) -> bool:
    """Whether whole chunks follow up to the file's end (give or take a padding byte)."""
    while at + 8 <= end:
        file.seek(at)
        head = file.read(8)
        if not _is_name(head[:4]):
            return False
        at += 8 + int.from_bytes(head[4:], "little")
        at += at % 2
    return at - end <= 1 and end - at < 2


def _w64_chunks(file: BinaryIO, end: int) -> Iterator[Chunk]:
    at = 40
    while at + 24 <= end:
        file.seek(at)
        head = file.read(24)
        size = int.from_bytes(head[16:], "little") - 24
        if size < 0:
            size = end - at - 24 if head[:4] == b"data" else 0
        if head[4:16] == W64_TAIL:
            yield Chunk(head[:4], at + 24, size)
        at += 24 + (size + 7 & ~7)


@dataclass(frozen=True)
class Found:
    """The samples of a WAV file.

    Attributes:
        layout: None where they are compressed.
        data: where they are; there: bytes of them in the file.
        claimed: bytes that the header promises, or None where it says nothing that can be true.
        notes: sentences about what had to be guessed.
    """

    layout: Layout | None
    data: Chunk
    there: int
    claimed: int | None
    notes: list[str]


def find_samples(path: Path, wave: Wave) -> Found:
    """The position and layout of the samples of a WAV file.

    Raises:
        ValueError: no format or no samples in it, or a layout that has no certain meaning; one sentence.
    """
    fmt, data = wave.find(b"fmt "), wave.find(b"data")
    if fmt is None or data is None:
        missing = "no fmt chunk" if fmt is None else "no data chunk"
        raise ValueError(f"{shown(path)} cannot be read as audio ({missing}); give WAV, FLAC, OGG, AIFF or MP3")
    available = max(min(data.size, wave.end - data.at), 0)
    claimed = None if is_placeholder(data.size, wave.kind) and data.size > available else data.size
    with path.open("rb") as file:
        file.seek(fmt.at)
        head = file.read(min(fmt.size, 40))
    notes: list[str] = []
    layout = _layout(path, head, data.at, available, wave.big)
    if layout is not None:
        layout, unclear = place_bits(path, layout)
        if unclear and int.from_bytes(head[:2], "big" if wave.big else "little") == PCM:
            notes.append(
                f"{shown(path.name)} has {layout.bits} bits in {layout.bytes} bytes, and its samples do not show whether they "
                "lie at the top or at the bottom; they were read as at the top, as the format says"
            )
    over = _behind(path, wave, data)
    if over:
        notes.append(f"{shown(path.name)} holds {over} bytes behind the sound that its header promises; they were left out")
    return Found(layout, data, available, claimed, notes)


def _behind(path: Path, wave: Wave, data: Chunk) -> int:
    """Bytes after the samples that are neither chunks, tags nor padding: perhaps sound that the header omits."""
    at = data.at + data.size + data.size % 2
    if wave.kind not in ("RIFF", "RIFX") or wave.end - at < 64:
        return 0
    with path.open("rb") as file:
        file.seek(at)
        start = file.read(4096)
        known = _is_name(start[:4]) or _is_name(start[1:5]) or start[:3] in (b"TAG", b"ID3") or not any(start)
    return 0 if known else wave.end - at


def _layout(path: Path, head: bytes, start: int, size: int, big: bool) -> Layout | None:
    """The layout that a fmt chunk describes; None for compressed samples."""

    def number(at: int, count: int = 2) -> int:
        return int.from_bytes(head[at : at + count], "big" if big else "little")

    if len(head) < 16:
        return None
    tag, channels, rate, align, bits = number(0), number(2), number(4, 4), number(12), number(14)
    container, valid = bits, bits
    if tag == EXTENSIBLE:
        if len(head) < 40 or not any(head[26:40] == tail for tail in GUID_TAILS):
            raise ValueError(f"{shown(path)} cannot be read as audio (an unknown sub-format); give WAV, FLAC, OGG, AIFF or MP3")
        tag = number(24)
        valid = min(number(18) or bits, bits)
    if tag not in (PCM, FLOAT):
        return None
    words = f"{bits} bits, {channels} channels, block align {align}"
    if not 1 <= bits <= 64 or channels == 0:
        raise ValueError(f"{shown(path)} has an impossible layout ({words}); write it anew as 16, 24 or 32 bits")
    least = -(-bits // 8)
    if align in (0, least):  # not written, or that of one channel
        align = least * channels
    each, rest = divmod(align, channels)
    fits = each in (4, 8) and each == least if tag == FLOAT else least <= each <= 4
    if rest or not fits or (tag == PCM and bits <= 8 and each > 1):
        what = "floating point" if tag == FLOAT else "integers"
        raise ValueError(
            f"{shown(path)} has a layout of no certain meaning ({what}, {words}); write it anew as 16, 24 or 32 bits"
        )
    kind: Kind = "float" if tag == FLOAT else "unsigned" if container <= 8 else "signed"
    return Layout(start, channels, rate, size // (each * channels), kind, each, valid, big=big)
