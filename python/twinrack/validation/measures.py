"""Measures of how far a rack's behaviour on one sound departs from its behaviour on another.

Both outputs are for the same sound: `real` is what the rack gives, `expected` what it would give if its blocks decided as on
the clean sound (see `swaps`). Racks that are linear give the same twice, whatever the sound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..audio import Audio
from ..measure.loudness import loudness
from ..measure.window_levels import window_levels_db
from ..perceptual import CriticalBands, Masking

FLOOR_DB = -120.0
AUDIBLE_DB = -50.0  # of the loudest, for bands and windows that count
WINDOW_S = 0.05
MOST = 95.0  # percentile of windows


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: as in the map.
        unit: of the departure.
        tolerance: a departure above it counts.
        text: what departs, for sentences: "the level is off by {}".
        of: the departure of real from expected at a sample rate in Hz, 0 or more.
    """

    name: str
    unit: str
    tolerance: float
    text: str
    of: Callable[[Audio, Audio, float], float]


def _level(real: Audio, expected: Audio, rate: float) -> float:
    levels = [10.0 * np.log10(float(np.mean(s.astype(np.float64) ** 2)) + 1e-12) for s in (real, expected)]
    return float(abs(levels[0] - levels[1]))


def _loudness(real: Audio, expected: Audio, rate: float) -> float:
    levels = [max(float(loudness(s, rate).integrated), -70.0) for s in (real, expected)]
    return abs(levels[0] - levels[1])


def _spectrum(real: Audio, expected: Audio, rate: float) -> float:
    bands = CriticalBands(rate)
    with torch.no_grad():
        powers = [bands(torch.from_numpy(s)[None])[0].double().mean((0, 2)).numpy() for s in (real, expected)]
    floor = powers[1].max() * 10.0 ** (AUDIBLE_DB / 10.0) + 1e-14
    return float(np.abs(10.0 * np.log10((powers[0] + floor) / (powers[1] + floor))).max())


def _gain(real: Audio, expected: Audio, rate: float) -> float:
    size = max(int(WINDOW_S * rate), 1)
    levels = [window_levels_db(s, size) for s in (real, expected)]
    audible = levels[1] > max(float(levels[1].max(initial=FLOOR_DB)) + AUDIBLE_DB, FLOOR_DB)
    gaps = np.abs(levels[0] - levels[1])[audible]
    return float(np.percentile(gaps, MOST)) if gaps.size else 0.0


def _peak(real: Audio, expected: Audio, rate: float) -> float:
    peaks = [max(float(loudness(s, rate).true_peak_db), FLOOR_DB) for s in (real, expected)]
    return abs(peaks[0] - peaks[1])


def _audible(real: Audio, expected: Audio, rate: float) -> float:
    with torch.no_grad():
        return float(Masking(rate)(torch.from_numpy(real)[None], torch.from_numpy(expected)[None]))


def _artefacts(real: Audio, expected: Audio, rate: float) -> float:
    """Energy in cells of time and critical bands that have 12 dB more than they should, in dB above -40 dB of the sound."""
    bands = CriticalBands(rate)
    with torch.no_grad():
        cells = [bands(torch.from_numpy(s)[None])[0].double().mean(0).numpy() for s in (real, expected)]
    more = cells[0] > 16.0 * cells[1] + 1e-12
    share = float((cells[0] - cells[1])[more].sum()) / max(float(cells[1].sum()), 1e-20)
    return float(max(10.0 * np.log10(share + 1e-12) + 40.0, 0.0))


MEASURES = (
    Measure("level", "dB", 1.0, "the level is off by {}", _level),
    Measure("loudness", "LU", 1.0, "the loudness is off by {}", _loudness),
    Measure("spectrum", "dB", 2.0, "a critical band is off by {}", _spectrum),
    Measure("gain over time", "dB", 2.0, "the gain is off by {}", _gain),
    Measure("peak", "dB", 2.0, "the true peak is off by {}", _peak),
    Measure("audible error", "dB", 1.0, "one hears an error, {} above masking on average", _audible),
    Measure("artefacts", "dB", 6.0, "there is sound that does not belong there, {} more than -40 dB", _artefacts),
)
DECISIONS = Measure("decisions", "JND", 2.0, "what controllers drive is off by {}", lambda real, expected, rate: 0.0)
DISTORTION = Measure("distortion", "dB", 6.0, "harmonics of a tone are {} more", lambda real, expected, rate: 0.0)
ERROR = Measure("error", "dB", 6.0, "the error against the reference grows by {}", lambda real, expected, rate: 0.0)
