"""Filters as impulse responses: a curve of gains over frequency, of minimum phase by the folded cepstrum; a recursion.

A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, 3rd ed., Pearson 2010, ch. 13.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SECONDS = 1.4  # of the response at most: four times Equalizer APO's at 48 kHz, so that bends at 20 Hz are as sharp as written
FADE = 0.25  # of it, at its end
SILENT = 1e-7  # of its peak, where it ends
LOWEST_DB, HIGHEST_DB = -100.0, 100.0
LONGEST_FRAMES = 1 << 18
LARGEST_COEFFICIENT = 1e9
_OVERSIZE = 4  # of the transform, so that what is folded in time does not matter
Array = npt.NDArray[np.float64]


def gains_at(nodes: Sequence[tuple[float, float]], frequencies: Array) -> Array:
    """dB at frequencies: straight lines over the logarithm of frequency between the nodes (Hz, dB), level beyond them."""
    hz, db = np.array(nodes, dtype=np.float64).T
    gains: Array = np.interp(np.log(np.maximum(frequencies, 1e-3)), np.log(hz), db)
    return gains


def minimum_phase(curves: Sequence[Sequence[tuple[float, float]]], sample_rate: float) -> npt.NDArray[np.float32]:
    """The impulse response, (frames,), of curves one after the other.

    Args:
        curves: nodes (Hz, dB), lowest first.
        sample_rate: Hz at which it is used.

    Raises:
        ValueError: they add up to more than HIGHEST_DB.
    """
    frames = round(SECONDS * sample_rate)
    size = 1 << (_OVERSIZE * frames - 1).bit_length()
    frequencies: Array = np.fft.rfftfreq(size, 1.0 / sample_rate).astype(np.float64)
    db = np.sum([gains_at(nodes, frequencies) for nodes in curves], axis=0)
    if np.max(db) > HIGHEST_DB:
        raise ValueError(f"its GraphicEQ lines add up to {np.max(db):.6g} dB; up to {HIGHEST_DB:g} dB can be played")
    cepstrum = np.fft.irfft(np.maximum(db, LOWEST_DB) * (np.log(10.0) / 20.0))
    cepstrum[1 : size // 2] *= 2.0
    cepstrum[size // 2 + 1 :] = 0.0
    response = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))[:frames]
    fade = round(FADE * frames)
    response[-fade:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fade + 1) / (fade + 1))
    audible = np.flatnonzero(np.abs(response) > SILENT * np.max(np.abs(response)))
    trimmed: npt.NDArray[np.float32] = response[: audible[-1] + 1].astype(np.float32)
    return trimmed


def recursion(numerator: Sequence[float], denominator: Sequence[float]) -> npt.NDArray[np.float32]:
    """The impulse response, (frames,), of a recursive filter until it is below SILENT of its peak.

    Raises:
        ValueError: it is not stable, or rings for longer than LONGEST_FRAMES.
    """
    b, a = np.array(numerator), np.array(denominator)
    if a[0] == 0.0 or not b.any():
        raise ValueError("its first coefficient a0, or all of its b, are 0")
    with np.errstate(all="ignore"):
        b, a = b / a[0], a / a[0]
    if not (1.0 / LARGEST_COEFFICIENT < np.max(np.abs(b)) < LARGEST_COEFFICIENT and np.max(np.abs(a)) < LARGEST_COEFFICIENT):
        raise ValueError("its coefficients are beyond all bounds")
    slowest = float(np.max(np.abs(np.roots(a)), initial=0.0))
    if slowest >= 1.0 or slowest**LONGEST_FRAMES > SILENT:
        raise ValueError("it is not stable, or rings for too long")
    response = np.fft.irfft(np.fft.rfft(b, 2 * LONGEST_FRAMES) / np.fft.rfft(a, 2 * LONGEST_FRAMES))[:LONGEST_FRAMES]
    audible = np.flatnonzero(np.abs(response) > SILENT * np.max(np.abs(response)))
    trimmed: npt.NDArray[np.float32] = response[: audible[-1] + 1].astype(np.float32)
    return trimmed
