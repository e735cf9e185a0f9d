"""Distances between two recordings: the losses that training lowers and the figures that people read."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import auraloss
import numpy as np
import torch
from torch import Tensor

from ..audio import Audio
from .window_levels import window_levels_db

FFT_SIZES = (512, 2048, 8192)
STFT_LIMIT = 1e-8


def stft_loss(y: Tensor, target: Tensor) -> Tensor:
    """Multi-resolution STFT distance, by auraloss: spectral convergence and log magnitude (R. Yamamoto, E. Song, J.-M. Kim,
    Parallel WaveGAN, ICASSP 2020).

    Args:
        y, target: (batch, channels, time).
    """
    sizes = [size for size in FFT_SIZES if size <= y.shape[-1]] or [FFT_SIZES[0]]
    loss = auraloss.freq.MultiResolutionSTFTLoss(
        fft_sizes=sizes, hop_sizes=[s // 2 for s in sizes], win_lengths=sizes, eps=STFT_LIMIT
    )
    distance: Tensor = loss(y, target)
    return distance


def waveform_loss(y: Tensor, target: Tensor) -> Tensor:
    """Norm of the difference over norm of the target: 1 for silence, 0 for a match, and steep until there."""
    difference = torch.linalg.vector_norm(y - target)
    relative: Tensor = difference / torch.linalg.vector_norm(target).clamp(min=1e-9)
    return relative


@dataclass(frozen=True)
class Distances:
    """Between a result and its target, over held-out audio.

    `error_db`: energy of the difference relative to the target. `stft`: multi-resolution STFT distance. `level_db`: mean
    difference of the level in 100 ms windows where the target is above -60 dBFS.
    """

    error_db: float
    stft: float
    level_db: float

    def __str__(self) -> str:
        return f"{self.error_db:6.1f} dB error, {self.stft:.3f} STFT, {self.level_db:.2f} dB level"

    def to_json(self) -> dict[str, float]:
        return {name: round(value, 6) for name, value in asdict(self).items()}


def distances(pieces: list[tuple[Audio, Audio]], rate: float) -> Distances:
    """Distances over pieces of (result, target), each (channels, frames)."""
    error = sum(float(np.sum((y - t).astype(np.float64) ** 2)) for y, t in pieces)
    energy = sum(float(np.sum(t.astype(np.float64) ** 2)) for _, t in pieces)
    error_db = 10 * np.log10(max(error, 1e-30) / max(energy, 1e-30))
    with torch.no_grad():
        weights = [t.shape[1] for _, t in pieces]
        losses = [float(stft_loss(torch.from_numpy(y)[None], torch.from_numpy(t)[None])) for y, t in pieces]
    gaps = np.concatenate([_level_gaps(y, t, rate) for y, t in pieces])
    return Distances(
        float(np.clip(error_db, -300, 300)),
        float(np.average(losses, weights=weights)),
        float(np.mean(gaps)) if gaps.size else 0.0,
    )


def _level_gaps(y: Audio, t: Audio, rate: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    size = int(0.1 * rate)
    target = window_levels_db(t, size)
    return np.asarray(np.abs(window_levels_db(y, size) - target)[target > -60])
