"""One file through a rack, in constant memory: latency compensated, tail kept, complete or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..audio import Audio, Layout, channels_of, check_rate, in_layout
from ..files.audio_file import AudioFile, AudioWriter, check_audio, warn_of
from ..measure.files import file_loudness
from ..measure.loudness import Loudness, LoudnessMeter
from ..rack.rack import Rack
from ..rack.renderer import Renderer
from ..system.disk import cannot_write, check_writable, path_of
from .level import Finish, Keep, LastLimiter, Level, LevelResult, added_limiter, is_lossy, last_limiter, reach_level

BLOCK = 65536
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Rendered:
    """The result of rendering one file.

    Attributes:
        source, path: what was read and written.
        seconds: of sound in the result.
        clipped: samples beyond full scale, in files of integers.
        input_faults: samples of the input that were NaN or infinite, and count as silence.
        skipped: an earlier run had written it.
        loudness: of the file as read back, where a level was asked for or the coding is lossy.
        gain_db: the gain for that level, before the last limiter where there is one.
        notes: for the user, such as parts missing from the input, and tags that had no place in the result; a sentence each.
    """

    source: Path
    path: Path
    seconds: float
    clipped: int
    input_faults: int
    skipped: bool = False
    loudness: Loudness | None = None
    gain_db: float = 0.0
    notes: tuple[str, ...] = ()


def render_file(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    rack: Rack,
    *,
    bits: int = 24,
    sample_rate: int | None = None,
    tail: str | float | None = "auto",
    channels: Layout | None = None,
    sidechain: str | os.PathLike[str] | None = None,
    normalize_lufs: float | None = None,
    normalize_peak_db: float | None = None,
    true_peak_db: float | None = None,
    limit: bool = False,
    progress: Progress | None = None,
    quiet: bool = False,
) -> Rendered:
    """Render one file.

    Levels hold in the file as it is read back, after resampling, dither and lossy coding. Where the last
    effect of the rack is a limiter, it runs at the rate of the result, and its ceiling holds there.

    Args:
        source: audio file of up to 16 channels.
        path: where to; the ending chooses WAV, FLAC, OGG, AIFF or MP3. It appears complete or not at all, with the tags,
            pictures and markers of the source.
        rack: rendered from silence at the file's rate; a running stream is not touched.
        bits: 16, 24 (both with dither), or 32 (float in WAV and AIFF).
        sample_rate: of the result, if it is to differ from the file's (resampled by soxr, at its highest quality).
        tail: "auto" keeps what still sounds after the end, a number is that many seconds, None ends with the input.
        channels: "stereo" gives a mono file to both sides, "mono" takes the mean of both sides; None: as many as the file has.
        sidechain: file that the rack's one sidechain input hears; same rate. After its end it is silence.
        normalize_lufs: integrated loudness of the result, -70 to 0 (ITU-R BS.1770-4). The gain comes before the last limiter
            where the rack ends in one; otherwise it is as high as `true_peak_db` allows, and `notes` says what is missing.
        normalize_peak_db: instead, the true peak of the result, -60 to 0 dBTP; the gain comes after the rack.
        true_peak_db: what the true peak of the result stays below, -60 to 0 dBTP.
        limit: add a limiter behind the rack where it does not end in one, with the ceiling `true_peak_db`, or -1 dBTP.
        progress: called with the number of frames read so far.
        quiet: leave it to `notes` of the result to say what is missing from the input, and do not warn of it.

    Raises:
        OSError, ValueError: one sentence that names the file and the fix.
    """
    level = Level.of(normalize_lufs, normalize_peak_db, true_peak_db)
    source, path = path_of(source), path_of(path)
    lossy = is_lossy(path)
    if path.exists() and source.exists() and path.samefile(source):
        raise ValueError(f"{path} is the input itself; give another output")
    with AudioFile(source) as file:
        width = channels_of(channels, file.channels)
        to_rate = file.sample_rate if sample_rate is None else int(check_rate(sample_rate))
        ending = last_limiter(rack)
        if limit and ending is None:
            ending = added_limiter(rack, true_peak_db)
        elif not level.wanted and not lossy and to_rate == file.sample_rate:
            ending = None  # the limiter's own output is what is written
        if level.peak_db is not None and ending is not None:  # its gain comes after the rack
            rack, ending = Rack([*(i.copy() for i in ending.before.effects), ending.limiter], name=rack.name), None
        renderer = Renderer((rack if ending is None else ending.before).running, file.sample_rate, width)
        missing, ended = file.notes, list[str]()
        writers: list[AudioWriter] = []

        def writer() -> AudioWriter:
            out = AudioWriter(
                path,
                to_rate,
                width,
                bits,
                metadata=file.metadata().at_rate(file.sample_rate, to_rate),
                frames=file.frames * to_rate // file.sample_rate,
            )
            writers.append(out)
            return out

        def blocks() -> Iterator[Audio]:
            done = 0
            with _SidechainFile(rack, sidechain, file) as keys:
                for x in file.blocks(BLOCK):
                    yield renderer.block(in_layout(x, channels), keys.next(x.shape[1]))
                    done += x.shape[1]
                    if progress is not None:
                        progress(done)
                yield renderer.flush()
                yield from renderer.tail(tail)
                missing.extend(keys.notes)
                ended.extend(keys.ended)

        limiter = None if ending is None else ending.limiter
        loudness: Loudness | None
        if level.wanted or (lossy and ending is not None):
            check_audio(path, to_rate, width, bits)
            with Spool(path, width) as spool:
                spool.fill(Finish(file.sample_rate, to_rate, width), blocks())
                result = spool.write(level, ending, to_rate, writer)
                frames, clipped, notes = spool.frames, spool.clipped, list(result.notes)
                loudness, gain = result.files[0], result.gain_db
                notes += over_full_scale(path, loudness) if lossy and loudness is not None else []
        else:
            with writer() as out:
                frames = _write(out, Finish(file.sample_rate, to_rate, width, limiter), blocks())
                clipped, gain = out.clipped, 0.0
                loudness = file_loudness(out.written()) if lossy else None
            notes = [] if loudness is None else over_full_scale(path, loudness)
        if not quiet:
            warn_of(missing, stacklevel=2)
        return Rendered(
            source, path, frames / to_rate, clipped, renderer.engine.input_faults,
            loudness=loudness, gain_db=gain, notes=(*missing, *ended, *writers[-1].notes, *notes),
        )  # fmt: skip


def _write(out: AudioWriter, finish: Finish, blocks: Iterator[Audio]) -> int:
    """Write all blocks; returns the number of frames."""
    frames = 0
    for y in finish.all(blocks):
        frames += y.shape[1]
        out.write(y)
    return frames


def over_full_scale(path: Path, loudness: Loudness) -> list[str]:
    """The note on a lossy file that decodes above full scale."""
    if loudness.true_peak_db <= 0.0:
        return []
    return [
        f"{path.name} has a true peak of {loudness.true_peak_db:+.1f} dBTP when it is decoded, which players clip: "
        "--true-peak -1 (in Python true_peak_db=-1) turns it down"
    ]


class AgainError(Exception):
    """The file is to be written with another gain."""


class Spool:
    """Raw float32 frames in an unnamed temporary file, from which the result can be written more than once.

    Args:
        path: of the result.
    """

    def __init__(self, path: Path, channels: int) -> None:
        check_writable(path)
        self.path, self.channels, self.frames, self.clipped = path, channels, 0, 0
        self._file = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed by __exit__

    def fill(self, finish: Finish, blocks: Iterator[Audio]) -> None:
        """Store the finished blocks."""
        try:
            for y in finish.all(blocks):
                self._file.write(np.ascontiguousarray(y.T).tobytes())
                self.frames += y.shape[1]
            self._file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def blocks(self) -> Iterator[Audio]:
        """The stored frames, block by block."""
        self._file.seek(0)
        while data := self._file.read(4 * self.channels * BLOCK):
            yield np.ascontiguousarray(np.frombuffer(data, np.float32).reshape(-1, self.channels).T)

    def write(
        self, level: Level, ending: LastLimiter | None, rate: int, writer: Callable[[], AudioWriter], **settings: Any
    ) -> LevelResult:
        """Write the file with the gain that it needs."""
        limiter = None if ending is None else ending.limiter

        def finish(before_db: float, after_db: float) -> Finish:
            return Finish(rate, rate, self.channels, limiter, before_db, after_db)

        def quick(before_db: float, after_db: float) -> Loudness:
            meter = LoudnessMeter(rate, self.channels)
            for y in finish(before_db, after_db).all(self.blocks()):
                meter.process(y)
            return meter.finish()

        def write(before_db: float, after_db: float, keep: Keep) -> None:
            with suppress(AgainError), writer() as out:
                _write(out, finish(before_db, after_db), self.blocks())
                self.clipped = out.clipped
                if not keep([file_loudness(out.written())], out.clipped):
                    raise AgainError

        return reach_level(level, ending, quick, write, **settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


class _SidechainFile:
    """The sidechain's blocks, in step with those of the input."""

    def __init__(self, rack: Rack, path: str | os.PathLike[str] | None, file: AudioFile) -> None:
        self._file, self._frame = None, 0
        self._ends: int | None = None  # frame after which it is silent
        if path is None and rack.sidechains:
            raise ValueError(f"the rack listens to sidechain {rack.sidechains[0]!r}; give its file (--sidechain)")
        if path is None:
            return
        if len(rack.sidechains) != 1:
            raise ValueError(f"the rack has {len(rack.sidechains)} sidechain inputs, so one file does not fit it")
        self._file = AudioFile(path)
        if self._file.sample_rate != file.sample_rate:
            raise ValueError(f"{path} has {self._file.sample_rate} Hz, {file.path} {file.sample_rate} Hz; make them equal")
        self._blocks = self._file.blocks(BLOCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.__exit__(kind, error, trace)

    def next(self, frames: int) -> list[Audio]:
        if self._file is None:
            return []
        x = next(self._blocks, np.zeros((self._file.channels, 0), np.float32))[:, :frames]
        if x.shape[1] < frames and self._ends is None:
            self._ends = self._frame + x.shape[1]
        self._frame += frames
        return [np.ascontiguousarray(np.pad(x, ((0, 0), (0, frames - x.shape[1]))))]

    @property
    def notes(self) -> list[str]:
        return [] if self._file is None else self._file.notes

    @property
    def ended(self) -> list[str]:
        """The note that the sidechain was shorter than the sound, by more than rounding."""
        if self._file is None or self._ends is None or self._frame - self._ends < 0.1 * self._file.sample_rate:
            return []
        seconds = self._ends / self._file.sample_rate
        return [f"{self._file.path.name} ends after {seconds:.2f} s; the sidechain is silent from there on"]
