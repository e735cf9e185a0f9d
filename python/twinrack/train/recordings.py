"""Differences between dry and wet recordings beside the processing: delay, polarity, offset, clipping, noise, another clock.

Delay and polarity are read from the phase of the transfer function from dry to wet (Welch's method). A filter turns the phase
too, so the phase that belongs to its magnitude (the minimum phase; A. V. Oppenheim, R. W. Schafer, Discrete-Time Signal
Processing, ch. 13) is taken out first; what is left is a straight line for a delay and half a turn at all frequencies for
inverted polarity. Nothing is claimed of a sound of few frequencies: a filter can do the same to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..audio import Audio

Numbers = npt.NDArray[np.float64]
Spectrum = npt.NDArray[np.complex128]

SIZES = (256, 8192)  # frames of a segment
AUDIBLE_DB = 80.0  # below the loudest bin, dry says nothing
COHERENT = 0.5
BANDS = 6  # third octaves at least, for a claim about polarity
FAR = 4.0  # frames by which the delay may differ from the whole frames that correlation found
MINIMUM_PHASE_FFT = 1 << 15
CUT, STEEPEST = 1.4, 8.3  # slopes in nepers an octave, 12 and 72 dB
UNRELATED = 0.05  # of the frequencies
LONG_ENOUGH = 1 << 19  # frames, where all of a recording says no more
SHORTEST_PART = 4096  # frames, for a delay of its own
FEWEST, MANY = 24, 64  # bins
DENSE = 0.3  # of the bins between the lowest and the highest that are audible: fewer are a tone, which repeats itself
OFFSET_DBFS, OFFSET_DB = -60.0, -50.0  # what an offset must exceed, and relative to the sound's RMS level
CLIPPED_FRAMES = 4
BLOCK_S = 0.02
QUIET_DB = 60.0


@dataclass(frozen=True)
class Transfer:
    """From one channel of dry to the same of wet: the frequencies at which it is clear, in radians per frame, and the phase."""

    omega: Numbers
    raw: Spectrum  # unit vectors
    excess: Spectrum  # the same without the minimum phase
    band: npt.NDArray[np.int64]  # third octave of each
    share: float  # of the audible frequencies

    @property
    def bands(self) -> int:
        return len(np.unique(self.band))

    def by_band(self) -> Numbers:
        """A weight for each frequency, with which all third octaves count the same; they add up to 1."""
        _, where, count = np.unique(self.band, return_inverse=True, return_counts=True)
        return np.asarray(1.0 / count[where] / len(count))


def blackman_harris(size: int) -> Numbers:
    """The 4-term window, side lobes at -92 dB (Harris 1978)."""
    phase = 2.0 * np.pi * np.arange(size) / size
    return np.asarray(0.35875 - 0.48829 * np.cos(phase) + 0.14128 * np.cos(2 * phase) - 0.01168 * np.cos(3 * phase))


@dataclass(frozen=True)
class Spectra:
    """Powers and the cross-spectrum of two channels, and which bins say something of both."""

    size: int
    dry: Numbers
    wet: Numbers
    cross: Spectrum
    audible: npt.NDArray[np.bool_]

    @property
    def omega(self) -> Numbers:
        return np.asarray(2.0 * np.pi * np.arange(self.size // 2 + 1) / self.size)

    @property
    def coherent(self) -> npt.NDArray[np.bool_]:
        return np.asarray(np.abs(self.cross) ** 2 > COHERENT * self.dry * self.wet)

    @property
    def wide(self) -> bool:
        """Whether enough frequencies are audible to measure a delay."""
        audible = np.flatnonzero(self.audible)
        return (
            len(audible) >= FEWEST
            and len(audible) > DENSE * (audible[-1] - audible[0] + 1)
            and len(np.unique(third_octave(self.omega[audible]))) >= BANDS
        )


def spectra(dry: npt.NDArray[np.float32], wet: npt.NDArray[np.float32]) -> Spectra | None:
    """By Welch's method, of (frames,) each; None where they are too short."""
    frames = min(len(dry), len(wet))
    if frames < SIZES[0]:
        return None
    size = int(np.clip(1 << int(np.log2(max(frames / 8, 1))), *SIZES))
    window = blackman_harris(size)
    dd, ww, dw = np.zeros(size // 2 + 1), np.zeros(size // 2 + 1), np.zeros(size // 2 + 1, np.complex128)
    for start in range(0, frames - size + 1, size // 4):
        d, w = (np.fft.rfft(x[start : start + size] * window) for x in (dry, wet))
        dd += np.abs(d) ** 2
        ww += np.abs(w) ** 2
        dw += w * np.conj(d)
    bins, least = np.arange(size // 2 + 1), 10 ** (-AUDIBLE_DB / 10)
    audible = (dd > dd.max() * least) & (ww > ww.max() * least) & (bins >= 3) & (bins < size // 2)
    return Spectra(size, dd, ww, dw, audible)


def third_octave(omega: Numbers) -> npt.NDArray[np.int64]:
    return np.floor(3.0 * np.log2(omega / np.pi * 1e6)).astype(np.int64)


def phase_of_gain(dry: npt.NDArray[np.float32], wet: npt.NDArray[np.float32], omega: Numbers) -> Numbers | None:
    """The minimum phase in radians that belongs to the gain from dry to wet, whatever their delay; None for few frequencies."""
    s = spectra(dry, wet)
    if s is None or not s.wide:
        return None
    return minimum_phase(s.omega[s.audible], 0.5 * np.log(s.wet[s.audible] / s.dry[s.audible]), omega)


def unrelated(dry: Audio, wet: Audio) -> bool:
    """Whether wet follows dry at next to no frequency, though both have many."""
    channels = [spectra(d, w) for d, w in zip(dry, wet, strict=True)]
    wide = [s for s in channels if s is not None and s.wide]
    return len(wide) == len(channels) and all(np.mean(s.coherent[s.audible]) < UNRELATED for s in wide)


def transfer(dry: npt.NDArray[np.float32], wet: npt.NDArray[np.float32]) -> Transfer | None:
    """The transfer function of one channel, (frames,); None where nothing coherent is audible."""
    s = spectra(dry, wet)
    if s is None:
        return None
    audible = s.audible & s.coherent
    if np.count_nonzero(audible) < 3:
        return None
    omega, h = s.omega[audible], s.cross[audible] / s.dry[audible]
    turn, share = h / np.abs(h), np.count_nonzero(audible) / np.count_nonzero(s.audible)
    return Transfer(
        omega, turn, turn * np.exp(-1j * minimum_phase(omega, np.log(np.abs(h)), omega)), third_octave(omega), share
    )


def minimum_phase(omega: Numbers, log_gain: Numbers, wanted: Numbers) -> Numbers:
    """The phase in radians of a minimum-phase filter whose gain (natural logarithm) is known at some frequencies, at those that
    are wanted; outside of these, the gain's slope continues, for an octave if it may be a shelf's."""
    place = np.log2(omega)
    ends = []
    for near in (place < place[0] + 1.0, place > place[-1] - 1.0):
        slope = float(np.polyfit(place[near], log_gain[near], 1)[0]) if np.ptp(place[near]) > 0.3 else 0.0
        ends.append(float(np.clip(slope, -STEEPEST, STEEPEST)))
    grid = np.arange(MINIMUM_PHASE_FFT // 2 + 1) * 2.0 * np.pi / MINIMUM_PHASE_FFT
    at = np.log2(np.maximum(grid, grid[1]))
    curve = np.interp(at, place, log_gain)
    reach = [1.0 if abs(slope) < CUT else 10.0 for slope in ends]  # a shelf ends, a cut continues
    curve += np.clip(at - place[0], -reach[0], 0.0) * ends[0] + np.clip(at - place[-1], 0.0, reach[1]) * ends[1]
    cepstrum = np.fft.irfft(curve, MINIMUM_PHASE_FFT)
    cepstrum[1 : MINIMUM_PHASE_FFT // 2] *= 2.0
    cepstrum[MINIMUM_PHASE_FFT // 2 + 1 :] = 0.0
    return np.asarray(np.interp(wanted, grid, np.fft.rfft(cepstrum).imag))


def polarity(t: Transfer | None, delay: float = 0.0) -> int:
    """1 for the same polarity, -1 for inverted, 0 where it is unclear.

    Half a turn must be left at most frequencies, and at both ends: an all-pass turns the phase, but not far from its frequency.
    """
    if t is None or t.bands < BANDS or t.share < 0.5:
        return 0
    weight = t.by_band()
    towards = (t.excess * np.exp(1j * t.omega * delay)).real
    bands = np.unique(t.band)
    each = np.asarray([np.average(towards[t.band == b]) for b in bands])
    mean = float(np.sum(weight * towards))
    sign = 1 if mean > 0 else -1
    third = max(len(bands) // 4, 1)
    clear = (
        abs(mean) > 0.6
        and np.mean(sign * each > 0.5) > 0.75
        and min(sign * each[:third].mean(), sign * each[-third:].mean()) > 0.5
    )
    return sign if clear else 0


@dataclass(frozen=True)
class Line:
    """The fit of a straight line to the phase: the delay in frames, the agreement with it and without a delay, 0 to 1."""

    delay: float
    agreement: float
    at_once: float


def line(transfers: list[Transfer], with_phase: bool) -> Line:
    """The best line through the turns of all channels, up to `FAR` frames.

    Args:
        with_phase: with the minimum phase or without.
    """

    def agreement(delay: float) -> float:  # inverted or not does not matter here
        total = 0.0
        for t in transfers:
            turn = t.raw if with_phase else t.excess
            weight = 0.5 * t.by_band() + 0.5 / len(t.omega)
            total += abs(float(np.sum(weight * (turn * np.exp(1j * t.omega * delay)).real))) / len(transfers)
        return total

    delays = np.arange(-FAR, FAR + 0.01, 0.125)
    best = float(delays[int(np.argmax([agreement(d) for d in delays]))])
    for step in (0.025, 0.005):
        around = best + step * np.arange(-5, 6)
        best = float(around[int(np.argmax([agreement(d) for d in around]))])
    return Line(best, agreement(best), agreement(0.0))


def nearer(dry: Audio, wet: Audio, latency: int) -> bool:
    """Whether a latency in frames explains the phase clearly better than a filter does."""
    left = []
    for shift in (latency, 0):
        a, b = dry[:, max(0, -shift) :], wet[:, max(0, shift) :]
        known = [
            t
            for t in (transfer(d, w) for d, w in zip(a, b, strict=True))
            if t is not None and t.bands >= BANDS and t.share > 0.3
        ]
        bins = sum(len(t.omega) for t in known)
        both = [line(known, w).agreement for w in (True, False)] if known else [0.0, 0.0]
        left.append((1.0 - max(both), bins, both[0]))
    (with_it, bins, with_phase), (without, others, _) = left
    # what little a steep filter leaves tells little about its phase
    return with_it < 0.5 * without and bins >= 0.8 * others and (bins >= MANY * len(dry) or with_phase > 0.6)


def delay_of(transfers: list[Transfer | None], exact: bool) -> float:
    """Frames by which wet is later than dry, beside the whole frames that were removed; 0 where it is not clear.

    Args:
        transfers: of the channels.
        exact: no delay was found before: then only what nothing else explains is taken as one.
    """
    known = [t for t in transfers if t is not None and t.bands >= BANDS]
    if not known:
        return 0.0
    edge = min(float(np.quantile(t.omega, 0.98)) for t in known) / np.pi
    if edge < (0.8 if exact else 0.2):
        return 0.0
    # with a filter of linear phase the one is right, with all others the other
    better, worse = sorted((line(known, with_phase) for with_phase in (True, False)), key=lambda x: -x.agreement)
    apart = abs(better.delay - worse.delay)
    lost = (1.0 - better.agreement) / max(1.0 - better.at_once, 1e-9)
    if exact:
        clear = abs(better.delay) > 0.25 and apart < 0.1 and better.agreement > 0.995 and worse.agreement > 0.95 and lost < 0.1
    else:
        clear = abs(better.delay) > 0.06 and apart < 0.25 and better.agreement > 0.96 and lost < 0.6
    return better.delay if clear else 0.0


def advanced(x: Audio, frames: float) -> Audio:
    """A sound (channels, frames) earlier by less than some frames, band-limited."""
    count = x.shape[1]
    margin = 64
    padded = np.pad(x.astype(np.float64), ((0, 0), (margin, margin)), mode="edge")
    size = padded.shape[1]
    turn = np.exp(2j * np.pi * np.arange(size // 2 + 1) * frames / size)
    return np.asarray(np.fft.irfft(np.fft.rfft(padded) * turn, size)[:, margin : margin + count], np.float32)


def offset(x: npt.NDArray[np.float32], least_db: float = OFFSET_DB) -> float:
    """The constant part of one channel; 0 where it is less than `least_db` relative to the RMS level, or does not stand out
    from the lowest frequencies."""
    size = max(len(x) // 4096, 1)  # blocks add up to the same sums at the lowest frequencies
    means = x[: len(x) // size * size].reshape(-1, size).mean(1, dtype=np.float64)
    window = blackman_harris(len(means))
    windowed = means * (window / window.sum())
    turns = np.exp(-2j * np.pi * np.arange(len(means)) / len(means))
    constant, turn = float(windowed.sum()), turns**4
    beside = 0.0
    for _ in range(5, 15):
        turn = turn * turns
        beside = max(beside, abs(complex(np.sum(windowed * turn))))
    level = float(np.std(x.astype(np.float64) - constant))
    least = max(10 ** (OFFSET_DBFS / 20), 10 ** (least_db / 20) * level, 6.0 * beside)
    return constant if abs(constant) > least else 0.0


def levels(x: Audio, rate: float) -> Numbers:
    """Level in dB of each block of 20 ms, over all channels, without a constant."""
    size = max(int(BLOCK_S * rate), 1)
    count = x.shape[1] // size
    blocks = x[:, : count * size].astype(np.float64).reshape(x.shape[0], count, size)
    return np.asarray(10.0 * np.log10(np.mean(np.var(blocks, axis=2), axis=0) + 1e-20))


def pauses(dry: Audio, rate: float, settle_s: float) -> list[slice]:
    """Stretches of at least 0.1 s, in blocks, in which dry is silent; what follows a sound is left out for `settle_s`."""
    level = levels(dry, rate)
    quiet = level < level.max() - QUIET_DB
    stretches, begin = [], None
    for i, silent in enumerate([*quiet, False]):
        if silent and begin is None:
            begin = i
        elif not silent and begin is not None:
            first = begin + (0 if begin == 0 else int(settle_s / BLOCK_S))
            if i - 1 - first >= 0.1 / BLOCK_S:  # the last may hold the beginning of a sound
                stretches.append(slice(first, i - 1))
            begin = None
    return stretches


def noise_floor(dry: Audio, wet: Audio, rate: float, tails: bool) -> tuple[float, float] | None:
    """Level in dBFS of a steady noise in the pauses of dry, and of wet as a whole; None where there is none.

    Args:
        tails: the rack may sound on after dry has ended: then only what is before the first sound counts.
    """
    level, before = levels(wet, rate), levels(dry, rate)
    levels_in_pauses: list[float] = []
    for part in pauses(dry, rate, 0.3):
        if tails and part.start > 0:
            continue
        here = level[part]
        half = len(here) // 2
        steady = abs(here[:half].mean() - here[half:].mean()) < 1.5 and float(np.std(here)) < 2.5
        if steady and np.median(here) > np.median(before[part]) + 20.0:
            levels_in_pauses.append(float(np.median(here)))
    if not levels_in_pauses:
        return None
    floor, whole = min(levels_in_pauses), float(10 * np.log10(np.mean(wet.astype(np.float64) ** 2) + 1e-20))
    return (floor, whole) if floor > whole - QUIET_DB and floor > -110.0 else None


def clipped(dry: Audio, wet: Audio) -> tuple[int, int, float]:
    """How often wet stays at its extreme where dry moves: runs, frames, and the level there (1 is full scale).

    Clipping piles up samples at the extreme, where a sound has fewest, or holds it longer than the steepness around allows.
    """
    runs = frames = 0
    height = 0.0
    for d, w in zip(dry, wet, strict=True):
        quantum = _quantum(w)
        for top in {float(w.max()), float(w.min())} - {0.0}:
            at = (w == top) & (d != d.max()) & (d != d.min())
            edges = np.concatenate([[False], at, [False]])
            begin, end = np.flatnonzero(edges[1:] & ~edges[:-1]), np.flatnonzero(edges[:-1] & ~edges[1:])
            near = np.count_nonzero((w != top) & (w / top > 0.98))
            piled = at.sum() >= 8 and at.sum() > 3 * near and 0.02 * abs(top) > 8 * quantum and np.sum(end - begin > 1) > 1
            held = sum(_held(d, w, int(a), int(b), quantum) for a, b in zip(begin, end, strict=True) if b - a >= CLIPPED_FRAMES)
            if piled or held:
                runs, frames, height = runs + len(begin), frames + int(at.sum()), max(height, abs(top))
    return runs, frames, height


def _held(d: npt.NDArray[np.float32], w: npt.NDArray[np.float32], a: int, b: int, quantum: float) -> bool:
    """Whether frames a to b stand still though the sound comes and goes steeply, and dry does not stand still."""
    outside = [abs(float(w[i] - w[j])) for i, j in ((a - 1, a - 2), (b, b + 1)) if min(i, j) >= 0 and max(i, j) < len(w)]
    return bool(outside) and max(outside) > 8.0 * quantum and float(np.ptp(d[a:b])) > 0.0


def _quantum(x: npt.NDArray[np.float32]) -> float:
    """The smallest step between the values of a recording, of the loudest 4096 frames or so."""
    middle = int(np.argmax(np.abs(x)))
    steps = np.diff(np.unique(x[max(0, middle - 2048) : middle + 2048]))
    return float(steps.min()) if len(steps) else 0.0


def swapped(dry: Audio, wet: Audio, longest: int) -> bool:
    """Whether left of wet is of right of dry, and the other way round."""
    if dry.shape[0] != 2:
        return False
    frames = min(dry.shape[1], wet.shape[1], LONG_ENOUGH)
    start = max(0, min(int(np.abs(dry).max(0).argmax()) - frames // 2, min(dry.shape[1], wet.shape[1]) - frames))
    dry, wet = dry[:, start:], wet[:, start:]
    size = 1 << (2 * frames - 1).bit_length()
    d, w = (np.fft.rfft(x[:, :frames], size) for x in (dry, wet))

    def peak(a: int, b: int) -> float:
        cross = w[b] * np.conj(d[a])
        weight = np.abs(cross)
        correlation = np.abs(np.fft.irfft(cross / (weight + 1e-3 * weight.max() + 1e-30), size))
        return float(max(correlation[: longest + 1].max(), correlation[-longest:].max()))

    return min(peak(0, 1), peak(1, 0)) > 2.0 * max(peak(0, 0), peak(1, 1))


def clock_ppm(dry: Audio, wet: Audio) -> float:
    """By how many millionths wet runs slower than dry; 0 where their delay stays the same, or is not clear."""
    frames = min(dry.shape[1], wet.shape[1])
    parts = 6
    length, hop = min(frames // parts, LONG_ENOUGH // 4), frames // parts
    if length < SHORTEST_PART:
        return 0.0
    window = np.hanning(length)
    size = 1 << (2 * length - 1).bit_length()
    spectra = []
    for i in range(parts):
        d, w = (np.fft.rfft(x[:, i * hop : i * hop + length] * window, size) for x in (dry, wet))
        spectra.append((d, w))
    level = np.min([np.abs(d).sum(0) / max(float(np.abs(d).max()), 1e-30) for d, _ in spectra], axis=0)
    audible = level > 3e-5
    audible[:2] = False
    if np.count_nonzero(audible) < 0.05 * len(audible):
        return 0.0
    delays = []
    far = max(8, int(1e-3 * frames))
    for d, w in spectra:
        cross = (w * np.conj(d)).sum(0)
        cross = np.where(audible, cross / (np.abs(cross) + 1e-30), 0.0)
        fine = np.abs(np.fft.irfft(np.pad(cross, (0, 7 * (len(cross) - 1))), 8 * size))  # eight times finer
        lags = np.concatenate([np.arange(8 * far + 1), np.arange(-8 * far, 0)])
        heights = fine[lags]
        best = int(np.argmax(heights))
        rest = np.abs(lags - lags[best]) > 64
        if heights[best] < 2.0 * float(heights[rest].max()):
            return 0.0
        delays.append(lags[best] / 8)
    at = np.arange(parts) * float(hop)
    slope, start = np.polyfit(at, delays, 1)
    off = float(np.std(np.asarray(delays) - start - slope * at))
    moved = abs(slope) * (parts - 1) * hop
    return float(slope * 1e6) if moved > 0.75 and moved > 8.0 * off else 0.0
