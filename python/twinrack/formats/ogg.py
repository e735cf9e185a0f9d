"""Ogg pages: checksums, the streams of a file, and whether the last is complete. Source: RFC 3533."""

from __future__ import annotations

import mmap
import zlib
from dataclasses import dataclass
from pathlib import Path

LARGEST_PAGE = 65307
_REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))


def checksum(page: bytes) -> int:
    """The checksum of a page whose checksum field is zero: zlib's polynomial with reversed bits."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def sealed(page: bytes | bytearray) -> bytes:
    """A page with its checksum."""
    bare = bytes(page[:22]) + bytes(4) + bytes(page[26:])
    return bare[:22] + checksum(bare).to_bytes(4, "little") + bare[26:]


def page_size(data: bytes | mmap.mmap, at: int) -> int:
    """Bytes of the page that begins there; 0 where none does, or its head is not whole."""
    if data[at : at + 5] != b"OggS\0" or at + 27 > len(data):
        return 0
    count = data[at + 26]
    if at + 27 + count > len(data):
        return 0
    return 27 + count + sum(data[at + 27 : at + 27 + count])


@dataclass(frozen=True)
class LastPage:
    """The last whole page of a stream: its place, the byte after it, and whether it ends the stream."""

    at: int
    end: int
    ends: bool
    page: bytes


def find_links(path: Path) -> list[tuple[int, int]]:
    """Begin and end of each chained stream in a file; multiplexed streams count as one."""
    starts: list[int] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, within = 0, True
        while at >= 0:
            size = page_size(data, at)
            if size and data[at + 5] & 2 and sealed(page := data[at : at + size]) != page:
                size = 0
            if size:
                begins = bool(data[at + 5] & 2)
                if begins and within:
                    starts.append(at)
                within = not begins
            whole = size and data[at + size : at + size + 4] == b"OggS"
            at = at + size if whole else data.find(b"OggS", at + 4)  # the next stream can begin within a page that was cut
        ends = [*starts[1:], len(data)]
    return list(zip(starts, ends, strict=False))


def find_end(path: Path, first: int, size: int) -> LastPage | None:
    """The last whole page of a stretch of a file; None where its end holds none."""
    with path.open("rb") as file:
        start = max(size - 3 * LARGEST_PAGE, first)
        file.seek(start)
        data = file.read(size - start)
    at = data.rfind(b"OggS")
    while at >= 0:
        long = page_size(data, at)
        page = data[at : at + long]
        if long and at + long <= len(data) and sealed(page) == page:
            return LastPage(start + at, start + at + long, bool(page[5] & 4), page)
        at = data.rfind(b"OggS", 0, at)
    return None
