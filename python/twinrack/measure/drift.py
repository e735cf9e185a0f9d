"""Drift of a fit: three figures of held-out audio beside the loss, each of which a loss may overlook.

- *spectrum*: how the energy is spread over third octaves, whatever the level: the root mean square difference in dB over the
  bands that matter (within 50 dB of the loudest).
- *phase*: the share of the energy whose phase is the target's: the sum of |Y||X| cos(difference) over that of |Y||X|.
- *envelope*: how the level moves from 10 ms to 10 ms, whatever its mean: the root mean square difference in dB where the target
  is within 50 dB of its loudest. Pumping and smearing show here.

A figure that is clearly worse than at its best, in two checks one after the other, is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from .window_levels import window_levels_db

FFT, HOP_S = 4096, 0.010
MATTERS_DB = 50.0
# By how much each may become worse, and in what direction worse lies.
LIMITS = {"spectrum": (1.5, 1.0), "phase": (0.1, -1.0), "envelope": (1.5, 1.0)}
UNITS = {"spectrum": "dB off the target's", "phase": "of the energy in phase", "envelope": "dB off the target's"}
ADVICE = {
    "spectrum": "add losses.LogSpectrum() or losses.STFT()",
    "phase": "add losses.Waveform()",
    "envelope": "add losses.Envelope() or losses.STFT()",
}


def figures(pieces: list[tuple[Audio, Audio]], rate: float) -> dict[str, float]:
    """The three figures over pieces of (result, target), each (channels, frames)."""
    bands = np.zeros((2, 0))
    together = apart = 0.0
    gaps: list[npt.NDArray[np.float64]] = []
    for y, t in pieces:
        ffts = [_frames(x) for x in (y, t)]
        energy = np.stack([_third_octaves((np.abs(f) ** 2).sum((0, 1)), rate) for f in ffts])
        bands = bands + energy if bands.size else energy
        cross = ffts[0] * np.conj(ffts[1])
        together += float(cross.real.sum())
        apart += float(np.abs(cross).sum())
        levels = [_levels(x, rate) for x in (y, t)]
        matters = levels[1] > levels[1].max() - MATTERS_DB if levels[1].size else np.zeros(0, bool)
        gaps.append((levels[0] - levels[1])[matters])
    decibels = 10.0 * np.log10(bands + 1e-12)
    matters = decibels[1] > decibels[1].max() - MATTERS_DB
    gap, moves = (decibels[0] - decibels[1])[matters], np.concatenate(gaps)
    return {
        "spectrum": float(np.std(gap)),
        "phase": together / apart if apart > 0.0 else 1.0,
        "envelope": float(np.std(moves)) if moves.size else 0.0,
    }


def _frames(x: Audio) -> npt.NDArray[np.complex128]:
    """(channels, frames, bins)"""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, max(0, FFT - x.shape[1]))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, FFT, 1)[:, :: FFT // 2]
    return np.asarray(np.fft.rfft(windows * np.hanning(FFT)))


def _third_octaves(power: npt.NDArray[np.float64], rate: float) -> npt.NDArray[np.float64]:
    hertz = np.fft.rfftfreq(FFT, 1.0 / rate)
    edges = 1000.0 * 2.0 ** ((np.arange(-14, 14) - 0.5) / 3.0)  # 40 Hz to 20 kHz; below, the bins are too wide
    return np.asarray([power[(hertz >= a) & (hertz < b)].sum() for a, b in pairwise(edges)])


def _levels(x: Audio, rate: float) -> npt.NDArray[np.float64]:
    return window_levels_db(x, max(1, int(HOP_S * rate)))


@dataclass
class Drift:
    """Watches the figures from check to check."""

    best: dict[str, tuple[float, int]] = field(default_factory=dict)  # value and step
    suspected: set[str] = field(default_factory=set)
    reported: dict[str, str] = field(default_factory=dict)

    def check(self, step: int, now: dict[str, float]) -> list[str]:
        """Sentences to report after this check: each figure once, when it has been clearly worse twice."""
        sentences = []
        for name, value in now.items():
            limit, sign = LIMITS[name]
            best, when = self.best.setdefault(name, (value, step))
            if sign * value < sign * best:
                self.best[name] = (value, step)
            if sign * (value - best) <= limit:
                self.suspected.discard(name)
            elif name not in self.suspected:
                self.suspected.add(name)
            elif name not in self.reported:
                sentence = f"the {name} drifts: {value:.2f} {UNITS[name]} at step {step}, {best:.2f} at step {when}"
                self.reported[name] = f"{sentence}; {ADVICE[name]}, or lower the learning rate"
                sentences.append(self.reported[name])
        return sentences
