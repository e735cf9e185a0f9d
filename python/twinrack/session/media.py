"""Recordings as a session reads them: any stretch, at the session's sample rate, without keeping files in memory or open."""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import soundfile

from .. import _engine
from ..audio import Audio
from ..files import AudioFile, Layout, wav_layout

if TYPE_CHECKING:
    from .clip import Clip

OPEN_FILES = 200
EXACT = ("WAV", "AIFF", "FLAC", "RF64", "W64", "WAVEX", "AU", "CAF")  # whose frames can be reached one by one


class Source(Protocol):
    """A recording at the session's rate."""

    frames: int
    channels: int

    def read(self, start: int, count: int) -> Audio:
        """Frames of it, (channels, count)."""
        ...


class ArraySource:
    """An array in memory."""

    def __init__(self, array: Audio) -> None:
        self.array = array
        self.channels, self.frames = array.shape

    def read(self, start: int, count: int) -> Audio:
        return self.array[:, start : start + count]


class RawSource:
    """A file of bare float32 frames, as other rates and lossy formats are turned into."""

    def __init__(self, path: Path, channels: int, frames: int) -> None:
        self.path, self.channels, self.frames = path, channels, frames

    def read(self, start: int, count: int) -> Audio:
        flat = np.fromfile(self.path, np.float32, count * self.channels, offset=4 * start * self.channels)
        return flat.reshape(-1, self.channels).T


class FileSource:
    """A file whose frames can be reached one by one. Opened when it is read, closed when too many are open."""

    def __init__(self, path: Path, pool: OpenFiles) -> None:
        with AudioFile(path) as file:
            self.channels, self.frames = file.channels, file.frames
        self.path, self._pool = path, pool
        self._at = -1
        self.lock = threading.Lock()
        self.file: soundfile.SoundFile | None = None

    def read(self, start: int, count: int) -> Audio:
        self._pool.used(self)
        with self.lock:
            try:
                if self.file is None:
                    self.file, self._at = soundfile.SoundFile(self.path), 0
                if self._at != start:
                    self.file.seek(start)
                x = self.file.read(count, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, OSError) as error:
                raise ValueError(f"{self.path} is damaged at frame {start}, or has gone: {error}") from None
            self._at = start + len(x)
        if len(x) != count:
            raise ValueError(f"{self.path} ends at frame {start + len(x)}, although it says that it has {self.frames}")
        y: Audio = x.T
        return y

    def close(self) -> None:
        with self.lock:
            if self.file is not None:
                self.file.close()
                self.file = None


class WavSource:
    """A plain WAV file, whose bytes are read and unpacked without detours."""

    def __init__(self, path: Path, channels: int, frames: int, layout: Layout, pool: OpenFiles) -> None:
        self.path, self.channels, self.frames = path, channels, frames
        self._layout, self._pool = layout, pool
        self._each = channels * (layout.bytes or 4)
        self._bytes = bytearray()
        self.lock = threading.Lock()
        self.file: io.FileIO | None = None

    def read(self, start: int, count: int) -> Audio:
        self._pool.used(self)
        with self.lock:
            try:
                if self.file is None:
                    self.file = io.FileIO(self.path)
                if len(self._bytes) < count * self._each:
                    self._bytes = bytearray(count * self._each)
                self.file.seek(self._layout.start + start * self._each)
                view = memoryview(self._bytes)[: count * self._each]
                there = self.file.readinto(view)
            except OSError as error:
                raise ValueError(f"{self.path} is damaged at frame {start}, or has gone: {error}") from None
            if there != len(view):
                raise ValueError(f"{self.path} ends before frame {start + count}, although it says that it has {self.frames}")
            return _engine.unpack(view, self._layout.bytes, self.channels, count)

    def close(self) -> None:
        with self.lock:
            if self.file is not None:
                self.file.close()
                self.file = None


class OpenFiles:
    """Keeps the number of open files below a limit: the one not read for the longest time is closed."""

    def __init__(self) -> None:
        self._used: OrderedDict[int, FileSource | WavSource] = OrderedDict()
        self._lock = threading.Lock()

    def used(self, source: FileSource | WavSource) -> None:
        with self._lock:
            self._used[id(source)] = source
            self._used.move_to_end(id(source))
            oldest = self._used.popitem(last=False)[1] if len(self._used) > OPEN_FILES else None
        if oldest is not None:
            oldest.close()

    def close(self) -> None:
        with self._lock:
            for source in self._used.values():
                source.close()
            self._used.clear()


class Media:
    """All recordings of one rendering. Use it in a `with` block: what was converted for it goes with it.

    Args:
        sample_rate: Hz, of the session: recordings of another rate are resampled (soxr, highest quality) into a temporary file.
        folder: for that file; without it, the system's.
    """

    def __init__(self, sample_rate: float, folder: Path | None = None) -> None:
        self.rate = sample_rate
        self._folder = folder
        self._pool = OpenFiles()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._converted: dict[Path | int, Source] = {}

    def open(self, clip: Clip) -> Source:
        """Raises FileNotFoundError, ValueError as `AudioFile`."""
        if clip.path is None:
            array: Audio = clip.source  # type: ignore[assignment]
            rate = clip.sample_rate or self.rate
            if rate == self.rate:
                return ArraySource(array)
            if id(array) not in self._converted:
                import soxr

                self._converted[id(array)] = ArraySource(
                    np.ascontiguousarray(soxr.resample(np.ascontiguousarray(array.T), rate, self.rate, quality="VHQ").T)
                )
            return self._converted[id(array)]
        if clip.path in self._converted:
            return self._converted[clip.path]
        with AudioFile(clip.path) as file:
            exact = file.sample_rate == self.rate and soundfile.info(clip.path).format in EXACT
            if not exact:
                self._converted[clip.path] = self._convert(file)
                return self._converted[clip.path]
            layout = wav_layout(clip.path, file.channels, file.frames)
            if layout is not None:
                return WavSource(clip.path, file.channels, file.frames, layout, self._pool)
        return FileSource(clip.path, self._pool)

    def _convert(self, file: AudioFile) -> RawSource:
        from ..render import resampler

        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="twinrack-", dir=self._folder)
        path = Path(self._temporary.name) / f"{len(self._converted)}.f32"
        resample, frames = resampler(file.sample_rate, round(self.rate), file.channels), 0
        with path.open("wb") as out:
            for block in file.blocks():
                y = resample(block, False)
                frames += y.shape[1]
                np.ascontiguousarray(y.T).tofile(out)
            y = resample(np.zeros((file.channels, 0), np.float32), True)
            frames += y.shape[1]
            np.ascontiguousarray(y.T).tofile(out)
        return RawSource(path, file.channels, frames)

    def __enter__(self) -> Media:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.close()
        if self._temporary is not None:
            self._temporary.cleanup()


_digests: dict[tuple[str, int, int], str] = {}


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes; remembered while its size and time stay."""
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    if key not in _digests:
        with path.open("rb") as file:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]
