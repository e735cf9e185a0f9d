"""An oscillation in a curve that was measured from recordings: its rate, phase and amplitude, for start values of effects with
an oscillator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .data import Pair
from .starts import Numbers

WINDOW_S = 0.005
FINER = 4.0  # steps of the grid of rates within the width of a line of the spectrum
QUIET = 1e-4  # of full scale, in a window
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

    def at(rate_hz: float) -> tuple[float, Numbers]:
        angle = 2.0 * np.pi * rate_hz * times_s
        basis = np.stack([np.ones_like(angle), np.sin(angle), np.cos(angle)], 1)
        root = np.sqrt(weight)[:, None]
        answer, *_ = np.linalg.lstsq(basis * root, curve * root[:, 0], rcond=None)
        return float(np.sum(weight * (curve - basis @ answer) ** 2)), answer

    rates = np.linspace(low_hz, high_hz, count)
    best = float(min(rates, key=lambda r: at(r)[0]))
    width = (high_hz - low_hz) / count
    for _ in range(4):
        best = float(min(np.linspace(max(best - width, low_hz), best + width, 17), key=lambda r: at(r)[0]))
        width /= 6.0
    left, (offset, sine, cosine) = at(best)
    mean = float(np.average(curve, weights=weight))
    whole = float(np.sum(weight * (curve - mean) ** 2)) + 1e-12
    turns = float(np.arctan2(cosine, sine) / (2.0 * np.pi) % 1.0)
    return Oscillation(best, turns, float(np.hypot(sine, cosine)), float(offset), 1.0 - left / whole)


def gains_over_time(pairs: Sequence[Pair], rate: float) -> Iterator[tuple[int, Numbers, Numbers, Numbers]]:
    """For each channel of the longest pair: its number, times in seconds, gains from dry to wet and the energy of dry there, in
    windows of 5 ms in which there is sound."""
    pair = max(pairs, key=lambda p: p.dry.shape[1])
    size = max(int(WINDOW_S * rate), 8)
    count = min(pair.dry.shape[1], pair.wet.shape[1]) // size
    for channel in range(pair.dry.shape[0]):
        dry, wet = (np.asarray(s[channel, : count * size], np.float64).reshape(count, size) for s in (pair.dry, pair.wet))
        energy = np.mean(dry**2, 1)
        audible = energy > QUIET**2
        gain = np.sqrt(np.mean(wet**2, 1)[audible] / energy[audible])
        times = (np.flatnonzero(audible) + 0.5) * size / rate
        yield channel, np.asarray(times, np.float64), np.asarray(gain), np.asarray(energy[audible])
