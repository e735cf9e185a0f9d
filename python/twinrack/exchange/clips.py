"""Export of clips to DAWproject: as it can express them, or rendered to a recording that sounds the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from ..audio import Audio
from ..files.audio_file import AudioFile
from ..formats.sound import library_name
from ..session.clip import Clip, ClipReader
from ..session.media import Media
from ..session.session import Session
from .archive import plain_name
from .text import plain

BLOCK = 1 << 16


@dataclass(frozen=True)
class PackedFile:
    """A file to pack: what it is called, where it lies, and what it holds."""

    name: str
    path: Path
    channels: int
    sample_rate: int
    seconds: float


@dataclass(frozen=True)
class ExportedClip:
    """A clip in frames of the session; `region` is 0 where nothing is repeated."""

    recording: PackedFile
    name: str
    start: int
    offset: int
    frames: int
    region: int = 0
    fade_in: int = 0
    fade_out: int = 0
    gain_db: float = 0.0
    mute: bool = False


class ClipExporter:
    """Turns clips into `ExportedClip`, and remembers which recordings they need.

    Args:
        session: whose timeline and width count.
        media: opens recordings.
        temporary: folder for what is rendered.
    """

    def __init__(self, session: Session, media: Media, temporary: Path) -> None:
        self.session, self.media, self.temporary = session, media, temporary
        self.recordings: dict[Any, PackedFile] = {}
        self._names: set[str] = set()

    def export(self, clip: Clip, shift: int = 0, signs: npt.NDArray[np.float32] | None = None) -> ExportedClip:
        """A clip, later by so many frames, times `signs` (channels, 1).

        Raises:
            FileNotFoundError, ValueError: as `ClipReader`.
        """
        reader = ClipReader(clip, self.session.timeline, self.session.width, self.media)
        start = reader.start + shift
        curved = (reader.fade_in and clip.fade_in_curve != "linear") or (reader.fade_out and clip.fade_out_curve != "linear")
        if clip.reverse or reader.picked is not None or curved or signs is not None or start < 0:
            first = max(start, 0)
            frames = max(reader.end + shift - first, 0)
            path = self._render(reader, first - shift, frames, signs)
            return ExportedClip(self._recording(path, path, clip.label), clip.name, first, 0, frames, mute=clip.mute)
        region = reader.region if clip.loop and reader.frames > reader.region else 0
        return ExportedClip(
            self._source(clip), clip.name, start, reader.offset, reader.frames, region,
            reader.fade_in, reader.fade_out, float(clip.gain_db), clip.mute,
        )  # fmt: skip

    def export_sound(self, x: Audio, name: str) -> list[ExportedClip]:
        """A channel's sound from frame 0 on, without the silence around it."""
        loud = np.flatnonzero(np.any(x != 0, axis=0))
        if not loud.size:
            return []
        a, b = int(loud[0]), int(loud[-1]) + 1
        path = self._path()
        soundfile.write(library_name(path), x[:, a:b].T, round(self.session.sample_rate), subtype="FLOAT", format="WAV")
        return [ExportedClip(self._recording(path, path, name), name, a, 0, b - a)]

    def _path(self) -> Path:
        return self.temporary / f"{len(self.recordings)}.wav"

    def _render(self, reader: ClipReader, first: int, frames: int, signs: npt.NDArray[np.float32] | None) -> Path:
        """The sound of a clip from a frame of the timeline on, as a file."""
        path = self._path()
        rate, width = round(self.session.sample_rate), self.session.width
        with soundfile.SoundFile(library_name(path), "w", rate, width, "FLOAT", format="WAV") as file:
            for at in range(0, max(frames, 1), BLOCK):
                x = np.zeros((width, min(BLOCK, max(frames, 1) - at)), np.float32)
                reader.add_to(x, first + at)
                file.write((x if signs is None else x * signs).T)
        return path

    def _source(self, clip: Clip) -> PackedFile:
        if clip.path is not None:
            return self._recording(clip.path, clip.path, clip.path.name)
        array: Any = clip.recording
        key = (id(array), clip.sample_rate)
        if key not in self.recordings:
            path = self._path()
            rate = round(clip.sample_rate or self.session.sample_rate)
            soundfile.write(library_name(path), array.T, rate, subtype="FLOAT", format="WAV")
            self._recording(key, path, clip.name or "clip")
        return self.recordings[key]

    def _recording(self, key: Any, path: Path, name: str) -> PackedFile:
        if key not in self.recordings:
            if path.parent == self.temporary:
                _timeless(path)
            with AudioFile(path) as file:
                channels, rate, frames = file.channels, file.sample_rate, file.frames
            self.recordings[key] = PackedFile(self._free(name, path.suffix), path, channels, rate, frames / rate)
        return self.recordings[key]

    def _free(self, name: str, ending: str) -> str:
        stem = plain_name(plain(name)).removesuffix(ending)
        path, n = f"audio/{stem}{ending}", 1
        while path.lower() in self._names:
            n += 1
            path = f"audio/{stem} {n}{ending}"
        self._names.add(path.lower())
        return path


def _timeless(path: Path) -> None:
    """Take the time of writing out of the PEAK chunk of a WAV of floats, so that the same sound is the same file."""
    with path.open("r+b") as file:
        at = file.read(256).find(b"PEAK")
        if at >= 0:
            file.seek(at + 12)
            file.write(bytes(4))
