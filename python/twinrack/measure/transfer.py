"""Gain over frequency from one sound to another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import Audio

Numbers = npt.NDArray[np.float64]

SHORT_S = 0.021
POINTS = 160
LOWEST_HZ, HIGHEST_HZ = 22.0, 21000.0
HALF_BAND = 2 ** (1 / 32)
SHORT_WINDOW = 4096
FAINT = 1e-5  # of the loudest window's power, below which a window counts less
WINDOW = 16384  # frames; shorter for short sounds
SHORTEST = 512
MOST_COHERENT = 0.9999
AUDIBLE = 1e-9  # of the loudest point
SURE = 1e-3


def window_frames(rate: float) -> int:
    """Frames of a window of about 21 ms: a power of two."""
    return 1 << max(round(math.log2(SHORT_S * rate)), 6)


def spectrum_over_time(x: npt.NDArray[np.floating], size: int, hop: int) -> Tensor:
    """Spectra of windows of `size` frames every `hop` frames, in the precision of x (channels, frames): (channels, windows,
    bins)."""
    sound = torch.from_numpy(np.ascontiguousarray(x))
    frames = sound.unfold(-1, size, hop) * torch.hann_window(size, dtype=sound.dtype)
    spectrum: Tensor = torch.fft.rfft(frames)
    return spectrum


def coherent_gain(x: Audio, y: Audio, rate: float, quiet: bool = False) -> tuple[Numbers, Numbers, Numbers]:
    """The linear part of what leads from `x` to `y`, averaged over time and channels.

    Args:
        x, y: (channels, frames), aligned.
        rate: Hz.
        quiet: let quiet windows count as much as loud ones, as what distorts is linear there.

    Returns:
        Frequencies in Hz, gains in dB, and how much each counts, (points,): by the coherence of the two sounds there.
    """
    size = WINDOW
    while size > SHORTEST and x.shape[1] < 2 * size:
        size //= 2
    if x.shape[1] < size:
        x, y = (np.pad(s, ((0, 0), (0, size - s.shape[1]))) for s in (x, y))
    if quiet:
        size = min(size, SHORT_WINDOW)
    a, b = (spectrum_over_time(np.asarray(s, np.float32), size, size // 4) for s in (x, y))
    if quiet:
        by_window = a.abs().square().sum((0, 2))
        scale = (by_window + FAINT * by_window.max()).rsqrt()[None, :, None]
        a, b = a * scale, b * scale
    cross = (a.conj() * b).sum((0, 1)).numpy()
    own, other = (np.asarray((s.abs() ** 2).sum((0, 1)).double()) for s in (a, b))
    magnitude = np.abs(cross) / np.maximum(own, 1e-30)
    coherence = np.abs(cross) ** 2 / np.maximum(own * other, 1e-30)
    hertz = np.fft.rfftfreq(size, 1.0 / rate)
    centres = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, 0.45 * rate), POINTS)
    low = np.searchsorted(hertz, centres / HALF_BAND)
    high = np.minimum(np.maximum(np.searchsorted(hertz, centres * HALF_BAND), low + 1), len(hertz))
    low = np.minimum(low, high - 1)

    def in_bands(values: Numbers) -> Numbers:
        sums = np.concatenate([[0.0], np.cumsum(values)])
        return np.asarray(sums[high] - sums[low])

    power = in_bands(own)
    safe = np.maximum(power, 1e-30)
    density = power / (high - low)
    gain = in_bands(own * 20.0 * np.log10(magnitude + 1e-12)) / safe
    together = (in_bands(own * coherence) / safe).clip(0.0, MOST_COHERENT)
    weight = np.sqrt(together / (1.0 - together + SURE)) * (density > AUDIBLE * density.max())
    at = np.where(power > 1e-29, in_bands(own * hertz) / safe, centres)
    return np.maximum(at, 1.0), gain, weight / max(float(weight.max()), 1e-30)


def spectra(xs: Sequence[Audio], ys: Sequence[Audio], rate: float) -> tuple[Numbers, Numbers, Numbers]:
    """As `coherent_gain`, over several pairs one after the other."""
    return coherent_gain(np.concatenate(list(xs), 1), np.concatenate(list(ys), 1), rate)


def gain_over_time(x_db: Tensor, y_db: Tensor, rounds: int = 6) -> Numbers:
    """The gain in each window that leads from one sound to another, without what differs between bands all the time.

    Args:
        x_db, y_db: levels in bands, (channels, windows, bands).

    Returns:
        (windows,) in dB, 0 on average.
    """
    difference = np.asarray((y_db - x_db).mean(0).double())
    quieter = np.asarray(torch.minimum(x_db, y_db).amax(0).double())
    weight = 10 ** (np.maximum(quieter - quieter.max(), -70.0) / 40.0)
    by_band = np.zeros(difference.shape[1])
    by_window = np.zeros(difference.shape[0])
    for _ in range(rounds):
        by_window = (weight * (difference - by_band)).sum(1) / weight.sum(1)
        by_band = (weight * (difference - by_window[:, None])).sum(0) / weight.sum(0)
    return by_window - np.average(by_window, weights=weight.sum(1))
