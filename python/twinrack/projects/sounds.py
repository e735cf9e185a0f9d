"""Sounds made here, so that a demo or a new project runs before anybody has recorded anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..audio import Audio

Numbers = np.ndarray[Any, np.dtype[np.float64]]
RATE = 48000
SECONDS = 6.0
FORMANTS_HZ = ((700.0, 1220.0, 2600.0), (300.0, 870.0, 2240.0), (530.0, 1840.0, 2480.0), (270.0, 2290.0, 3010.0))


def performance(seconds: float = SECONDS, rate: float = RATE, seed: int = 7) -> Audio:
    """A short performance, made here: drums, a plucked bass and chords; (2, frames), peak -6 dBFS.

    Args:
        seconds: length; rate: Hz; seed: of the noise and of small irregularities in time and level.
    """
    rng = np.random.default_rng(seed)
    frames = int(seconds * rate)
    out = np.zeros((2, frames))
    beat = 60.0 / 104.0

    def add(start: float, sound: Numbers, level: float, pan: float) -> None:
        at = int((start + rng.uniform(0, 0.004)) * rate)
        part = sound[: max(frames - at, 0)] * level * rng.uniform(0.7, 1.0)
        out[0, at : at + part.size] += part * np.cos(pan * np.pi / 2)
        out[1, at : at + part.size] += part * np.sin(pan * np.pi / 2)

    def time_of(length: float) -> Numbers:
        return np.arange(int(length * rate)) / rate

    def kick() -> Numbers:
        t = time_of(0.4)
        return np.sin(2 * np.pi * (48 * t + 5.5 * (1 - np.exp(-t * 38)))) * np.exp(-t * 9)

    def snare() -> Numbers:
        t = time_of(0.3)
        return 0.6 * rng.standard_normal(t.size) * np.exp(-t * 19) + 0.5 * np.sin(2 * np.pi * 190 * t) * np.exp(-t * 24)

    def hat() -> Numbers:
        t = time_of(0.09)
        return np.diff(rng.standard_normal(t.size + 1)) * np.exp(-t * 60) * 0.5

    def pluck(f: float, length: float) -> Numbers:
        t = time_of(length)
        partials = [
            np.sin(2 * np.pi * f * k * t) * np.exp(-t * (2.2 + 1.3 * k)) / k for k in range(1, 9) if f * k < 0.45 * rate
        ]
        whole: Numbers = np.sum(partials, axis=0) * np.minimum(t * 300, 1)
        return whole

    roots = (55.0, 65.41, 49.0, 73.42)
    for n in range(int(seconds / beat) + 1):
        root = roots[n // 4 % 4]
        if n % 4 in (0, 2):
            add(n * beat, kick(), 0.9, 0.5)
        if n % 4 in (1, 3):
            add(n * beat, snare(), 0.6, 0.55)
        for half in range(2):
            add((n + half / 2) * beat, hat(), 0.25, 0.65)
        add(n * beat, pluck(root, 0.5), 0.5, 0.45)
        if n % 2 == 0:
            for k, ratio in enumerate((4.0, 4.757, 5.993)):
                add((n + 0.5) * beat, pluck(root * ratio, 1.0), 0.22, 0.25 + 0.25 * k)
    performance: Audio = (out * (0.5 / np.max(np.abs(out)))).astype(np.float32)
    return performance


def voice(seconds: float = SECONDS, rate: float = RATE, seed: int = 3, hertz: float = 120.0) -> Audio:
    """Something like speech: vowels and hisses in syllables with pauses, loud and quiet; (1, frames), peak -6 dBFS.

    Args:
        seconds: length; rate: Hz; seed: of syllables, pitch and noise.
        hertz: mean pitch.
    """
    rng, frames = np.random.default_rng(seed), int(seconds * rate)
    out = np.zeros(frames)
    at = 0.1
    while at < seconds - 0.3:
        length = rng.uniform(0.12, 0.3)
        t = np.arange(int(length * rate)) / rate
        envelope = np.minimum(t / 0.02, 1.0) * np.minimum((length - t) / 0.05, 1.0)
        pitch = hertz * rng.uniform(0.85, 1.2) * (1.0 - 0.1 * t / length)
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        vowel = np.zeros(t.size)
        formants = FORMANTS_HZ[rng.integers(len(FORMANTS_HZ))]
        for k in range(1, int(4000.0 / hertz)):
            gain = sum(1.0 / (1.0 + ((k * hertz - f) / (60.0 + 0.06 * f)) ** 2) for f in formants)
            vowel += gain * np.sin(k * phase)
        hiss = np.diff(rng.standard_normal(int(0.07 * rate) + 1))
        hiss *= np.hanning(hiss.size) * 0.25 * (rng.random() < 0.5)
        level = rng.uniform(0.25, 1.0)
        start = int(at * rate)
        for sound, place in ((vowel / np.max(np.abs(vowel)) * envelope, start), (hiss, start - hiss.size // 2)):
            place = max(place, 0)
            part = sound[: frames - place]
            out[place : place + part.size] += level * part
        at += length + (rng.uniform(0.4, 0.7) if rng.random() < 0.2 else rng.uniform(0.02, 0.08))
    return np.asarray(out[None] * (0.5 / np.max(np.abs(out))), np.float32)


def guitar(seconds: float = SECONDS, rate: float = RATE, seed: int = 5) -> Audio:
    """A plucked string without an amplifier (K. Karplus, A. Strong, 1983); (1, frames), peak -6 dBFS."""
    rng, frames = np.random.default_rng(seed), int(seconds * rate)
    out = np.zeros(frames)
    notes = 82.41 * 2.0 ** (np.array([0, 7, 12, 10, 7, 3, 5, 0]) / 12.0)
    for n in range(int(seconds / 0.35)):
        period = round(rate / notes[n % notes.size])
        line = rng.uniform(-1.0, 1.0, period)
        start, length = int(0.35 * n * rate), int(min(1.2, seconds - 0.35 * n) * rate)
        string = np.empty(-(-length // period) * period)
        for i in range(0, string.size, period):
            string[i : i + period] = line
            line = 0.4985 * (line + np.roll(line, 1))
        part = string[: frames - start][:length]
        out[start : start + part.size] += part * rng.uniform(0.4, 1.0) * np.minimum(np.arange(part.size)[::-1] / 500.0, 1.0)
    return np.asarray(out[None] * (0.5 / np.max(np.abs(out))), np.float32)
