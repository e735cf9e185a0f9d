"""Channels that were rendered before: their sound before the fader, under the hash of all that it depends on.

A channel whose hash is there is not computed again, and neither is what only it hears. A sound is as long as the rendering was;
where more of it is asked for, it is computed anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..audio import Audio
from ..system.disk import atomic, cannot_write, remove_abandoned

LIMIT_BYTES = 16 << 30


class CacheEndedError(Exception):
    """More of a stored sound is asked for than there is."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Stored:
    """One sound in the cache."""

    def __init__(self, path: Path, channels: int) -> None:
        self.path, self.channels, self.key = path, channels, path.stem
        self.frames = path.stat().st_size // (4 * channels)

    def __call__(self, a: int, b: int) -> Audio:
        """Frames a to b; silence after its end, which `reaches` must allow."""
        if b > self.frames:
            there = max(min(self.frames, b) - a, 0)
            known = self(a, a + there) if there else np.zeros((self.channels, 0), np.float32)
            return np.pad(known, ((0, 0), (0, b - a - there)))
        flat = np.fromfile(self.path, np.float32, (b - a) * self.channels, offset=4 * a * self.channels)
        return np.ascontiguousarray(flat.reshape(-1, self.channels).T)

    def reaches(self, frame: int) -> None:
        """Refuse to stand for the sound up to a frame that it does not have.

        Raises:
            CacheEndedError: it is shorter.
        """
        if frame > self.frames:
            raise CacheEndedError(self.key)


class Recording:
    """A sound on its way into the cache."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._atomic = atomic(path)
        self._frames = 0
        self._file = self._atomic.__enter__().open("wb")

    def __call__(self, x: Audio) -> None:
        self._frames += x.shape[1]
        try:
            np.ascontiguousarray(x.T).tofile(self._file)
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def close(self, keep: bool) -> None:
        self._file.close()
        if keep and self._frames:
            self._atomic.__exit__(None, None, None)
        else:
            nothing = ValueError("it is not kept")
            self._atomic.__exit__(ValueError, nothing, None)


class Cache:
    """A folder of sounds.

    Args:
        folder: made when it is not there.
        limit_bytes: what it may take; the sounds not used for the longest time go first.
    """

    def __init__(self, folder: str | os.PathLike[str], limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = Path(folder)
        self.limit_bytes = limit_bytes
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from None

    def find(self, key: str, channels: int) -> Stored | None:
        """The sound with this hash."""
        path = self.folder / f"{key}.f32"
        try:
            os.utime(path)
        except OSError:
            return None
        return Stored(path, channels)

    def record(self, key: str) -> Recording:
        """Begin to store a sound."""
        return Recording(self.folder / f"{key}.f32")

    def tidy(self) -> None:
        """Keep within the limit, and take away what processes left that are no more."""
        for part in self.folder.glob("*.part"):
            remove_abandoned(part)
        there = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in self.folder.glob("*.f32"))
        total = sum(size for _, size, _ in there)
        for _, size, path in there:
            if total <= self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
