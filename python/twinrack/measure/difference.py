"""Levels of sounds, and of what lies between two of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def difference_db(a: npt.NDArray[np.floating[Any]], b: npt.NDArray[np.floating[Any]]) -> float:
    """The energy of the difference of two sounds, in dB of the second's, at least -200 dB; of two silent ones -200 dB.

    Args:
        a, b: (channels, frames).
    """
    error, size = (float(np.sum(z.astype(np.float64) ** 2)) for z in (a - b, b))
    return 10.0 * math.log10((error + 1e-20 * size + 1e-40) / (size + 1e-20))


def level_db(x: npt.NDArray[np.floating[Any]]) -> float:
    """The mean power of a sound in dBFS (of a constant 1), at least -200 dB.

    Args:
        x: (channels, frames).
    """
    return 10.0 * math.log10(float(np.mean(x.astype(np.float64) ** 2)) + 1e-20)


def harmonic_powers(y: npt.NDArray[np.floating[Any]], cycles: int, most: int) -> npt.NDArray[np.float64]:
    """The power of a tone and its harmonics, through a Hann window.

    Args:
        y: (frames,).
        cycles: of the tone, within the frames.
        most: the highest harmonic; 1 is the tone.

    Returns:
        (most,), the tone first; 0 for those above half the sample rate.
    """
    spectrum = np.abs(np.fft.rfft(y.astype(np.float64) * np.hanning(y.size))) ** 2
    return np.array([spectrum[max(n * cycles - 3, 0) : n * cycles + 4].sum() for n in range(1, most + 1)])
