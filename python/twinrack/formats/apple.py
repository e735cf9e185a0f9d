"""CAF and AU files whose data size is unknown or too large. Sources: Apple, "Core Audio Format"; Sun, audio.h."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Data:
    """The samples: bytes in the file, bytes that the header promises (None: unknown), and the bytes of a corrected header."""

    there: int
    claimed: int | None
    end: int
    changes: dict[int, bytes]


def find_data(path: Path) -> Data | None:
    """The position of the samples in a CAF or AU file; None for other files."""
    with path.open("rb") as file:
        head = file.read(12)
        end = file.seek(0, os.SEEK_END)
        if head[:4] == b".snd":
            start, size = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
            size_in_file = max(min(size, end - start), 0)
            return Data(
                size_in_file, None if size == 0xFFFFFFFF else size, start + size_in_file, {8: size_in_file.to_bytes(4, "big")}
            )
        if head[:4] != b"caff":
            return None
        at = 8
        while at + 12 <= end:
            file.seek(at)
            name, size = file.read(4), int.from_bytes(file.read(8), "big", signed=True)
            if name == b"data":
                size_in_file = end - at - 12 if size < 0 else min(size, end - at - 12)
                return Data(
                    size_in_file - 4,
                    None if size < 0 else size - 4,
                    at + 12 + size_in_file,
                    {at + 4: size_in_file.to_bytes(8, "big")},
                )
            if size < 0:
                return None
            at += 12 + size
    return None
