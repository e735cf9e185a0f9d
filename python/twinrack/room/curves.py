"""Gain over frequency of a loudspeaker in a room, as it is heard: the direct sound counts longer the lower the frequency, and
several places count together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..checks import must_be
from .filters import CurvePoints, at_frequencies
from .sweep import BEFORE_S, onset

Numbers = npt.NDArray[np.float64]

PER_OCTAVE = 24
LOWEST_HZ, HIGHEST_HZ = 16.0, 22000.0
CYCLES = 8.0  # of a frequency, after which the room no longer counts for it
LONGEST_S = 0.5
LEVEL_HZ = (200.0, 4000.0)  # where the level of a loudspeaker is read
FAINT_DB = -150.0
# What most people set in a room: bass up, treble gently down (S. E. Olive et al., AES Convention 135, 2013).
TARGETS: dict[str, CurvePoints] = {
    "flat": [(1000.0, 0.0)],
    "house": [(60.0, 4.0), (105.0, 3.0), (200.0, 0.5), (400.0, 0.0), (2000.0, 0.0), (20000.0, -4.0)],
}


def grid(rates: Sequence[float]) -> Numbers:
    """Frequencies in Hz, 24 to the octave, up to 0.46 of the lowest rate."""
    highest = min(HIGHEST_HZ, 0.46 * min(rates))
    return np.asarray(LOWEST_HZ * 2.0 ** (np.arange(int(np.log2(highest / LOWEST_HZ) * PER_OCTAVE) + 1) / PER_OCTAVE))


def power_over_frequency(h: Numbers, rate: float, hertz: Numbers) -> Numbers:
    """The power of a response (frames,) at each frequency, in a window that ends after eight cycles of it.

    So echoes that come later than the ear takes as one with the direct sound do not count (L. Fincham, Refinements in the
    Impulse Testing of Loudspeakers, JAES 33, 1985).
    """
    direct = onset(h, rate)
    first = max(direct - round(BEFORE_S * rate), 0)
    before = direct - first
    power = np.empty(len(hertz))
    for i, hz in enumerate(hertz):
        last = min(max(round(min(CYCLES / hz, LONGEST_S) * rate), 16), len(h) - first - before)
        piece = h[first : first + before + last].astype(np.float64)
        window = np.ones(len(piece))
        window[before:] = 0.5 + 0.5 * np.cos(np.pi * np.arange(len(piece) - before) / last)
        turns = np.exp(-2j * np.pi * hz / rate * np.arange(len(piece)))
        power[i] = np.abs(np.dot(piece * window, turns)) ** 2
    return power


def level_db(curve_db: Numbers, hertz: Numbers) -> float:
    """The middle of a curve in dB from 200 Hz to 4 kHz, or over all of it where it lies elsewhere."""
    inside = (hertz >= LEVEL_HZ[0]) & (hertz <= LEVEL_HZ[1])
    return float(np.median(curve_db[inside] if inside.any() else curve_db))


def in_db(power: Numbers) -> Numbers:
    return np.asarray(10.0 * np.log10(np.maximum(power, 10.0 ** (FAINT_DB / 10.0))))


def smoothed(power: Numbers, octaves: float) -> Numbers:
    """The mean of a power over so many octaves around each frequency."""
    half = max(round(0.5 * octaves * PER_OCTAVE), 0)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    place = np.arange(len(power))
    low, high = np.maximum(place - half, 0), np.minimum(place + half + 1, len(power))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def target_curve(target: str | CurvePoints, hertz: Numbers) -> Numbers:
    """In dB at the frequencies, around 0 in the middle.

    Raises:
        ValueError: a name that is not "flat" or "house", or anything else than points of a curve.
    """
    if isinstance(target, str):
        if target not in TARGETS:
            raise must_be("target", " or ".join(f'"{name}"' for name in TARGETS) + ", or a list of (Hz, dB)", target)
        target = TARGETS[target]
    curve = at_frequencies(target, hertz)
    return np.asarray(curve - level_db(curve, hertz))
