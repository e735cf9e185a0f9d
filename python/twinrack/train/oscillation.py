"""An oscillation in a curve that was measured from recordings: its rate, phase and amplitude, for start values of effects with
an oscillator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .data import Pair
from .starts import Numbers

LONGEST_S = 60.0  # of a recording, that are looked at
WINDOW_S = 0.005
FINER = 4.0  # steps of the grid of rates within the width of a line of the spectrum
QUIET = 1e-4  # of full scale, in a window
HOP_S = 0.006
SURE = 0.6  # share of a window that its delay explains
SHORTEST = 3  # frames of a delay beside the sound itself: nearer, both are one
OUTLIER = 4.0  # times the median distance from the median
# By how many turns a wave's fundamental is ahead of a sine's.
FUNDAMENTAL = {"sine": 0.0, "triangle": 0.0, "square": 0.0, "saw": 0.5}


@dataclass(frozen=True)
class Oscillation:
    """offset + amplitude × sin(2π (rate_hz t + turns)), nearest to a curve.

    Attributes:
        share: of the curve's variance that it explains, 0 to 1.
    """

    rate_hz: float
    turns: float
    amplitude: float
    offset: float
    share: float

    def start_deg(self, wave: str) -> float:
        """Where a wave of this phase begins, 0 to 360 degrees."""
        return float(360.0 * ((self.turns - FUNDAMENTAL.get(wave, 0.0)) % 1.0))


def oscillation(times_s: Numbers, curve: Numbers, weight: Numbers, low_hz: float, high_hz: float) -> Oscillation | None:
    """The oscillation that explains most of a curve, by least squares over a grid of rates and a finer one around the best.

    Args:
        times_s, curve, weight: of its points, in any order; the weights are relative.
        low_hz, high_hz: where the rate lies.

    Returns:
        None where there are too few points.
    """
    if times_s.size < 16:
        return None
    length = float(np.ptp(times_s)) or 1.0
    count = int(np.clip(FINER * length * (high_hz - low_hz), 64, 4000))

    def at(rates: Numbers) -> tuple[Numbers, Numbers]:
        """The rest at each rate, and offset, sine and cosine there: by the normal equations."""
        waves = np.exp(2j * np.pi * np.outer(rates, times_s))
        single, double, product = waves @ weight, (waves * waves) @ weight, waves @ (weight * curve)
        total = float(weight.sum())
        matrix = np.empty((rates.size, 3, 3))
        matrix[:, 0, 0] = total
        matrix[:, 0, 1] = matrix[:, 1, 0] = single.imag
        matrix[:, 0, 2] = matrix[:, 2, 0] = single.real
        matrix[:, 1, 1], matrix[:, 2, 2] = 0.5 * (total - double.real), 0.5 * (total + double.real)
        matrix[:, 1, 2] = matrix[:, 2, 1] = 0.5 * double.imag
        matrix += 1e-9 * total * np.eye(3)
        right = np.stack([np.full(rates.size, np.sum(weight * curve)), product.imag, product.real], 1)
        answers = np.linalg.solve(matrix, right[..., None])[..., 0]
        return np.sum(weight * curve**2) - np.sum(right * answers, 1), answers

    def best_of(rates: Numbers) -> float:
        parts = np.array_split(rates, max(rates.size * times_s.size // 1_000_000, 1))
        return float(rates[int(np.argmin(np.concatenate([at(part)[0] for part in parts])))])

    best = best_of(np.linspace(low_hz, high_hz, count))
    width = (high_hz - low_hz) / count
    for _ in range(4):
        best = best_of(np.linspace(max(best - width, low_hz), best + width, 17))
        width /= 6.0
    (left,), ((offset, sine, cosine),) = at(np.array([best]))
    mean = float(np.average(curve, weights=weight))
    whole = float(np.sum(weight * (curve - mean) ** 2)) + 1e-12
    turns = float(np.arctan2(cosine, sine) / (2.0 * np.pi) % 1.0)
    return Oscillation(best, turns, float(np.hypot(sine, cosine)), float(offset), 1.0 - left / whole)


def gains_over_time(pairs: Sequence[Pair], rate: float) -> Iterator[tuple[int, Numbers, Numbers, Numbers]]:
    """For each channel of the longest pair: its number, times in seconds, gains from dry to wet and the energy of dry there, in
    windows of 5 ms in which there is sound."""
    pair = max(pairs, key=lambda p: p.dry.shape[1])
    size = max(int(WINDOW_S * rate), 8)
    count = min(pair.dry.shape[1], pair.wet.shape[1], int(LONGEST_S * rate)) // size
    for channel in range(pair.dry.shape[0]):
        dry, wet = (np.asarray(s[channel, : count * size], np.float64).reshape(count, size) for s in (pair.dry, pair.wet))
        energy = np.mean(dry**2, 1)
        audible = energy > QUIET**2
        gain = np.sqrt(np.mean(wet**2, 1)[audible] / energy[audible])
        times = (np.flatnonzero(audible) + 0.5) * size / rate
        yield channel, np.asarray(times, np.float64), np.asarray(gain), np.asarray(energy[audible])


@dataclass(frozen=True)
class Delays:
    """Delays over time, from dry to wet.

    Attributes:
        times_s, delays_s, weights: of the windows in which one explains the sound.
        wet_share: the delayed sound's part of it, 1 where the sound itself is not beside it; the median.
    """

    times_s: Numbers
    delays_s: Numbers
    weights: Numbers
    wet_share: float


def delays_over_time(
    dry: Numbers, wet: Numbers, rate: float, longest_s: float, window_s: float, beside: bool, alike: float = 1.0
) -> Delays:
    """In short windows the delay by which the dry sound, alone or beside itself, is nearest to the wet one.

    Args:
        dry, wet: one channel each, (frames,).
        rate: Hz.
        longest_s: that the delay may be.
        window_s: short, as the delay moves meanwhile; long, for low tones.
        beside: the sound itself is there too, undelayed.
        alike: of delays that explain at least this part of the most, the shortest: a tone is alike at every period.
    """
    size, hop, longest = round(window_s * rate), round(HOP_S * rate), round(longest_s * rate)
    span = 1 << (size + longest).bit_length()
    rows = []
    for at in range(longest, min(dry.size, wet.size, int(LONGEST_S * rate)) - size, hop):
        ahead, y = np.asarray(dry[at - longest : at + size], np.float64), np.asarray(wet[at : at + size], np.float64)
        spectrum, power = np.fft.rfft(ahead, span), float(np.sum(y**2)) + 1e-9
        sums = np.concatenate([[0.0], np.cumsum(ahead**2)])
        # By delay, the shortest first: of wet and dry, of dry and dry, and the energy of dry.
        cross = np.fft.irfft(spectrum * np.conj(np.fft.rfft(y, span)), span)[longest::-1]
        energy = (sums[size : size + longest + 1] - sums[: longest + 1] + 1e-9)[::-1]
        if beside:
            own = np.fft.irfft(spectrum * np.conj(np.fft.rfft(ahead[longest:], span)), span)[longest::-1]
            apart = np.maximum(energy[0] * energy - own**2, 1e-6 * energy[0] * energy)
            delayed, itself = (cross * energy[0] - cross[0] * own) / apart, (cross[0] * energy - cross * own) / apart
            explained = (delayed * cross + itself * cross[0]) / power
            explained[:SHORTEST] = 0.0
        else:
            delayed, itself = cross / energy, np.zeros_like(cross)
            explained = np.where(cross > 0.0, cross**2 / (energy * power), 0.0)
        if explained.max() < SURE**2:
            continue
        best = int(np.flatnonzero(explained >= alike**2 * explained.max())[0])
        while 0 < best < longest and explained[best + 1] > explained[best]:
            best += 1
        if not 0 < best < longest:
            continue
        before, here, after = explained[best - 1 : best + 2]
        peak = best + 0.5 * (before - after) / (before - 2.0 * here + after) if before + after < 2.0 * here else best
        share = abs(delayed[best]) / (abs(delayed[best]) + abs(itself[best]) + 1e-12)
        rows.append(((at + 0.5 * size) / rate, peak / rate, power**0.25, share))
    if not rows:
        empty = np.zeros(0)
        return Delays(empty, empty, empty, 1.0)
    times, delays, weights, shares = np.array(rows).T
    off = np.abs(delays - np.median(delays))
    near = off <= OUTLIER * np.median(off)
    return Delays(times[near], delays[near], weights[near], float(np.median(shares)))
