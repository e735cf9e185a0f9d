"""Audio files open for reading: all of their sound, whatever length the header states, and notes on missing parts.

Uncompressed samples are read here. Everything else is left to libsndfile, through a corrected header where the file's is wrong.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from ..audio import Audio
from ..system.disk import shown
from . import aiff, apple, flac, mpeg, ogg, riff
from .pcm import PcmSound
from .view import View

EXACT = (
    "WAV",
    "AIFF",
    "FLAC",
    "RF64",
    "W64",
    "WAVEX",
    "AU",
    "CAF",
)  # libsndfile's names of formats whose frames can be reached


STEP = 64  # frames; a divisor of the usual block sizes of FLAC


class Sound(Protocol):
    """An audio file open for reading.

    Attributes:
        exact: any frame can be reached at once.
        notes: sentences about what is missing or had to be guessed.
    """

    sample_rate: int
    channels: int
    frames: int
    exact: bool
    notes: list[str]

    def read(self, start: int, count: int) -> Audio:
        """Frames of it, (channels, at most count) float32.

        Raises:
            ValueError: damaged or gone.
        """
        ...

    def close(self) -> None: ...


class LibrarySound:
    """A file that libsndfile reads.

    Args:
        path: for messages, and to open where there is no view.
        view: makes the file as the library is to see it.
    """

    def __init__(self, path: Path, notes: list[str], view: Callable[[], View] | None = None) -> None:
        self.path, self.notes = path, notes
        self._make_view = view
        self._open()
        self.sample_rate, self.channels = int(self._file.samplerate), int(self._file.channels)
        self.frames = int(self._file.frames)
        self.exact = self._file.format in EXACT
        self.damage: int | None = None  # the first frame that cannot be decoded
        self._lock = threading.Lock()

    def _open(self) -> None:
        self._view = None if self._make_view is None else self._make_view()
        try:
            self._file = soundfile.SoundFile(library_name(self.path) if self._view is None else self._view)
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            if self._view is not None:
                self._view.close()
            reason = str(error).rpartition(": ")[2].rstrip(".")
            raise ValueError(
                f"{shown(self.path)} cannot be read as audio ({reason}); give WAV, FLAC, OGG, AIFF or MP3"
            ) from None
        self._at = 0

    def read(self, start: int, count: int) -> Audio:
        """As in `Sound`; of a damaged FLAC file nothing from the damage on."""
        with self._lock:
            if self.damage is not None:
                count = max(0, min(count, self.damage - start))
            if count == 0:
                return np.zeros((self.channels, 0), np.float32)
            try:
                if self._at != start:
                    self._file.seek(start)
                x = self._file.read(count, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, OSError) as error:
                x = self._before_damage(start, count)
                if x is None or (not len(x) and start == 0):
                    why = getattr(error, "strerror", None) or str(error).rpartition(": ")[2].rstrip(".")
                    raise ValueError(
                        f"{shown(self.path)} cannot be read at frame {start} ({why}); is it damaged, or gone?"
                    ) from None
            self._at = start + len(x)
        return np.ascontiguousarray(x.T)

    def _before_damage(self, start: int, count: int) -> Audio | None:
        """The frames up to the first that a FLAC file's decoder refuses, (frames, channels); None for other formats."""
        if self._file.format != "FLAC":
            return None
        parts = [np.zeros((0, self.channels), np.float32)]
        self._close()
        self._open()  # after an error a decoder is of no use
        try:
            self._file.seek(start)
            while count > 0 and len(part := self._file.read(min(count, STEP), dtype="float32", always_2d=True)):
                parts.append(part)
                count -= len(part)
        except (soundfile.SoundFileError, OSError):
            self._close()
            self._open()
        x = np.concatenate(parts)
        self.damage = start + len(x)
        return x

    def _close(self) -> None:
        self._file.close()
        if self._view is not None:
            self._view.close()

    def close(self) -> None:
        with self._lock:
            self._close()


class ChainSound:
    """An Ogg file of chained streams, as in radio recordings; one is open at a time.

    Args:
        links: where each begins and ends. Those that are not like the first are left out, with a note.
    """

    exact = False

    def __init__(self, path: Path, links: list[tuple[int, int]]) -> None:
        self.path, self.notes = path, []
        self._open, self._sound = 0, _ogg_link(path, *links[0])
        self.sample_rate, self.channels = self._sound.sample_rate, self._sound.channels
        self._lock = threading.Lock()
        self.notes += self._sound.notes
        self._links, self._starts = links[:1], [0, self._sound.frames]
        others: list[str] = []
        for link in links[1:]:
            try:
                sound = _ogg_link(path, *link)
            except ValueError:
                others.append("of no sound that can be read")
                continue
            sound.close()
            if (sound.sample_rate, sound.channels) == (self.sample_rate, self.channels):
                self.notes += sound.notes
                self._links.append(link)
                self._starts.append(self._starts[-1] + sound.frames)
            else:
                seconds = sound.frames / sound.sample_rate
                others.append(f"of {seconds:.2f} s with {sound.channels} channels at {sound.sample_rate} Hz")
        if others:
            self.notes.append(
                f"{shown(path.name)} holds {len(links)} streams after each other, and {len(others)} are left out, as they "
                f"do not go with the first: {others[0]}{', …' if others[1:] else ''}"
            )
        self.frames = self._starts[-1]

    def read(self, start: int, count: int) -> Audio:
        """As in `Sound`."""
        with self._lock:
            parts = [np.zeros((self.channels, 0), np.float32)]
            while count > 0 and start < self.frames:
                number = bisect_right(self._starts, start) - 1
                if number != self._open:
                    self._sound.close()
                    self._open, self._sound = number, _ogg_link(self.path, *self._links[number])
                part = self._sound.read(start - self._starts[number], min(count, self._starts[number + 1] - start))
                if not part.shape[1]:
                    break
                parts.append(part)
                start, count = start + part.shape[1], count - part.shape[1]
        return np.concatenate(parts, axis=1)

    def close(self) -> None:
        with self._lock:
            self._sound.close()


def library_name(path: Path) -> str | bytes:
    """A file's name as soundfile takes it: bytes on systems whose names need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def open_sound(path: Path) -> Sound:
    """Open an audio file.

    Raises:
        ValueError: no audio, or of no certain meaning; one sentence.
        OSError: it cannot be opened.
    """
    for attempt in (_wave, _aiff, _flac, _ogg, _apple, _mpeg):
        sound = attempt(path)
        if sound is not None:
            return sound
    return LibrarySound(path, [])


def _missing(path: Path, there: int, claimed: int, rate: int) -> str:
    return (
        f"{shown(path.name)} was cut short: it holds {there} of {claimed} frames ({there / rate:.2f} of {claimed / rate:.2f} "
        "s); the rest is missing from the file"
    )


def _part(path: Path, there: int, claimed: int) -> str:
    share = 100.0 * there / claimed
    return f"{shown(path.name)} was cut short: it holds {share:.1f} % of the bytes of sound that its header promises"


def _wave(path: Path) -> Sound | None:
    wave = riff.read_wave(path)
    if wave is None:
        return None
    samples = riff.find_samples(path, wave)
    layout, data = samples.layout, samples.data
    if layout is not None:
        claimed = None if samples.claimed is None else samples.claimed // layout.frame_bytes
        if claimed is not None and layout.frames < claimed and layout.sample_rate:
            samples.notes.append(_missing(path, layout.frames, claimed, layout.sample_rate))
        return PcmSound(path, layout, samples.notes)
    if samples.claimed is not None and samples.there < samples.claimed:
        samples.notes.append(_part(path, samples.there, samples.claimed))
    with path.open("rb") as file:
        file.seek(data.at - 4)
        written = int.from_bytes(file.read(4), "little")
    if wave.kind != "RIFF" or written == samples.there or samples.there > 0xFFFF0000:
        return LibrarySound(path, samples.notes)
    end = data.at + samples.there
    changes = {4: (end - 8).to_bytes(4, "little"), data.at - 4: samples.there.to_bytes(4, "little")}
    return LibrarySound(path, samples.notes, lambda: View(path, 0, end, changes=changes))


def _aiff(path: Path) -> Sound | None:
    form = aiff.read_aiff(path)
    if form is None:
        return None
    samples = aiff.find_samples(path, form)
    if samples.layout is None:
        return LibrarySound(path, [])
    notes = []
    if samples.claimed is not None and samples.layout.frames < samples.claimed and samples.layout.sample_rate:
        notes.append(_missing(path, samples.layout.frames, samples.claimed, samples.layout.sample_rate))
    return PcmSound(path, samples.layout, notes)


def _flac(path: Path) -> Sound | None:
    stream = flac.read_stream(path)
    if stream is None or stream.sample_rate == 0:
        return None
    notes: list[str] = []
    real = flac.find_end(path, stream)
    if stream.samples == 0 and real.samples and real.cut:
        notes.append(
            f"{shown(path.name)} was cut short: {real.samples / stream.sample_rate:.2f} s are there, and it ends within a "
            "frame of its coding"
        )
    if real.samples == stream.samples or real.samples == 0:
        return LibrarySound(path, [])
    if real.samples < stream.samples:
        notes.append(_missing(path, real.samples, stream.samples, stream.sample_rate))
    elif stream.samples:
        return LibrarySound(path, [])
    info = flac.with_samples(path, stream, real.samples)
    return LibrarySound(path, notes, lambda: View(path, 0, real.end, changes={stream.info: info}))


def _ogg(path: Path) -> Sound | None:
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return None
    links = ogg.find_links(path)
    if len(links) > 1:
        return ChainSound(path, links)
    return _ogg_link(path, *(links[0] if links else (0, os.path.getsize(path))))


def _ogg_link(path: Path, start: int, end: int) -> LibrarySound:
    """One of the chained streams of an Ogg file."""
    last = ogg.find_end(path, start, end)
    if last is None or last.ends:
        return LibrarySound(path, [], lambda: View(path, start, end))
    page = bytearray(last.page)
    page[5] |= 4
    note = f"{shown(path.name)} was cut short: the end of its stream is missing from the file"
    ended = ogg.sealed(page)
    sound = LibrarySound(path, [], lambda: View(path, start, last.end, changes={last.at: ended}))
    sound.notes.append(f"{note}, and {sound.frames / sound.sample_rate:.2f} s are there")
    return sound


def _apple(path: Path) -> Sound | None:
    data = apple.find_data(path)
    if data is None or data.there == data.claimed:
        return None
    notes = [] if data.claimed is None else [_part(path, data.there, data.claimed)]
    return LibrarySound(path, notes, lambda: View(path, 0, data.end, changes=data.changes))


def _mpeg(path: Path) -> Sound | None:
    with path.open("rb") as file:
        head = file.read(4)
    if path.suffix.lower() not in (".mp3", ".mp2", ".mpga", ".mpeg") and not (head[:3] == b"ID3" or mpeg.read_head(head)):
        return None
    stream = mpeg.read_stream(path)
    if stream is None or stream.frames == 0:
        return None
    gaps = stream.gaps
    if stream.head.layer != 3 or stream.claimed == stream.frames:  # without tags, of whose faults the library talks
        sound = LibrarySound(path, [], lambda: View(path, stream.start, stream.end, changes=stream.silent, gaps=gaps))
    elif stream.info is not None and stream.claimed is not None:
        changes = mpeg.changed_info(path, stream) | stream.silent
        sound = LibrarySound(path, [], lambda: View(path, stream.start, stream.end, changes=changes, gaps=gaps))
    else:
        skipped = 0 if stream.info is None else stream.head.size
        first = stream.start + skipped
        if gaps and gaps[0][0] == first:  # nothing between the info frame and a gap
            first, gaps = gaps[0][1], gaps[1:]
        with path.open("rb") as file:
            file.seek(first)
            info = mpeg.make_info(file.read(4), stream.frames, stream.size - skipped)
        sound = LibrarySound(path, [], lambda: View(path, first, stream.end, info, stream.silent, gaps))
    rate = stream.head.sample_rate
    if stream.damaged:
        seconds = stream.damaged / stream.size * (stream.frames * stream.head.samples / rate)
        sound.notes.append(
            f"{shown(path.name)} is damaged: {stream.damaged} bytes within it, as long as {seconds:.2f} s of its sound, are no "
            f"frames of it and were left out; {sound.frames / rate:.2f} s are there"
        )
        return sound
    cut = f"{shown(path.name)} was cut short: {sound.frames / rate:.2f} s are there"
    if stream.claimed is not None and stream.claimed > stream.frames:
        missing = (stream.claimed - stream.frames) * stream.head.samples / rate
        sound.notes.append(f"{cut}, and {missing:.2f} s are missing from the file")
    elif stream.cut:
        sound.notes.append(f"{cut}, and it ends within a frame of its coding")
    return sound
