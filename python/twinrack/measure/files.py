"""The loudness and peaks of audio files, in constant memory, and whether they are within limits."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checks import brief
from ..files.audio_file import AudioFile
from ..system.cores import cores
from .loudness import Loudness, LoudnessMeter, fault_sentence

SHOWN = 0.005  # half a step of the figures that are shown: what looks equal is within a limit


@dataclass(frozen=True)
class Measured:
    """Measurements of one file.

    Attributes:
        seconds, sample_rate, channels: of its sound, in s and Hz.
        loudness: integrated, short-term, momentary, range, peaks (ITU-R BS.1770-4, EBU R 128).
        notes: on a file that is cut short or damaged.
    """

    path: Path
    seconds: float
    sample_rate: int
    channels: int
    loudness: Loudness
    notes: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """As JSON holds it; None for the -inf of silence and for what the file is too short for."""
        loudness = self.loudness
        numbers = {
            "integrated_lufs": loudness.integrated, "max_short_term_lufs": loudness.loudest_short_term,
            "max_momentary_lufs": loudness.loudest_momentary, "range_lu": loudness.range,
            "true_peak_dbtp": loudness.true_peak_db, "sample_peak_dbfs": loudness.peak_db,
        }  # fmt: skip
        return {
            "path": str(self.path), "seconds": self.seconds, "sample_rate": self.sample_rate, "channels": self.channels,
            **{name: round(v, 3) if math.isfinite(v) else None for name, v in numbers.items()},
            "invalid_samples": loudness.faults, "notes": list(self.notes),
        }  # fmt: skip

    def line(self) -> str:
        """Its line of the table below HEADING."""
        loudness = self.loudness
        levels = (loudness.integrated, loudness.loudest_short_term, loudness.loudest_momentary, loudness.range)
        peaks = (loudness.true_peak_db, loudness.peak_db)
        shape = f"{self.seconds:>9.2f}s {self.sample_rate:>7} {self.channels:>3}"
        note = f"  ({fault_sentence(loudness.faults)})" if loudness.faults else ""
        return "".join(f"{v:>8.1f}" for v in levels) + "".join(f"{v:>8.2f}" for v in peaks) + f"{shape}  {self.path}{note}"


HEADING = f"{'LUFS-I':>8}{'max S':>8}{'max M':>8}{'LRA':>8}{'dBTP':>8}{'dBFS':>8}{'length':>10} {'Hz':>7} {'ch':>3}  file"


def measure_file(path: str | os.PathLike[str]) -> Measured:
    """Measure one file.

    Args:
        path: WAV, FLAC, OGG, AIFF or MP3 of 1 to 16 channels.

    Raises:
        FileNotFoundError, ValueError: not there, or cannot be read as audio; one sentence with the path.
    """
    with AudioFile(path) as file:
        meter, frames = LoudnessMeter(file.sample_rate, file.channels), 0
        for x in file.blocks():
            meter.process(x)
            frames += x.shape[1]
        seconds = frames / file.sample_rate
        return Measured(file.path, seconds, file.sample_rate, file.channels, meter.finish(), tuple(file.notes))


def file_loudness(path: Path) -> Loudness:
    """The loudness of an audio file."""
    return measure_file(path).loudness


def measure_files(paths: Sequence[Path], workers: int | None = None) -> Iterator[Measured | tuple[Path, str]]:
    """Measure many files, several at once, in their order; of one that cannot be measured its path and why, in one sentence."""

    def one(path: Path) -> Measured | tuple[Path, str]:
        try:
            return measure_file(path)
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            return path, str(error) or f"{path}: {type(error).__name__}"

    with ThreadPoolExecutor(workers or cores()) as pool:
        try:
            yield from pool.map(one, paths)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True)
class Limits:
    """Limits of loudness and peaks; None for no limit.

    Attributes:
        integrated: LUFS and how far it may be from that, in LU.
        max_short_term, max_momentary: LUFS.
        max_range: LU.
        max_true_peak, max_sample_peak: dBTP and dBFS.
    """

    integrated: tuple[float, float] | None = None
    max_short_term: float | None = None
    max_momentary: float | None = None
    max_range: float | None = None
    max_true_peak: float | None = None
    max_sample_peak: float | None = None

    @property
    def given(self) -> bool:
        return self != Limits()

    def outside(self, measured: Loudness) -> list[str]:
        """A sentence for each limit that is exceeded."""
        sentences = []
        if self.integrated is not None and not abs(measured.integrated - self.integrated[0]) <= self.integrated[1] + SHOWN:
            sentences.append(f"integrated {measured.integrated:.2f} LUFS, not {self.integrated[0]:g} ± {self.integrated[1]:g}")
        for name, value, most, unit in (
            ("max short-term", measured.loudest_short_term, self.max_short_term, "LUFS"),
            ("max momentary", measured.loudest_momentary, self.max_momentary, "LUFS"),
            ("LRA", measured.range, self.max_range, "LU"),
            ("true peak", measured.true_peak_db, self.max_true_peak, "dBTP"),
            ("sample peak", measured.peak_db, self.max_sample_peak, "dBFS"),
        ):
            if most is not None and value > most + SHOWN:
                sentences.append(f"{name} {value:.2f} {unit}, above {most:g}")
        return sentences


def parse_tolerance(text: str) -> tuple[float, float]:
    """A loudness and how far from it: "-16+-1", "-16±0.5", "-16 LUFS +/- 1 LU"; 0.1 LU where it is not said.

    Raises:
        ValueError: another text.
    """
    number = r"(\d+(?:\.\d*)?|\.\d+)"
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    match = re.fullmatch(
        rf"([-+]?{number})\s*(?:LUFS|LKFS)?\s*(?:(?:\+-|\+/-|±)\s*{number}\s*(?:LU|dB)?)?", plain, re.IGNORECASE
    )
    if match is None:
        raise ValueError(f"--integrated must be a loudness with a tolerance, such as -16+-1, got {brief(text)}")
    return float(match[1]), 0.1 if match[3] is None else float(match[3])
