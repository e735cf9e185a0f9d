"""Figures of impulse responses, as rooms and reverbs are judged by: decay, echo density, modes, flatness, correlation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
OCTAVES_HZ = (62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)


def energy_decay_db(h: npt.NDArray[Any]) -> Numbers:
    """Remaining energy at each frame, relative to all of it, in dB (M. R. Schroeder, New Method of Measuring Reverberation
    Time, JASA 37, 1965).

    Args:
        h: impulse response, (channels, frames) or (frames,).
    """
    power = np.atleast_2d(np.asarray(h, np.float64)) ** 2
    energy = np.cumsum(power.sum(0)[::-1])[::-1]
    level: Numbers = 10 * np.log10(energy / max(energy[0], 1e-300) + 1e-15)
    return level


def rt60(h: npt.NDArray[Any], sample_rate: float, start_db: float = -5.0, end_db: float = -35.0) -> float:
    """Seconds in which the level falls by 60 dB, from the slope of the energy decay between two levels.

    Args:
        h: impulse response, (channels, frames) or (frames,).

    Returns:
        Infinite where it does not fall, NaN where it never comes between the levels.
    """
    level = energy_decay_db(h)
    inside = np.flatnonzero((level < start_db) & (level > end_db))
    if inside.size < 2:
        return float("nan")
    slope = np.polyfit(inside / sample_rate, level[inside], 1)[0]
    return float(-60 / slope) if slope < 0 else float("inf")


def decay_in_bands(h: npt.NDArray[Any], sample_rate: float) -> dict[float, float]:
    """Seconds in which the level falls by 60 dB in each octave from 62.5 Hz to below half the sample rate, by its centre in Hz.

    Read between -5 and -25 dB. NaN where the response ends before, infinite where it does not fall.

    Args:
        h: impulse response, (channels, frames) or (frames,).
    """
    h = np.atleast_2d(np.asarray(h, np.float64))
    size = 2 * h.shape[1]
    spectrum_of_h = np.fft.rfft(h, size)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1.0 / sample_rate), 1e-3))
    decays = {}
    for centre in OCTAVES_HZ:
        if centre * np.sqrt(2.0) > 0.5 * sample_rate:
            break
        away = np.abs(octaves - np.log2(centre))
        band = np.where(away < 1.0, np.cos(0.5 * np.pi * away.clip(0.0, 1.0)), 0.0)
        decays[centre] = rt60(np.fft.irfft(spectrum_of_h * band, size)[:, : h.shape[1]], sample_rate, -5.0, -25.0)
    return decays


def echo_density(h: npt.NDArray[Any], sample_rate: float, until_s: float = 0.4) -> tuple[Numbers, Numbers]:
    """Fraction of samples outside one standard deviation in 20 ms windows: 1 for Gaussian noise (J. S. Abel and P. Huang,
    A Simple, Robust Measure of Reverberation Echo Density, AES Convention 121, 2006).

    Args:
        h: impulse response, (frames,).

    Returns:
        Times of the windows' centres in seconds, and the density.
    """
    size = int(0.02 * sample_rate)
    weight = np.hanning(size)
    weight /= weight.sum()
    starts = np.arange(0, min(int(until_s * sample_rate), len(h) - size), max(1, int(0.002 * sample_rate)))
    density = []
    for start in starts:
        part = np.asarray(h[start : start + size], np.float64)
        sigma = np.sqrt(np.sum(weight * part**2))
        density.append(np.sum(weight * (np.abs(part) > sigma)) / 0.3173)
    return np.asarray((starts + size / 2) / sample_rate, np.float64), np.array(density, np.float64)


def dense_after_s(h: npt.NDArray[Any], sample_rate: float, density: float = 0.9) -> float:
    """When the echo density first reaches `density`; infinite where it does not."""
    t, densities = echo_density(h, sample_rate)
    return float(t[np.argmax(densities >= density)]) if np.any(densities >= density) else float("inf")


def spectrum(x: npt.NDArray[Any], sample_rate: float, size: int = 16384) -> tuple[Numbers, Numbers]:
    """Mean power spectrum over half-overlapping Hann windows (Welch 1967): frequencies in Hz, power (channels, bins)."""
    x = np.atleast_2d(np.asarray(x, np.float64))
    frames = np.lib.stride_tricks.sliding_window_view(x, size, axis=1)[:, :: size // 2]
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(size), axis=-1)) ** 2, axis=1)
    return np.asarray(np.fft.rfftfreq(size, 1 / sample_rate), np.float64), np.asarray(power, np.float64)


def highest_mode_db(tail: npt.NDArray[Any], sample_rate: float, low_hz: float = 100, high_hz: float = 10000) -> float:
    """How far the most prominent frequency stands above the mean of its sixth-octave neighbourhood, in dB.

    Args:
        tail: late part of a response with the decay taken out, (channels, frames).
    """
    f, power = spectrum(tail, sample_rate)
    worst = 0.0
    for centre in np.geomspace(low_hz, high_hz, 80):
        near = (f > centre / 2 ** (1 / 12)) & (f < centre * 2 ** (1 / 12))
        if np.any(near):
            worst = max(worst, float(np.max(10 * np.log10(power[:, near].max(1) / power[:, near].mean(1)))))
    return worst


def flatness_db(tail: npt.NDArray[Any], sample_rate: float, low_hz: float = 300, high_hz: float = 3000) -> float:
    """Geometric over arithmetic mean of the power spectrum, in dB; about -1 for noise over a second, lower where modes ring."""
    f, power = spectrum(tail, sample_rate)
    inside = power[:, (f > low_hz) & (f < high_hz)].mean(0)
    return float(10 * np.log10(np.exp(np.mean(np.log(inside))) / np.mean(inside)))


def reverb_figures(h: npt.NDArray[Any], sample_rate: float, decay_s: float) -> dict[str, float]:
    """The figures of a stereo impulse response, its late tail taken from 0.2 to 1.2 s.

    Args:
        h: (2, frames), at least 1.2 s. decay_s: the RT60 that is taken out of the tail.

    Returns:
        dense_after_s, highest_mode_db, flatness_db, correlation of the two channels.
    """
    tail = h[:, int(0.2 * sample_rate) : int(1.2 * sample_rate)]
    flat = tail * 10 ** (3 * np.arange(tail.shape[1]) / sample_rate / decay_s)
    return {
        "dense_after_s": dense_after_s(h[0], sample_rate),
        "highest_mode_db": highest_mode_db(flat, sample_rate),
        "flatness_db": flatness_db(flat[:1], sample_rate),
        "correlation": float(np.corrcoef(tail)[0, 1]),
    }
