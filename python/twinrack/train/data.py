"""Pairs of dry and wet recordings: read, checked, aligned, and split into what is trained on and what is held out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..audio import Audio, as_planar, check_rate
from ..checks import count_nan, nan_in
from ..files.audio_file import FORMATS, read_audio
from ..files.hashing import hash_audio
from ..rack.rack import Rack
from ..system.disk import path_of
from . import recordings

Source = npt.ArrayLike | str | os.PathLike[str]
LONGEST_LATENCY_S = 0.25
SILENCE = 1e-5  # -100 dBFS: a recording that never gets louder is taken as silent
HELD_OUT_EVERY = 5
LENGTHS_MAY_DIFFER_S = 0.5
LENGTHS_DIFFER_S = 0.1  # more than this is reported
OFFSET_OF_GAINS_DB = -30.0  # relative to the RMS level: a compressor makes less
STANDS_OUT = 6.0  # times the correlation's RMS, which no lag reaches by chance
FAINT = 10 ** (-84 / 20)  # two steps of 16 bits


@dataclass(frozen=True)
class Pair:
    """One dry and one wet recording of the same length, (channels, frames), aligned.

    `latency_frames` were cut off, and `delay_frames` is the same with the fraction by which `wet` was moved besides; `polarity`
    is 1, -1 (inverted) or 0 (unclear) for each channel; `notes` name what else was found in the recordings. What comes before
    `compared_from` is played but not compared.
    """

    name: str
    dry: Audio
    wet: Audio
    latency_frames: int
    dry_hash: str
    wet_hash: str
    delay_frames: float = 0.0
    polarity: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    compared_from: int = 0

    @property
    def frames(self) -> int:
        return int(self.dry.shape[1])


@dataclass(frozen=True)
class Explained:
    """Abilities of a rack that is fitted: they tell which oddities of a recording may be its doing.

    `distorts`: it may make an offset of its own, and stay at an extreme; `gains`: it may change its gain within a period, which
    makes a small offset; `tails`: it may sound on after its input has ended.
    """

    distorts: bool = False
    gains: bool = False
    tails: bool = False


def explained_by(rack: Rack) -> Explained:
    """The abilities of a rack, by the categories of its effects that are switched on."""
    categories = {e.card.category for e in rack.addresses().values() if not e.bypass}
    return Explained(
        distorts="nonlinear" in categories,
        gains=bool(categories & {"dynamics", "modulation"}),
        tails=bool(categories & {"reverb", "nonlinear", "modulation", "delay"}),
    )


def load_pairs(
    dry: Source | Sequence[Source],
    wet: Source | Sequence[Source],
    sample_rate: float | None,
    align: bool | int,
    explained: Explained | None = None,
) -> tuple[list[Pair], float]:
    """Read pairs from arrays, files, lists of either, or two folders whose files have the same names.

    Args:
        dry, wet: (channels, frames) arrays or (frames,), file paths, folders, or lists; both the same kind.
        sample_rate: Hz; needed for arrays, taken from files.
        align: True finds the latency of wet and removes it, False leaves it, a number is the latency in frames.
        explained: what the rack can explain; then what else the recordings have beside the processing is found too.

    Returns:
        The pairs and their common rate.

    Raises:
        FileNotFoundError, ValueError: one sentence that says what does not fit and what would.
    """
    if isinstance(align, float):
        raise ValueError(f"align must be True, False or an integer, in frames, got {align:g}")
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
        pair, rate = _load(a, b, sample_rate, align, f"pair {number + 1}" if len(sources) > 1 else "the recording", explained)
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
    partners = {f.stem: f for f in wet.iterdir() if f.suffix.lower() in FORMATS}
    pairs: list[tuple[Source, Source]] = []
    for file in sorted(dry.iterdir()):
        if file.suffix.lower() in FORMATS and not file.name.startswith("."):
            if file.stem not in partners:
                raise FileNotFoundError(f"{file} has no partner of the same name in {wet}")
            pairs.append((file, partners[file.stem]))
    if not pairs:
        raise ValueError(f"{dry} holds no audio file ({', '.join(FORMATS)})")
    return pairs


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


def _load(
    dry: Source, wet: Source, sample_rate: float | None, align: bool | int, name: str, explained: Explained | None
) -> tuple[Pair, float]:
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
        bad = count_nan(x)
        if bad:
            first = int(np.argmax(~np.isfinite(x).all(0)))
            raise ValueError(f"{what} has {nan_in(bad)}, the first at frame {first}; repair it or cut it out")
        if x.size == 0 or float(np.max(np.abs(x))) < SILENCE:
            raise ValueError(f"{what} is silent; nothing can be learned from it")
    pair = Pair(name, a, b, 0, hash_audio(a), hash_audio(b))
    of_pair = "" if name == "the recording" else f" of {name}"
    names = [str(x) if isinstance(x, str | os.PathLike) else f"{what}{of_pair}" for x, what in ((dry, "dry"), (wet, "wet"))]
    return aligned(pair, rate, align, explained, *names), rate


def aligned(
    pair: Pair, rate: float, align: bool | int, explained: Explained | None, dry_name: str = "dry", wet_name: str = "wet"
) -> Pair:
    """A pair whose recordings begin together, without differences that no rack makes.

    Args:
        pair: as it was read, of any two lengths.
        align, explained: as in `load_pairs`.
        dry_name, wet_name: how the notes call the recordings.

    Raises:
        ValueError: too little is left to train on.
    """
    a, b = pair.dry, pair.wet
    notes: list[str] = []
    if explained is not None:
        a, b = _without_offset(a, b, explained, dry_name, wet_name, notes)
        if recordings.swapped(a, b, int(LONGEST_LATENCY_S * rate)):
            b = np.ascontiguousarray(b[::-1])
            notes.append(
                f"left and right of {wet_name} are swapped against {dry_name}; the fit is of {wet_name} with its channels put "
                "back, so swap them in the recording"
            )
    far = _find_delay(a, b) if align is True else 0
    latency = _within(far, rate) if align is True else int(align)
    frames = min(a.shape[1], b.shape[1] - latency) if latency >= 0 else min(a.shape[1] + latency, b.shape[1])
    if frames < 0.2 * rate:
        raise ValueError(f"{pair.name} has {max(frames, 0) / rate:.2f} s to train on; give at least 0.2 s")
    if explained is not None:
        notes += _of_lengths(a, b, latency, rate, dry_name, wet_name)
    a = a[:, max(0, -latency) :][:, :frames]
    b = b[:, max(0, latency) :][:, :frames]
    result = replace(pair, latency_frames=latency, delay_frames=float(latency))
    if explained is not None:
        transfers = [recordings.transfer(d, w) for d, w in zip(a, b, strict=True)]
        fraction = recordings.delay_of(transfers, exact=latency == 0) if align is True else 0.0
        if fraction:
            b = recordings.advanced(b, fraction)
            result = replace(result, delay_frames=latency + fraction)
            notes.append(
                f"{wet_name} is {latency + fraction:.2f} frames later than {dry_name}; it was cut and resampled, so the rack "
                "plays it without this delay"
            )
        result = replace(result, polarity=tuple(recordings.polarity(t, fraction) for t in transfers))
        if far and not latency:
            notes.append(
                f"{wet_name} seems to be {abs(far) / rate:.2f} s {'later' if far > 0 else 'earlier'} than {dry_name}, and up "
                f"to {LONGEST_LATENCY_S:g} s is searched; give align={far}, or cut it"
            )
        ppm = recordings.clock_ppm(a, b)
        if not (far or ppm or explained.tails or explained.gains) and recordings.unrelated(a, b):
            notes.append(
                f"{wet_name} has next to nothing in common with {dry_name}; check that both are the same take at the same rate"
            )
        if ppm:
            notes.append(
                f"{wet_name} runs {abs(ppm):.0f} ppm {'slower' if ppm > 0 else 'faster'} than {dry_name}, as from another "
                f"clock ({1e-3 * abs(ppm) * frames / rate:.2f} ms over the recording), which no rack explains; resample it"
            )
        notes += _of_level(a, b, rate, explained, wet_name)
    return replace(result, dry=np.ascontiguousarray(a), wet=np.ascontiguousarray(b), notes=tuple(notes))


def _without_offset(
    a: Audio, b: Audio, explained: Explained, dry_name: str, wet_name: str, notes: list[str]
) -> tuple[Audio, Audio]:
    """Both without a DC offset that the rack does not make; adds a note for each."""
    of_dry = [recordings.offset(c) for c in a]
    of_wet = [recordings.offset(c, OFFSET_OF_GAINS_DB if explained.gains else recordings.OFFSET_DB) for c in b]
    if explained.distorts and any(of_dry):  # a curve hears it, and turns it into something else
        size = max(of_dry, key=abs)
        notes.append(
            f"{dry_name} has a DC offset of {size:+.4f} ({_db(size)} dBFS), which the rack's distortion hears; remove it"
        )
        return a, b
    if explained.distorts and any(of_wet) and not _stays(a, b, of_wet):
        return a, b
    for name, offsets in ((dry_name, of_dry), (wet_name, of_wet)):
        if any(offsets):
            size = max(offsets, key=abs)
            notes.append(f"{name} has a DC offset of {size:+.4f} ({_db(size)} dBFS); it was removed for the fit")
    less = [np.asarray(offsets, np.float32)[:, None] for offsets in (of_dry, of_wet)]
    return (a - less[0] if any(of_dry) else a), (b - less[1] if any(of_wet) else b)


def _stays(a: Audio, b: Audio, offsets: Sequence[float]) -> bool:
    """Whether the offset of wet remains where dry is silent too: a distortion's is not."""
    quiet = np.abs(a).max(0) < 1e-3 * float(np.abs(a).max())
    if np.count_nonzero(quiet) < 0.01 * a.shape[1]:
        return False
    silent = quiet[: b.shape[1]]
    means = b[:, : a.shape[1]][:, silent].mean(1) if silent.any() else np.zeros(len(b))
    return all(abs(m - f) < 0.5 * abs(f) for m, f in zip(means, offsets, strict=True) if f)


def _of_lengths(a: Audio, b: Audio, latency: int, rate: float, dry_name: str, wet_name: str) -> list[str]:
    shorter = (a.shape[1] - (b.shape[1] - latency)) / rate
    if abs(shorter) <= LENGTHS_DIFFER_S:
        return []
    first, second = (wet_name, dry_name) if shorter > 0 else (dry_name, wet_name)
    return [f"{first} ends {abs(shorter):.2f} s before {second}; what is beyond was left out"]


def _of_level(a: Audio, b: Audio, rate: float, explained: Explained, wet_name: str) -> list[str]:
    """Clipping, noise, channels without sound, and recordings that hardly hold any."""
    notes = []
    peaks = np.abs(b).max(1)
    if peaks.max() < FAINT:
        notes.append(f"{wet_name} never gets louder than {_db(peaks.max())} dBFS, two steps of 16 bits; record it louder")
    for c in np.flatnonzero((peaks < SILENCE) & (np.abs(a).max(1) >= SILENCE)):
        notes.append(f"the {_channel(int(c), len(peaks))} channel of {wet_name} is silent")
    runs, frames, height = recordings.clipped(a, b)
    if runs and (not (explained.distorts or explained.gains) or height >= 0.998):
        notes.append(
            f"{wet_name} is clipped at {_db(height)} dBFS: {runs} times, {1e3 * frames / rate:.1f} ms in all; no rack explains "
            "these peaks, so record it with a lower level"
        )
    floor = recordings.noise_floor(a, b, rate, explained.tails)
    if floor is not None:
        noise, whole = floor
        notes.append(
            f"{wet_name} has noise at {noise:.0f} dBFS where dry is silent; the error cannot fall much below "
            f"{noise - whole:.0f} dB"
        )
    return notes


def _channel(c: int, channels: int) -> str:
    return ("left", "right")[c] if channels == 2 else f"{c + 1}."


def _db(linear: float) -> str:
    return f"{20.0 * np.log10(max(abs(linear), 1e-10)):.1f}"


def find_latency(dry: Audio, wet: Audio, rate: float) -> int:
    """Frames by which wet is later than dry, by phase-transform cross-correlation (Knapp and Carter, 1976).

    The delay of a filter is not a latency: the phase that belongs to its gain is taken out first (see `recordings`). A reverb
    spreads the correlation without moving its start, so a delay counts only when it stands out clearly above what is found at
    no delay and elsewhere; else the answer is 0, as for a sound of few frequencies, which looks the same after every period.
    """
    return _within(_find_delay(dry, wet), rate)


def _within(delay: int, rate: float) -> int:
    """0 for a delay that is too long to be a latency."""
    return delay if abs(delay) <= LONGEST_LATENCY_S * rate else 0


def _find_delay(dry: Audio, wet: Audio) -> int:
    """Of any length up to half of the recordings."""
    frames = min(dry.shape[1], wet.shape[1])
    size = 1 << (2 * frames - 1).bit_length()
    correlation = np.zeros(size)
    omega = 2.0 * np.pi * np.arange(size // 2 + 1) / size
    for a, b in zip(dry[:, :frames], wet[:, :frames], strict=True):  # each by itself: one may be inverted
        phase = recordings.phase_of_gain(a, b, omega)
        if phase is None:
            continue
        cross = np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size))
        weight = np.abs(cross)
        cross *= np.exp(-1j * phase) / (weight + 1e-3 * weight.max() + 1e-30)
        correlation += np.abs(np.fft.irfft(cross, size))
    typical = float(np.sqrt(np.mean(correlation**2)))
    longest = min(frames // 2, size // 2 - 1)
    lags = np.concatenate([np.arange(longest + 1), np.arange(-longest, 0)])
    heights = correlation[lags]
    best = int(lags[np.argmax(heights)])
    at_once = float(np.max(correlation[[-3, -2, -1, 0, 1, 2, 3]]))
    clear = abs(best) > 3 and float(heights.max()) > max(1.7 * at_once, STANDS_OUT * typical)
    return best if clear and recordings.nearer(dry, wet, best) else 0


@dataclass(frozen=True)
class Split:
    """Frames to train on and frames held out, as (start, end) over one pair."""

    train: list[tuple[int, int]]
    held_out: list[tuple[int, int]]

    def after(self, first: int) -> Split:
        """The same without what comes before a frame."""
        if first == 0:
            return self
        train = [(max(a, first), b) for a, b in self.train if b > first]
        return Split(train, [(max(a, first), b) for a, b in self.held_out if b > first])


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
