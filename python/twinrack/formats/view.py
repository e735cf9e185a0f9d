"""A file as a library is to see it: a stretch of it, with some bytes changed and others in front. The file stays as it is."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class View(io.RawIOBase):
    """A stretch of a file, readable and seekable.

    Args:
        start, end: the stretch.
        before: bytes that come first.
        changes: bytes by their place in the file.
    """

    def __init__(
        self, path: Path, start: int, end: int, before: bytes = b"", changes: Mapping[int, bytes] | None = None
    ) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._start, self._before, self._changes = start, before, dict(changes or {})
        self._size = len(before) + end - start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, place: int, whence: int = 0, /) -> int:
        self._at = max(place + (0, self._at, self._size)[whence], 0)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        data = self._bytes(min(len(buffer), max(self._size - self._at, 0)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _bytes(self, count: int) -> bytes:
        first = self._before[self._at : self._at + count]
        at = self._start + max(self._at - len(self._before), 0)
        self._file.seek(at)
        rest = bytearray(self._file.read(count - len(first)))
        for place, new in self._changes.items():
            for i, byte in enumerate(new):
                if at <= place + i < at + len(rest):
                    rest[place + i - at] = byte
        return first + bytes(rest)

    def close(self) -> None:
        self._file.close()
        super().close()
