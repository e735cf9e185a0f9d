"""Pairs of dry and wet recordings: read, checked, aligned, and split into what is trained on and what is held out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..audio import Audio, as_planar, check_rate
from ..disk import path_of
from ..files import FORMATS, hash_audio, read_audio

Source = npt.ArrayLike | str | os.PathLike[str]
LONGEST_LATENCY_S = 0.25
SILENCE = 1e-5  # -100 dBFS: a recording that never gets louder is taken as silent
HELD_OUT_EVERY = 5
LENGTHS_MAY_DIFFER_S = 0.5


@dataclass(frozen=True)
class Pair:
    """One dry and one wet recording of the same length, (channels, frames), aligned."""

    name: str
    dry: Audio
    wet: Audio
    latency_frames: int
    dry_hash: str
    wet_hash: str

    @property
    def frames(self) -> int:
        return int(self.dry.shape[1])


def load_pairs(
    dry: Source | Sequence[Source], wet: Source | Sequence[Source], sample_rate: float | None, align: bool | int
) -> tuple[list[Pair], float]:
    """Read pairs from arrays, files, lists of either, or two folders whose files have the same names.

    Args:
        dry, wet: (channels, frames) arrays or (frames,), file paths, folders, or lists; both the same kind.
        sample_rate: Hz; needed for arrays, taken from files.
        align: True finds the latency of wet and removes it, False leaves it, a number is the latency in frames.

    Returns:
        The pairs and their common rate.

    Raises:
        FileNotFoundError, ValueError: one sentence that says what does not fit and what would.
    """
    if isinstance(align, float):
        raise ValueError(f"align = {align:g} is neither True, False nor a whole number of frames")
    if isinstance(dry, str | os.PathLike) and path_of(dry).is_dir():
        if not isinstance(wet, str | os.PathLike):
            raise ValueError(f"{dry} is a folder; give the folder of the wet files too")
        sources = _match_folders(path_of(dry), path_of(wet))
    elif isinstance(dry, list | tuple) and not np.isscalar(dry[0] if len(dry) else 0):
        if not isinstance(wet, list | tuple) or len(dry) != len(wet):
            raise ValueError(f"dry is a list of {len(dry)}; give wet as a list of as many, in the same order")
        sources = list(zip(dry, wet, strict=True))
    else:
        sources = [(dry, wet)]  # type: ignore[list-item]
    pairs, rates = [], []
    for number, (a, b) in enumerate(sources):
        pair, rate = _load(a, b, sample_rate, align, f"pair {number + 1}" if len(sources) > 1 else "the recording")
        pairs.append(pair)
        rates.append(rate)
    if not pairs:
        raise ValueError("there is no pair to train on")
    if len(set(rates)) > 1:
        raise ValueError(
            f"the pairs have different rates ({', '.join(f'{r:g}' for r in sorted(set(rates)))} Hz); resample them to one"
        )
    if len({p.dry.shape[0] for p in pairs}) > 1:
        raise ValueError("the pairs have different numbers of channels; fit mono and stereo pairs apart")
    return pairs, rates[0]


def _match_folders(dry: Path, wet: Path) -> list[tuple[Source, Source]]:
    if not wet.is_dir():
        raise ValueError(f"{dry} is a folder; give the folder of the wet files too, not {wet}")
    there = {f.stem: f for f in wet.iterdir() if f.suffix.lower() in FORMATS}
    found: list[tuple[Source, Source]] = []
    for file in sorted(dry.iterdir()):
        if file.suffix.lower() in FORMATS and not file.name.startswith("."):
            if file.stem not in there:
                raise FileNotFoundError(f"{file} has no partner of the same name in {wet}")
            found.append((file, there[file.stem]))
    if not found:
        raise ValueError(f"{dry} holds no audio file ({', '.join(FORMATS)})")
    return found


def _read(source: Source, sample_rate: float | None, what: str) -> tuple[Audio, float, str]:
    if isinstance(source, str | os.PathLike):
        x, rate = read_audio(source)
        if sample_rate is not None and sample_rate != rate:
            raise ValueError(
                f"{source} has {rate} Hz, not the {sample_rate:g} Hz that were asked for; leave the rate out or resample"
            )
        return x, float(rate), str(source)
    if sample_rate is None:
        raise ValueError("arrays have no sample rate; give sample_rate")
    return as_planar(source, what)[0], check_rate(sample_rate), what


def _load(dry: Source, wet: Source, sample_rate: float | None, align: bool | int, name: str) -> tuple[Pair, float]:
    a, rate, dry_name = _read(dry, sample_rate, f"dry of {name}")
    b, wet_rate, wet_name = _read(wet, sample_rate, f"wet of {name}")
    if rate != wet_rate:
        raise ValueError(f"{dry_name} has {rate:g} Hz, {wet_name} {wet_rate:g} Hz; resample one of them")
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"{dry_name} has {a.shape[0]} channels, {wet_name} {b.shape[0]}; make them equal")
    if abs(a.shape[1] - b.shape[1]) > LENGTHS_MAY_DIFFER_S * rate:
        raise ValueError(
            f"{dry_name} has {a.shape[1]} frames, {wet_name} {b.shape[1]}; they must be of the same length and start together: "
            "cut or pad one"
        )
    for x, what in ((a, dry_name), (b, wet_name)):
        bad = int(np.count_nonzero(~np.isfinite(x)))
        if bad:
            first = int(np.argmax(~np.isfinite(x).all(0)))
            raise ValueError(
                f"{what} holds {bad} samples that are not finite, the first at frame {first}; repair it or cut it out"
            )
        if x.size == 0 or float(np.max(np.abs(x))) < SILENCE:
            raise ValueError(f"{what} is silent; nothing can be learned from it")
    hashes = hash_audio(a), hash_audio(b)
    latency = find_latency(a, b, rate) if align is True else int(align)
    frames = min(a.shape[1], b.shape[1] - latency) if latency >= 0 else min(a.shape[1] + latency, b.shape[1])
    if frames < 0.2 * rate:
        raise ValueError(f"{name} has {frames / rate:.2f} s to train on; give at least 0.2 s")
    a = a[:, max(0, -latency) :][:, :frames]
    b = b[:, max(0, latency) :][:, :frames]
    return Pair(name, np.ascontiguousarray(a), np.ascontiguousarray(b), latency, *hashes), rate


def find_latency(dry: Audio, wet: Audio, rate: float) -> int:
    """Frames by which wet is later than dry, by phase-transform cross-correlation (Knapp and Carter, 1976).

    A filter or reverb spreads the correlation without moving its start, so a delay counts only when it stands out clearly above
    what is found at no delay; else the answer is 0.
    """
    frames = min(dry.shape[1], wet.shape[1])
    size = 1 << (2 * frames - 1).bit_length()
    cross = np.zeros(size // 2 + 1, np.complex128)
    for a, b in zip(dry[:, :frames], wet[:, :frames], strict=True):
        cross += np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size))
    weight = np.abs(cross)
    cross /= weight + 1e-3 * weight.max()
    correlation = np.abs(np.fft.irfft(cross, size))
    longest = min(int(LONGEST_LATENCY_S * rate), size // 2 - 1)
    lags = np.concatenate([np.arange(longest + 1), np.arange(-longest, 0)])
    heights = correlation[lags]
    best = int(lags[np.argmax(heights)])
    at_once = float(np.max(correlation[[-3, -2, -1, 0, 1, 2, 3]]))
    return best if abs(best) > 3 and float(heights.max()) > 2.0 * at_once else 0


@dataclass(frozen=True)
class Split:
    """Frames to train on and frames held out, as (start, end) over one pair."""

    train: list[tuple[int, int]]
    held_out: list[tuple[int, int]]


def split(frames: int, rate: float, validation: bool = True) -> Split:
    """Every fifth stretch is held out; stretches are 0.25 to 1 s, so that short recordings have some of each."""
    if not validation:
        return Split([(0, frames)], [(0, frames)])
    stretch = int(np.clip(frames / 25, 0.25 * rate, rate))
    group = HELD_OUT_EVERY * stretch
    if frames < group:
        cut = frames * (HELD_OUT_EVERY - 1) // HELD_OUT_EVERY
        return Split([(0, cut)], [(cut, frames)])
    starts = range(0, frames - group + 1, group)
    train = [(s, s + group - stretch) for s in starts]
    held_out = [(s + group - stretch, s + group) for s in starts]
    rest = starts[-1] + group
    if frames - rest >= stretch:
        train.append((rest, frames))
    return Split(train, held_out)
