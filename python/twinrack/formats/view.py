"""A read-only view of a file for a library: a part of it, with some bytes replaced and others in front."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class View(io.RawIOBase):
    """A stretch of a file, readable and seekable.

    Args:
        start, end: the stretch.
        before: bytes that come first.
        changes: bytes by their place in the file.
        gaps: stretches within it that are left out, in order.
    """

    def __init__(
        self,
        path: Path,
        start: int,
        end: int,
        before: bytes = b"",
        changes: Mapping[int, bytes] | None = None,
        gaps: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._before, self._changes = before, dict(changes or {})
        self._parts = list(zip([start, *(b for _, b in gaps)], [*(a for a, _ in gaps), end], strict=True))
        self._firsts = [len(before)]  # where each part begins here
        for a, b in self._parts:
            self._firsts.append(self._firsts[-1] + b - a)
        self._size = self._firsts[-1]
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
        wanted = min(len(buffer), max(self._size - self._at, 0))
        done = 0
        while done < wanted and (data := self._bytes(wanted - done)):
            buffer[done : done + len(data)] = data
            done += len(data)
            self._at += len(data)
        return done

    def _bytes(self, count: int) -> bytes:
        if self._at < len(self._before):
            return self._before[self._at : self._at + count]
        number = bisect_right(self._firsts, self._at) - 1
        start, end = self._parts[number]
        at = start + self._at - self._firsts[number]
        self._file.seek(at)
        data = bytearray(self._file.read(min(count, end - at)))
        for place, new in self._changes.items():
            for i, byte in enumerate(new):
                if at <= place + i < at + len(data):
                    data[place + i - at] = byte
        return bytes(data)

    def close(self) -> None:
        self._file.close()
        super().close()
