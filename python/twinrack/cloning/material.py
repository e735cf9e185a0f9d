"""Sound to learn a processor from where nobody gives recordings: every level, every frequency, onsets, tails and pauses."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..audio import Audio

Numbers = np.ndarray[Any, np.dtype[np.float64]]

LEVELS_DB = (-24.0, -10.0, -1.0)  # peaks of the three passages
SECONDS_EACH = 5.0


def material(sample_rate: float, channels: int = 2, seed: int = 1) -> Audio:
    """Plucked notes, drums and voice-like noise in three passages that grow louder: 15 s, (channels, frames)."""
    rng, frames = np.random.default_rng(seed), round(SECONDS_EACH * sample_rate)
    passages = []
    for level in LEVELS_DB:
        x = _notes(rng, frames, sample_rate, channels) + _drums(rng, frames, sample_rate, channels)
        x += 0.5 * _voice(rng, frames, sample_rate, channels)
        x *= 10.0 ** (level / 20.0) / np.max(np.abs(x))
        passages.append(x)
    return np.ascontiguousarray(np.concatenate(passages, 1), np.float32)


def _notes(rng: np.random.Generator, frames: int, rate: float, channels: int) -> Numbers:
    x = np.zeros((channels, frames))
    for start in np.sort(rng.uniform(0.0, 0.9, 14)):
        at = int(start * frames)
        t = np.arange(min(frames - at, int(1.2 * rate))) / rate
        pitch = 55.0 * 2.0 ** (rng.integers(0, 48) / 12.0)
        partials = [k for k in range(1, 20) if k * pitch < 0.45 * rate]
        note = sum(np.sin(2 * np.pi * k * pitch * t + rng.uniform(0, 6)) * np.exp(-t * (2.0 + 1.5 * k)) / k for k in partials)
        pan = rng.uniform(0.3, 1.0, (channels, 1))
        x[:, at : at + t.size] += pan * rng.uniform(0.3, 1.0) * note * np.minimum(t / 0.002, 1.0)
    return x


def _drums(rng: np.random.Generator, frames: int, rate: float, channels: int) -> Numbers:
    x = np.zeros((channels, frames))
    for beat in range(int(frames / rate / 0.5)):
        at = int((0.5 * beat + 0.01 * rng.random()) * rate)
        t = np.arange(min(frames - at, int(0.3 * rate))) / rate
        if beat % 2:
            hit = rng.standard_normal((channels, t.size)) * np.exp(-t / 0.04)
        else:
            hit = np.broadcast_to(
                np.sin(2 * np.pi * (50.0 * t + 4.0 * (1 - np.exp(-t / 0.02)))) * np.exp(-t / 0.08), (channels, t.size)
            )
        x[:, at : at + t.size] += 0.8 * hit
    return x


def _voice(rng: np.random.Generator, frames: int, rate: float, channels: int) -> Numbers:
    """Noise in formants that comes in syllables, with a pause."""
    hertz = np.fft.rfftfreq(frames, 1.0 / rate)
    formants: Numbers = np.zeros_like(hertz)
    for centre, width in ((500.0, 150.0), (1500.0, 250.0), (3000.0, 500.0), (7000.0, 1500.0)):
        formants += np.exp(-0.5 * ((hertz - centre) / width) ** 2)
    x = np.fft.irfft(np.fft.rfft(rng.standard_normal((channels, frames))) * formants, frames)
    t = np.arange(frames) / rate
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t + rng.uniform(0, 6)), 0, 1) * (np.abs(t / t[-1] - 0.5) > 0.06)
    voice: Numbers = x / np.max(np.abs(x)) * syllables
    return voice
