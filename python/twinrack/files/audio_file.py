"""Audio files, read and written in blocks through soundfile; a written file appears complete or not at all."""

from __future__ import annotations

import errno
import io
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import soundfile

from .. import _engine
from ..audio import MAX_RATE, MIN_RATE, Audio
from ..checks import brief, check_text, is_integer
from ..formats.metadata import read_metadata, write_metadata
from ..formats.sound import library_name, open_sound
from ..formats.tags import NAMES, Metadata
from ..system.disk import atomic, cannot_write, path_of, shown
from ..system.interrupt import check

FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".aiff": "AIFF", ".aif": "AIFF", ".mp3": "MP3"}
LOSSY = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
FLOAT_FORMATS = ("WAV", "AIFF")

LARGEST_WAV = 0xFFF00000  # bytes; longer ones are written as RF64 (EBU Tech 3306)


def truncation_note(path: Path, decoded: int, frames: int, rate: float) -> str:
    """The note on a file of which only `decoded` of its frames can be decoded."""
    return f"{shown(path.name)} ends after {decoded / rate:.2f} of {frames / rate:.2f} s; what follows is damaged or missing"


class AudioFile:
    """An audio file open for reading in blocks of (channels, frames) float32.

    Raises:
        FileNotFoundError, ValueError: not there, not audio, empty, more channels or another rate than the engine takes.

    `notes` names what is missing from the file or had to be guessed, a sentence each.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path_of(path)
        if not self.path.exists():
            raise FileNotFoundError(f"there is no file {shown(self.path)}")
        if self.path.is_dir():
            raise ValueError(f"{shown(self.path)} is a folder; give an audio file")
        if not self.path.is_file():
            raise ValueError(
                f"{shown(self.path)} is a pipe or a device; `twinrack render` reads those, everything else needs a file"
            )
        self._sound = open_sound(self.path)
        self.sample_rate, self.channels = self._sound.sample_rate, self._sound.channels
        self.frames, self.exact, self.notes = self._sound.frames, self._sound.exact, self._sound.notes
        try:
            if not 1 <= self.channels <= _engine.MAX_CHANNELS:
                raise ValueError(f"{shown(self.path)} has {self.channels} channels; 1 to {_engine.MAX_CHANNELS} are possible")
            if not MIN_RATE <= self.sample_rate <= MAX_RATE:
                raise ValueError(f"{shown(self.path)} has {self.sample_rate} Hz; {MIN_RATE} to {MAX_RATE} are possible")
            if self.frames <= 0:
                raise ValueError(f"{shown(self.path)} is empty: it holds no audio frames")
        except ValueError:
            self._sound.close()
            raise
        self._at = 0

    def blocks(self, size: int = 65536) -> Iterator[Audio]:
        """The rest of the file, block by block."""
        while self._at < self.frames:
            part = self._sound.read(self._at, size)
            if not part.shape[1]:
                self.notes.append(truncation_note(self.path, self._at, self.frames, self.sample_rate))
                self.frames = self._at
                return
            self._at += part.shape[1]
            yield part

    def read(self) -> Audio:
        """All of it, (channels, frames)."""
        parts = list(self.blocks(1 << 20))
        if not parts:
            return np.zeros((self.channels, 0), np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def metadata(self) -> Metadata:
        """Comments, pictures, markers and chunks of the file."""
        try:
            return read_metadata(self.path, self.sample_rate)
        except (RecursionError, MemoryError, ValueError, OverflowError):  # whatever is wrong there, the sound is not
            self.notes.append(f"{shown(self.path.name)}: its tags cannot be read")
            return Metadata()

    def tags(self) -> dict[str, str]:
        """Title, artist and the like, by the names in NAMES."""
        return self.metadata().simple()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._sound.close()


def read_audio(path: str | os.PathLike[str]) -> tuple[Audio, int]:
    """A whole file: (channels, frames) float32 and its sample rate. Warns of missing parts; raises as `AudioFile`."""
    with AudioFile(path) as file:
        x = file.read()
        warn_of(file.notes, stacklevel=2)
        return x, file.sample_rate


def warn_of(notes: Iterable[str], stacklevel: int) -> None:
    """Warn the caller of each note on a file."""
    for sentence in notes:
        warnings.warn(sentence, RuntimeWarning, stacklevel=stacklevel + 1)


def format_of(path: Path) -> str:
    """soundfile's name of the format that a file name asks for.

    Raises:
        ValueError: an ending that is none of FORMATS.
    """
    name = FORMATS.get(path.suffix.lower())
    if name is None:
        raise ValueError(f"{brief(path.name)[1:-1]} has no audio ending that can be written; use one of {', '.join(FORMATS)}")
    return name


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags that are not text, or have no place in files.

    Raises:
        ValueError: names the tag.
    """
    for name, text in tags.items():
        if name not in NAMES:
            raise ValueError(f"metadata {brief(name)} has no place in audio files; there are {', '.join(NAMES)}")
        check_text(text, f"metadata {name}")


def _layout_of(path: Path, bits: int, channels: int, frames: int) -> tuple[str, str, int]:
    """soundfile's format and subtype, and the bits of integer samples (0 for others).

    Raises:
        ValueError: another number of bits, or an ending that is none of FORMATS.
    """
    kind = format_of(path)
    if not is_integer(bits) or bits not in (16, 24, 32):
        raise ValueError(f"{brief(bits)} bits cannot be written; use 16, 24 or 32")
    bits = int(bits)  # of NumPy's, soundfile would make another name
    if kind in LOSSY:
        return kind, LOSSY[kind], 0
    whole = 0 if bits == 32 and kind in FLOAT_FORMATS else min(bits, 24)
    if kind == "WAV" and frames * channels * (bits // 8) > LARGEST_WAV:
        kind = "RF64"
    return kind, f"PCM_{whole}" if whole else "FLOAT", whole


def check_audio(path: Path, sample_rate: int, channels: int, bits: int) -> None:
    """Refuse what could not be written, before the work whose result it is to hold.

    Raises:
        ValueError: the format does not have these channels, this rate or so many bits.
    """
    kind, subtype, _ = _layout_of(path, bits, channels, 0)
    try:
        soundfile.SoundFile(io.BytesIO(), "w", sample_rate, channels, subtype, format=kind).close()
    except (soundfile.SoundFileError, ValueError, TypeError):
        raise ValueError(
            f"{kind} cannot hold {channels} channels at {sample_rate} Hz; use another format for {shown(path.name)}"
        ) from None


class AudioWriter:
    """Writes blocks to an audio file, which appears complete when closed well and not at all otherwise.

    Args:
        path: the ending chooses the format.
        sample_rate: Hz; channels: 1 to 16.
        bits: 16, 24, or 32 (float where the format has it). Integers get triangular dither of one step, from `seed`.
        tags: text to write into it, by the names in NAMES.
        metadata: comments, pictures and markers, instead of `tags`, with frames at `sample_rate`.
        frames: about how many will come, so that a long WAV becomes an RF64.
        broadcast: content of a `bext` chunk (EBU Tech 3285), for WAV.

    `clipped` counts samples that were beyond full scale in an integer format; `notes` says, once it is closed, which metadata
    had no place in the format.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        channels: int,
        bits: int = 24,
        seed: int = 0,
        *,
        tags: Mapping[str, str] | None = None,
        metadata: Metadata | None = None,
        frames: int = 0,
        broadcast: bytes | None = None,
    ) -> None:
        self.path = path
        kind, subtype, self._bits = _layout_of(path, bits, channels, frames)
        self._kind, self._rate = kind, sample_rate
        self._metadata = metadata or Metadata.of(tags or {})
        if broadcast is not None and kind in ("WAV", "RF64"):
            self._metadata = replace(self._metadata, chunks={**self._metadata.chunks, b"bext": broadcast})
        self.notes: list[str] = []
        self._random = np.random.default_rng(seed)
        self.clipped = 0
        self._atomic = atomic(path)
        self._beside = self._atomic.__enter__()
        try:
            self._file = soundfile.SoundFile(library_name(self._beside), "w", sample_rate, channels, subtype, format=kind)
        except (soundfile.SoundFileError, ValueError) as error:
            failure = ValueError(f"{kind} cannot hold {channels} channels at {sample_rate} Hz ({error}); use another format")
            self._leave(failure)
            raise failure from None

    def write(self, x: Audio) -> None:
        """The next block, (channels, frames)."""
        check()
        y = x.T if self._bits == 0 else self._quantised(x)
        try:
            self._file.write(y)
        except (soundfile.SoundFileError, AssertionError, OSError):
            raise self._failed() from None

    def written(self) -> Path:
        """End the sound, so that it can be read back before the file gets its name, and return where it is until then."""
        try:
            self._file.close()
        except (soundfile.SoundFileError, OSError):
            raise self._failed() from None
        return self._beside

    def _quantised(self, x: Audio) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Integers with triangular dither, in the upper bits of int32, which the library writes as they are."""
        full = 2.0 ** (self._bits - 1)
        y = x.T.astype(np.float64) * full
        self.clipped += int(np.count_nonzero((y > full - 1) | (y < -full)))
        y = np.rint(y + self._random.random(y.shape) - self._random.random(y.shape))
        steps: np.ndarray[Any, np.dtype[np.int32]] = np.clip(y, -full, full - 1).astype(np.int32) << (32 - self._bits)
        return steps

    def _failed(self) -> OSError:
        free = shutil.disk_usage(self.path.parent).free
        number = errno.ENOSPC if free < 1 << 20 else errno.EFBIG
        return cannot_write(self.path, OSError(number, os.strerror(number)))

    def _leave(self, error: BaseException | None) -> None:
        if error is None:
            self._atomic.__exit__(None, None, None)
            return
        try:
            self._atomic.__exit__(type(error), error, error.__traceback__)
        except BaseException as raised:
            if raised is not error:
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._file.close()
        except (soundfile.SoundFileError, OSError):
            error = error or self._failed()
            self._leave(error)
            raise error from None
        if error is None:
            try:
                self.notes += write_metadata(self._beside, self.path.name, self._kind, self._metadata, self._rate)
            except ValueError as failure:
                self.notes.append(f"{shown(self.path.name)}: all tags left out ({failure})")
            except OSError as failure:
                self._leave(failure)
                raise
        if error is None and self._beside.stat().st_size == 0:
            error = self._failed()
            self._leave(error)
            raise error
        self._leave(error)
