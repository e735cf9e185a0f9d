"""Files through a rack, in constant memory: latency compensated, tail kept, complete or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from .audio import Audio, check_rate
from .disk import path_of
from .files import AudioFile, AudioWriter, at_rate, broadcast_chunk, format_of
from .rack import Rack
from .renderer import Renderer

BLOCK = 65536
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Rendered:
    """What came of one file: where, how long, how many samples were beyond full scale; `skipped` where it was there."""

    source: Path
    path: Path
    seconds: float
    clipped: int
    input_faults: int
    skipped: bool = False


def render_file(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    rack: Rack,
    *,
    bits: int = 24,
    sample_rate: int | None = None,
    tail: str | float | None = "auto",
    sidechain: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Rendered:
    """Render one file.

    Args:
        source: audio file of up to 16 channels.
        path: where to; the ending chooses WAV, FLAC, OGG, AIFF or MP3. It appears complete or not at all, with the tags and
            the broadcast chunk of the source.
        rack: rendered from silence at the file's rate; a running stream is not touched.
        bits: 16, 24 (both with dither), or 32 (float in WAV and AIFF).
        sample_rate: of the result, if it is to differ from the file's (resampled by soxr, at its highest quality).
        tail: "auto" keeps what still sounds after the end, a number is that many seconds, None ends with the input.
        sidechain: file that the rack's one sidechain input hears; same rate, at least as long.
        progress: called with the number of frames read so far.

    Raises:
        OSError, ValueError: one sentence that names the file and the fix.
    """
    source, path = path_of(source), path_of(path)
    format_of(path)
    if path.exists() and source.exists() and path.samefile(source):
        raise ValueError(f"{path} is the input itself; give another output")
    with AudioFile(source) as file:
        renderer = Renderer(rack, file.sample_rate, file.channels)
        to_rate = file.sample_rate if sample_rate is None else int(check_rate(sample_rate))
        frames = 0
        broadcast = broadcast_chunk(source)
        with (
            _Key(rack, sidechain, file) as keys,
            AudioWriter(
                path,
                to_rate,
                file.channels,
                bits,
                tags=file.tags(),
                frames=file.frames * to_rate // file.sample_rate,
                broadcast=None if broadcast is None else at_rate(broadcast, file.sample_rate, to_rate),
            ) as out,
        ):
            resample = resampler(file.sample_rate, to_rate, file.channels)
            done = 0

            def write(y: Audio, last: bool = False) -> None:
                nonlocal frames
                y = resample(y, last)
                frames += y.shape[1]
                if y.shape[1]:
                    out.write(y)

            for x in file.blocks(BLOCK):
                write(renderer.block(x, keys.next(x.shape[1])))
                done += x.shape[1]
                if progress is not None:
                    progress(done)
            write(renderer.flush())
            for y in renderer.tail(tail):
                write(y)
            write(np.zeros((file.channels, 0), np.float32), last=True)
        return Rendered(source, path, frames / to_rate, out.clipped, renderer.engine.input_faults)


class _Key:
    """The blocks of the sidechain file, beside those of the input."""

    def __init__(self, rack: Rack, path: str | os.PathLike[str] | None, file: AudioFile) -> None:
        self._file = None
        if path is None and rack.sidechains:
            raise ValueError(f"the rack listens to sidechain {rack.sidechains[0]!r}; give its file (--sidechain)")
        if path is None:
            return
        if len(rack.sidechains) != 1:
            raise ValueError(f"the rack has {len(rack.sidechains)} sidechain inputs, so one file does not fit it")
        self._file = AudioFile(path)
        if self._file.sample_rate != file.sample_rate:
            raise ValueError(f"{path} has {self._file.sample_rate} Hz, {file.path} {file.sample_rate} Hz; make them equal")
        if self._file.frames < file.frames:
            raise ValueError(f"{path} is shorter than {file.path}; make it as long")
        self._blocks = self._file.blocks(BLOCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.__exit__(kind, error, trace)

    def next(self, frames: int) -> list[Audio]:
        if self._file is None:
            return []
        return [np.ascontiguousarray(next(self._blocks)[:, :frames])]


def resampler(from_rate: int, to_rate: int, channels: int) -> Callable[[Audio, bool], Audio]:
    if from_rate == to_rate:
        return lambda y, last: y
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality="VHQ")

    def resample(y: Audio, last: bool) -> Audio:
        z: Audio = np.ascontiguousarray(stream.resample_chunk(np.ascontiguousarray(y.T), last=last).T)
        return z

    return resample
