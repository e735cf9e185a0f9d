"""Beginnings of recordings in which the processor still moved to its settings, as plugins do when they start."""

from __future__ import annotations

import numpy as np

from ...audio import Audio

LONGEST_S, WINDOW_S = 0.5, 0.02
LEAST_S = 4.0  # of a recording
ABOVE = 10.0  # times the error of the rest, relative to the target
LEAST_ERROR = 0.02  # of the target's energy
LOUDER = 2.0  # times the loudest of the rest: a beginning beyond it may show what nothing else does
SHARE = 0.75  # of all the error
USUAL_S = 0.35  # that analyses of a spectrum can do without
LITTLE = 0.25  # of the energy, that may be left out


def moves_until(played: Audio, wet: Audio, rate: float) -> int:
    """The frame until which two sounds are much farther from each other than after it; 0 where there is no such frame.

    Args:
        played, wet: (channels, frames) of a result that is near, and of the target.
        rate: Hz.
    """
    if wet.shape[1] < LEAST_S * rate:
        return 0
    size = int(WINDOW_S * rate)
    count = wet.shape[1] // size

    def powers(x: Audio) -> np.ndarray:
        parts = x[:, : count * size].astype(np.float64).reshape(len(x), count, size)
        return np.asarray(np.square(parts).sum((0, 2)))

    error, target = powers(wet - played), powers(wet)
    longest = round(LONGEST_S / WINDOW_S)
    rest = error[longest:].sum() / max(target[longest:].sum(), 1e-30)
    far = np.flatnonzero(error[:longest] > ABOVE * rest * np.maximum(target[:longest], target.mean()))
    if not far.size:
        return 0
    end = int(far[-1]) + 1
    moved = error[:end].sum() > max(SHARE * error.sum(), LEAST_ERROR * target[:end].sum())
    usual = target[:end].sum() < LITTLE * target.sum() and target[:end].max() < LOUDER * target[end:].max()
    return (end + 1) * size if moved and usual and end < longest else 0


def without_beginning(played: Audio, wet: Audio, rate: float) -> tuple[Audio, Audio]:
    """Two sounds without what plugins usually need to come to their settings, where there is sound enough after it."""
    first = int(USUAL_S * rate)
    energy = np.square(played.astype(np.float64)).sum(0)
    if wet.shape[1] < LEAST_S * rate or energy[:first].sum() > LITTLE * energy.sum():
        return played, wet
    return played[:, first:], wet[:, first:]
