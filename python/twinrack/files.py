"""Files: audio in and out by soundfile, and writing that is complete or leaves nothing."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import soundfile

from . import _engine
from .audio import MAX_RATE, MIN_RATE, Audio
from .disk import atomic as atomic
from .disk import cannot_write as cannot_write
from .disk import check_writable as check_writable
from .disk import path_of, shown
from .disk import sweep as sweep
from .interrupt import check
from .words import brief, is_integer

FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".aiff": "AIFF", ".aif": "AIFF", ".mp3": "MP3"}
LOSSY = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
FLOAT_FORMATS = ("WAV", "AIFF")

# Text that audio files carry about themselves, by soundfile's names.
TAGS = ("title", "artist", "album", "date", "genre", "comment", "copyright", "tracknumber", "software", "license")
LARGEST_WAV = 0xFFF00000  # bytes; longer ones are written as RF64 (EBU Tech 3306)


class AudioFile:
    """An audio file open for reading in blocks of (channels, frames) float32.

    Raises:
        FileNotFoundError, ValueError: not there, not audio, empty, more channels or another rate than the engine takes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path_of(path)
        if not self.path.exists():
            raise FileNotFoundError(f"there is no file {shown(self.path)}")
        if self.path.is_dir():
            raise ValueError(f"{self.path} is a folder; give an audio file")
        try:
            self._file = soundfile.SoundFile(self.path)
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            reason = str(error).rpartition(": ")[2].rstrip(".")
            raise ValueError(f"{self.path} cannot be read as audio ({reason}); give WAV, FLAC, OGG, AIFF or MP3") from None
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.frames = int(self._file.frames)
        try:
            if self.frames == 0:
                raise ValueError(f"{self.path} is empty: it holds no audio frames")
            if not 1 <= self.channels <= _engine.MAX_CHANNELS:
                raise ValueError(f"{self.path} has {self.channels} channels; 1 to {_engine.MAX_CHANNELS} are possible")
            if not MIN_RATE <= self.sample_rate <= MAX_RATE:
                raise ValueError(f"{self.path} has {self.sample_rate} Hz; {MIN_RATE} to {MAX_RATE} are possible")
        except ValueError:
            self._file.close()
            raise

    def blocks(self, size: int = 65536) -> Iterator[Audio]:
        """The rest of the file, block by block."""
        while True:
            try:
                part = self._file.read(size, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise ValueError(f"{self.path} is damaged at frame {self._file.tell()}: {error}") from None
            if not len(part):
                return
            yield np.ascontiguousarray(part.T)

    def read(self) -> Audio:
        """All of it, (channels, frames)."""
        parts = list(self.blocks(1 << 20))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def tags(self) -> dict[str, str]:
        """What the file says of itself: title, artist, … (see TAGS)."""
        return {name: text for name in TAGS if (text := getattr(self._file, name, ""))}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def read_audio(path: str | os.PathLike[str]) -> tuple[Audio, int]:
    """A whole file: (channels, frames) float32 and its sample rate. Raises as `AudioFile`."""
    with AudioFile(path) as file:
        return file.read(), file.sample_rate


def format_of(path: Path) -> str:
    """soundfile's name of the format that a file name asks for.

    Raises:
        ValueError: an ending that is none of FORMATS.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise ValueError(f"{brief(path.name)[1:-1]} has no audio ending that can be written; use one of {', '.join(FORMATS)}")
    return found


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags that are no text, or have no place in files.

    Raises:
        ValueError: names the tag.
    """
    for name, text in tags.items():
        if name not in TAGS:
            raise ValueError(f"metadata {brief(name)} has no place in audio files; there are {', '.join(TAGS)}")
        if not isinstance(text, str):
            raise ValueError(f"metadata {name} = {brief(text)} is no text; put it in quotes")


def _layout_of(path: Path, bits: int, channels: int, frames: int) -> tuple[str, str, int]:
    """soundfile's format and subtype, and the bits of whole numbers (0 where there are none).

    Raises:
        ValueError: another number of bits, or an ending that is none of FORMATS.
    """
    kind = format_of(path)
    if not is_integer(bits) or bits not in (16, 24, 32):
        raise ValueError(f"{brief(bits)} bits cannot be written; use 16, 24 or 32")
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
            f"{kind} cannot hold {channels} channels at {sample_rate} Hz; use another format for {path.name}"
        ) from None


class AudioWriter:
    """Writes blocks to an audio file, which appears complete when closed well and not at all otherwise.

    Args:
        path: the ending chooses the format.
        sample_rate: Hz; channels: 1 to 16.
        bits: 16, 24, or 32 (float where the format has it). Integers get triangular dither of one step, from `seed`.
        tags: text to write into it, by the names in TAGS, as far as the format has them.
        frames: about how many will come, so that a long WAV becomes an RF64.
        broadcast: content of a `bext` chunk (EBU Tech 3285), for WAV.

    `clipped` counts samples that were beyond full scale in an integer format.
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
        frames: int = 0,
        broadcast: bytes | None = None,
    ) -> None:
        self.path = path
        kind, subtype, self._bits = _layout_of(path, bits, channels, frames)
        self._broadcast = broadcast if kind == "WAV" else None
        self._random = np.random.default_rng(seed)
        self.clipped = 0
        self._atomic = atomic(path)
        self._beside = self._atomic.__enter__()
        try:
            self._file = soundfile.SoundFile(self._beside, "w", sample_rate, channels, subtype, format=kind)
        except (soundfile.SoundFileError, ValueError) as error:
            failure = ValueError(f"{kind} cannot hold {channels} channels at {sample_rate} Hz ({error}); use another format")
            self._leave(failure)
            raise failure from None
        for name, text in (tags or {}).items():
            if name in TAGS:
                with suppress(soundfile.SoundFileError, RuntimeError):  # a format without this tag
                    setattr(self._file, name, text)

    def write(self, x: Audio) -> None:
        """The next block, (channels, frames)."""
        check()
        y = x.T if self._bits == 0 else self._quantised(x)
        try:
            self._file.write(y)
        except (soundfile.SoundFileError, AssertionError, OSError):
            raise self._failed() from None

    def _quantised(self, x: Audio) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Whole steps with triangular dither, in the upper bits of int32, which the library writes as they are."""
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
        if error is None and self._broadcast is not None:
            _append_chunk(self._beside, b"bext", self._broadcast)
        if error is None and self._beside.stat().st_size == 0:
            error = self._failed()
            self._leave(error)
            raise error
        self._leave(error)


def _chunks(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a RIFF file: name, place of the content, size."""
    with path.open("rb") as file:
        if file.read(4) not in (b"RIFF", b"RF64") or len(file.read(4)) < 4 or file.read(4) != b"WAVE":
            return
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            yield head[:4], file.tell(), size
            file.seek(size + size % 2, os.SEEK_CUR)


@dataclass(frozen=True)
class Layout:
    """Where the frames of a WAV file lie: the first byte, and how many bytes a number has (0: a 32-bit float)."""

    start: int
    bytes: int


def wav_layout(path: Path, channels: int, frames: int) -> Layout | None:
    """How a WAV file holds its frames, where that is plain; None for other files."""
    kind, bits, there = 0, 0, 0
    with path.open("rb") as file:
        for name, at, size in _chunks(path):
            file.seek(at)
            if name == b"fmt " and size >= 16:
                head = file.read(min(size, 40))
                kind, there = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
                bits = int.from_bytes(head[14:16], "little")
                if kind == 0xFFFE and len(head) >= 26:
                    kind = int.from_bytes(head[24:26], "little")
            if name == b"data":
                plain = (kind == 1 and bits in (16, 24, 32)) or (kind == 3 and bits == 32)
                whole = at + frames * channels * bits // 8 <= path.stat().st_size
                return Layout(at, 0 if kind == 3 else bits // 8) if plain and there == channels and whole else None
    return None


def broadcast_chunk(path: Path) -> bytes | None:
    """The content of a WAV file's `bext` chunk (EBU Tech 3285), or None."""
    for name, at, size in _chunks(path):
        if name == b"bext" and 602 <= size < 1 << 20:
            with path.open("rb") as file:
                file.seek(at)
                return file.read(size)
    return None


def make_broadcast(description: str, originator: str, date: str, time: str, first_frame: int) -> bytes:
    """A `bext` chunk, version 1.

    Args:
        date, time: yyyy-mm-dd, hh:mm:ss.
        first_frame: of the file on the timeline, counted from midnight.
    """
    fields = ((description, 256), (originator, 32), ("", 32), (date, 10), (time, 8))
    text = b"".join(t.encode("ascii", "replace")[:size].ljust(size, b"\0") for t, size in fields)
    return text + first_frame.to_bytes(8, "little") + (1).to_bytes(2, "little") + bytes(64 + 190)


def at_rate(broadcast: bytes, from_rate: int, to_rate: int) -> bytes:
    """A `bext` chunk whose place on the timeline, which is counted in frames, holds at another rate."""
    first = int.from_bytes(broadcast[338:346], "little") * to_rate // from_rate
    return broadcast[:338] + first.to_bytes(8, "little") + broadcast[346:]


def _append_chunk(path: Path, name: bytes, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() % 2:
            file.write(b"\0")
        file.write(name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2))
        size = file.tell()
        file.seek(4)
        file.write((size - 8).to_bytes(4, "little"))


def hash_audio(x: np.ndarray[Any, Any]) -> str:
    """SHA-256 of audio as (channels, frames) float32 samples: the same for a file and the array read from it."""
    return hashlib.sha256(np.ascontiguousarray(x, dtype="<f4").tobytes()).hexdigest()


_digests: dict[tuple[str, int, int], str] = {}


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes; remembered while its size and time stay.

    Raises:
        FileNotFoundError: it is not there.
    """
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    if key not in _digests:
        with path.open("rb") as file:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]
