"""What the workers of a comparison read: sounds and impulse responses, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

RATE = 48000
FRAMES = RATE  # with what comes out of it, still in the second cache


def save(x: np.ndarray, path: Path) -> Path:
    """Raw float32, one channel after the other."""
    x.astype(np.float32).tofile(path)
    return path


def noise(folder: Path) -> Path:
    """White noise at -14 dBFS: never silent, so nothing goes to sleep."""
    return save(0.2 * np.random.default_rng(0).standard_normal((2, FRAMES)), folder / "noise.f32")


def bursts(folder: Path) -> Path:
    """The same noise, 40 dB down for every other half second, so that a gate opens and closes."""
    level = np.where(np.arange(FRAMES) // (RATE // 2) % 2 == 0, 0.2, 0.002)
    return save(level * np.random.default_rng(0).standard_normal((2, FRAMES)), folder / "bursts.f32")


def impulse(folder: Path, seconds: float) -> Path:
    """Noise that falls by 60 dB over its length."""
    frames = int(seconds * RATE)
    decay = 10 ** (-3 * np.arange(frames) / frames)
    return save(0.02 * np.random.default_rng(1).standard_normal((2, frames)) * decay, folder / f"impulse_{seconds:g}.f32")
