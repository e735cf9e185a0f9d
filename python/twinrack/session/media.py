"""Readers of recordings: any stretch, at the session's sample rate, without keeping whole files in memory or open."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from ..audio import Audio
from ..files.audio_file import AudioFile, truncation_note
from ..files.wav import wav_layout
from ..formats.pcm import Layout, PcmSound
from ..formats.sound import Sound, open_sound
from ..system.disk import mark_finished, mark_unfinished

OPEN_FILES = 200


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

    def __init__(self, path: Path, pool: OpenFiles, note: Callable[[str], None] | None = None) -> None:
        with AudioFile(path) as file:
            self.channels, self.frames, self._rate = file.channels, file.frames, file.sample_rate
        self.path, self._pool, self._note = path, pool, note
        self.lock = threading.Lock()
        self.file: Sound | None = None

    def _open(self) -> Sound:
        return open_sound(self.path)

    def read(self, start: int, count: int) -> Audio:
        self._pool.used(self)
        with self.lock:
            try:
                if self.file is None:
                    self.file = self._open()
                x = self.file.read(start, count)
            except OSError as error:
                reason = error.strerror or str(error)
                raise ValueError(f"{self.path} cannot be read at frame {start} ({reason}); is it damaged, or gone?") from None
        end = getattr(self.file, "damage", None)
        if x.shape[1] != count and end is not None:  # silence from there on, as behind the end of any recording
            if self._note is not None:
                self._note(truncation_note(self.path, end, self.frames, self._rate))
            return np.pad(x, ((0, 0), (0, count - x.shape[1])))
        if x.shape[1] != count:
            raise ValueError(f"{self.path} ends at frame {start + x.shape[1]}, although it says that it has {self.frames}")
        return x

    def close(self) -> None:
        with self.lock:
            if self.file is not None:
                self.file.close()
                self.file = None


class WavSource(FileSource):
    """A WAV file of plain samples, which are unpacked without detours."""

    def __init__(self, path: Path, layout: Layout, pool: OpenFiles) -> None:
        super().__init__(path, pool)
        self._layout = layout

    def _open(self) -> Sound:
        return PcmSound(self.path, self._layout, [])


class OpenFiles:
    """Keeps the number of open files below a limit: the one not read for the longest time is closed."""

    def __init__(self) -> None:
        self._used: OrderedDict[int, FileSource] = OrderedDict()
        self._lock = threading.Lock()

    def used(self, source: FileSource) -> None:
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


def _frames_at(frames: int, rate: float, to_rate: float) -> int:
    """How many frames a sound has at another rate."""
    return frames if rate == to_rate else max(round(frames * to_rate / rate), 1)


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
        self._plain: dict[Path, WavSource] = {}
        self._lengths: dict[Path, int] = {}
        self.notes: dict[str, None] = {}  # sentences about recordings, in the order in which they were opened

    def open(self, recording: Path | Audio, rate: float | None = None) -> Source:
        """A recording, to be read at the session's rate.

        Args:
            recording: a file, or an array (channels, frames).
            rate: Hz, of an array; the session's when not given.

        Raises:
            FileNotFoundError, ValueError: as `AudioFile`.
        """
        if isinstance(recording, Path):
            return self._open_file(recording)
        if rate is None or rate == self.rate:
            return ArraySource(recording)
        if id(recording) not in self._converted:
            import soxr

            y = soxr.resample(np.ascontiguousarray(recording.T), rate, self.rate, quality="VHQ").T
            frames = _frames_at(recording.shape[1], rate, self.rate)
            y = np.pad(y, ((0, 0), (0, max(frames - y.shape[1], 0))))[:, :frames]
            self._converted[id(recording)] = ArraySource(np.ascontiguousarray(y))
        return self._converted[id(recording)]

    def _open_file(self, path: Path) -> Source:
        source = self._converted.get(path) or self._plain.get(path)
        if source is not None:
            return source
        with AudioFile(path) as file:
            if not file.exact or file.sample_rate != self.rate:
                self._converted[path] = self._convert(file)
                self._note(file)
                return self._converted[path]
            self._note(file)
            layout = wav_layout(path, file.channels, file.frames)
            if layout is not None:
                self._plain[path] = WavSource(path, layout, self._pool)
                return self._plain[path]
        return FileSource(path, self._pool, self._add_note)

    def _note(self, file: AudioFile) -> None:
        self.notes |= dict.fromkeys(file.notes)

    def _add_note(self, sentence: str) -> None:
        self.notes[sentence] = None

    def length(self, recording: Path | Audio, rate: float | None = None) -> int:
        """How many frames a recording has at the session's rate, without converting it; arguments as in `open`."""
        if not isinstance(recording, Path):
            return _frames_at(recording.shape[1], rate or self.rate, self.rate)
        if recording not in self._lengths:
            with AudioFile(recording) as file:
                self._lengths[recording] = _frames_at(file.frames, file.sample_rate, self.rate)
        return self._lengths[recording]

    def _convert(self, file: AudioFile) -> RawSource:
        from ..render.level import resampler

        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="twinrack-", dir=self._folder)
            mark_unfinished(Path(self._temporary.name))
        path = Path(self._temporary.name) / f"{len(self._converted)}.f32"
        resample = resampler(file.sample_rate, round(self.rate), file.channels)
        with path.open("wb") as out:
            for block in file.blocks():
                y = resample(block, False)
                np.ascontiguousarray(y.T).tofile(out)
            y = resample(np.zeros((file.channels, 0), np.float32), True)
            np.ascontiguousarray(y.T).tofile(out)
            frames = _frames_at(file.frames, file.sample_rate, self.rate)
            out.truncate(4 * file.channels * frames)  # by rounding it may be a frame more or fewer
        return RawSource(path, file.channels, frames)

    def __enter__(self) -> Media:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            mark_finished(Path(self._temporary.name))
