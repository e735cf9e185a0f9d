"""Sounds of channels before their faders, in files named by the hash of all that they depend on.

A cache folder holds what renderings left: each sound is as long as its rendering was, and the least used are removed first. A
pinned sound stays until its owner removes it: a frozen channel, with its whole tail, as a WAV file that people can open. A
channel whose hash is known is not computed again, and neither is what only it listens to.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..audio import Audio
from ..checks import brief
from ..system.disk import atomic, cannot_write, remove_abandoned
from .media import Media, RawSource, Source

LIMIT_BYTES = 16 << 30
KEY_DIGITS = 16  # of a hash, in the name of a file


class CacheEndedError(Exception):
    """More of a stored sound is asked for than there is."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class StoredSound:
    """A channel's sound before its fader, read from a file.

    Args:
        source: its frames.
        key: the hash of what it depends on.
        complete: nothing sounds after its end; otherwise it was only stored so far.
    """

    def __init__(self, source: Source, key: str, *, complete: bool) -> None:
        self.source, self.key, self.complete = source, key, complete

    def __call__(self, a: int, b: int) -> Audio:
        """Frames a to b; silence after its end, which `require` must allow."""
        count = max(min(self.source.frames, b) - a, 0)
        x = self.source.read(a, count) if count else np.zeros((self.source.channels, 0), np.float32)
        return np.ascontiguousarray(np.pad(x, ((0, 0), (0, b - a - count))) if count < b - a else x)

    def require(self, frame: int) -> None:
        """Refuse to stand for the sound up to a frame that was not stored.

        Raises:
            CacheEndedError: it is shorter.
        """
        if not self.complete and frame > self.source.frames:
            raise CacheEndedError(self.key)


def pinned_path(folder: Path, name: str, key: str) -> Path:
    """The file in which a channel's sound is pinned."""
    return folder / f"{name}.{key[:KEY_DIGITS]}.wav"


def open_pinned(path: Path, name: str, key: str, channels: int, media: Media) -> StoredSound:
    """The pinned sound of a channel.

    Args:
        path: as from `pinned_path`.
        name: of the channel, for messages.
        key: the hash of the channel as it is now.

    Raises:
        FileNotFoundError, ValueError: the file is missing or damaged, or stands for another state of the channel.
    """
    if path.stem.rpartition(".")[2] != key[:KEY_DIGITS]:
        raise ValueError(f"channel {brief(name)} was changed since it was frozen; freeze it again, or unfreeze it")
    source = media.open(path)
    if source.channels != channels:
        raise ValueError(f"{path} has {source.channels} channels, the session {channels}; freeze {brief(name)} again")
    return StoredSound(source, key, complete=True)


class CacheWriter:
    """Writes one sound into a cache; it appears complete or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._atomic = atomic(path)
        self._frames = 0
        self._file = self._atomic.__enter__().open("wb")

    def __call__(self, x: Audio) -> None:
        """The next frames, (channels, frames)."""
        self._frames += x.shape[1]
        try:
            np.ascontiguousarray(x.T).tofile(self._file)
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def close(self, keep: bool) -> None:
        """Put it into the cache, or throw it away."""
        self._file.close()
        if keep and self._frames:
            self._atomic.__exit__(None, None, None)
        else:
            discarded = ValueError("it is not kept")
            self._atomic.__exit__(ValueError, discarded, None)


class Cache:
    """A folder of sounds that were rendered before.

    Args:
        folder: created if it is missing.
        limit_bytes: bytes it may take; sounds unused for the longest time are removed first.
    """

    def __init__(self, folder: str | os.PathLike[str], limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = Path(folder)
        self.limit_bytes = limit_bytes
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from None

    def find(self, key: str, channels: int) -> StoredSound | None:
        """The sound with this hash."""
        path = self._path(key)
        try:
            os.utime(path)
            size = path.stat().st_size
        except OSError:
            return None
        return StoredSound(RawSource(path, channels, size // (4 * channels)), key, complete=False)

    def record(self, key: str) -> CacheWriter:
        """Begin to store a sound."""
        return CacheWriter(self._path(key))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key[:KEY_DIGITS]}.f32"

    def tidy(self) -> None:
        """Keep within the limit, and remove what processes that ended left half-written."""
        for part in self.folder.glob("*.part"):
            remove_abandoned(part)
        sounds = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in self.folder.glob("*.f32"))
        total = sum(size for _, size, _ in sounds)
        for _, size, path in sounds:
            if total <= self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
