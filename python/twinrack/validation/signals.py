"""Controlled signals: sounds whose every property is known, so that what an effect does to them can be compared with theory.

All are float32 of shape (channels, frames) with the same sound in every channel. A level is that of a sine with this peak, in
dBFS, so a tone of 0 dBFS just reaches full scale; noise has the mean square of such a sine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr

from ..audio import Audio
from ..rack.rack import Rack, silent_keys

SEED = 20260101


def _planar(x: np.ndarray[tuple[int], np.dtype[np.float64]], channels: int) -> Audio:
    return np.ascontiguousarray(np.broadcast_to(x, (channels, x.size)), np.float32)


def _amplitude(level_dbfs: float) -> float:
    return float(10.0 ** (level_dbfs / 20.0))


def whole_cycles_hz(frequency_hz: float, frames: int, sample_rate: float) -> float:
    """The frequency nearest to one in Hz of which an odd number of cycles fills so many frames, so that no window is needed."""
    cycles = max(int(round(frequency_hz * frames / sample_rate - 1.0) // 2 * 2 + 1), 1)
    return cycles * sample_rate / frames


def tones(frequencies_hz: Sequence[float], level_dbfs: float, seconds: float, sample_rate: float, channels: int = 1) -> Audio:
    """The sum of sines, each with the level in dBFS less that of their number, so that their sum stays below it."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    each = _amplitude(level_dbfs) / len(frequencies_hz)
    return _planar(np.sum([each * np.sin(2.0 * np.pi * f * t + i) for i, f in enumerate(frequencies_hz)], 0), channels)


def steps(levels_dbfs: Sequence[float], seconds_each: float, sample_rate: float, channels: int = 1) -> Audio:
    """A constant at one level after the other: to a detector a constant is its own level, without ripple."""
    return _planar(np.repeat([_amplitude(v) for v in levels_dbfs], round(seconds_each * sample_rate)), channels)


def bursts(
    frequency_hz: float, levels_dbfs: Sequence[float], seconds_each: float, sample_rate: float, channels: int = 1
) -> Audio:
    """A sine at one level after the other."""
    frames = round(seconds_each * sample_rate)
    envelope = np.repeat([_amplitude(v) for v in levels_dbfs], frames)
    return _planar(envelope * np.sin(2.0 * np.pi * frequency_hz * np.arange(envelope.size) / sample_rate), channels)


def sweep(seconds: float, sample_rate: float, level_dbfs: float = -12.0, low_hz: float = 20.0, channels: int = 1) -> Audio:
    """A sine whose frequency grows exponentially from `low_hz` to 0.45 of the sample rate (A. Farina, AES 108, 2000)."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    rate = np.log(0.45 * sample_rate / low_hz)
    phase = 2.0 * np.pi * low_hz * seconds / rate * np.expm1(t / seconds * rate)
    return _planar(_amplitude(level_dbfs) * np.sin(phase), channels)


def impulse(seconds: float, sample_rate: float, level_dbfs: float = 0.0, channels: int = 1) -> Audio:
    """One frame at a level, then silence."""
    x = np.zeros(round(seconds * sample_rate))
    x[0] = _amplitude(level_dbfs)
    return _planar(x, channels)


def noise(
    seconds: float, sample_rate: float, level_dbfs: float = -20.0, pink: bool = False, channels: int = 1, seed: int = SEED
) -> Audio:
    """White noise, or pink noise: -3 dB an octave from 20 Hz on; the same in every channel."""
    frames = round(seconds * sample_rate)
    x = np.random.default_rng(seed).standard_normal(frames)
    if pink:
        spectrum = np.fft.rfft(x)
        hertz = np.fft.rfftfreq(frames, 1.0 / sample_rate)
        x = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 20.0)) * (hertz > 0.0), frames)
    x *= _amplitude(level_dbfs) / np.sqrt(2.0 * np.mean(x**2))
    return _planar(x, channels)


def constant(seconds: float, sample_rate: float, level_dbfs: float = -12.0, channels: int = 1) -> Audio:
    """Direct current."""
    return _planar(np.full(round(seconds * sample_rate), _amplitude(level_dbfs)), channels)


def between_samples(seconds: float, sample_rate: float, level_dbfs: float = 0.0, channels: int = 1) -> Audio:
    """A tone at a quarter of the sample rate, sampled 45 degrees beside its peaks: they lie 3 dB above every sample."""
    t = np.arange(round(seconds * sample_rate))
    return _planar(_amplitude(level_dbfs) * np.sign(np.sin(0.5 * np.pi * (t + 0.5))), channels)


def passed_through(rack: Rack, x: Audio, sample_rate: float) -> Audio:
    """The output of a copy of a rack, with silence for every sidechain."""
    return np.asarray(rack.copy()(x, sample_rate, sidechain=silent_keys(rack, x)))


def resampled(x: Audio, from_rate: float, to_rate: float) -> Audio:
    """A sound (channels, frames) at another sample rate in Hz."""
    return np.ascontiguousarray(soxr.resample(x.T, from_rate, to_rate).T, np.float32)
