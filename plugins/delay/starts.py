"""Start values of a delay: from the response of dry to wet, in which the repeats stand as peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.starts import Numbers, Values, alone

NOISE = 1e-4  # of the dry sound's power, below which nothing is divided
LONGEST_S = 60.0  # of a recording, that are looked at
AROUND_S = 0.0005  # frames that belong to a repeat
REPEAT_S = 0.002  # to both sides of a repeat, what belongs to it
LOW_HZ, HIGH_HZ = 150.0, 9000.0  # where its shape is read
CLEAR = 4.0  # a repeat stands so far above the noise of the response


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    pair = max(pairs, key=lambda p: p.dry.shape[1])
    p = effect.card.addresses["time_ms"]
    longest = int(LONGEST_S * rate)
    responses = [response(pair.dry[c, :longest], pair.wet[c, :longest]) for c in range(min(pair.dry.shape[0], 2))]
    repeats = [_repeat(h, p.min * 1e-3 * rate, p.max * 1e-3 * rate, rate) for h in responses]
    if not repeats or repeats[0] is None:
        return []
    first, around = repeats[0], round(AROUND_S * rate)
    values = {"time_ms": 1e3 * first / rate}
    if len(repeats) > 1 and repeats[1] is not None:
        values["right_percent"] = 100.0 * repeats[1] / first

    def energy(at: int) -> float:
        return float(np.sum(responses[0][max(at - around, 0) : at + around + 1] ** 2))

    if 2 * first + around < responses[0].size:
        values["feedback"] = float(np.sqrt(energy(2 * first) / (energy(first) + 1e-12)))
    values["mix"] = float(1.0 - np.abs(responses[0][: around + 1]).max())
    return [values | darkened(responses[0], first, effect, rate), values]


def darkened(h: Numbers, first: int, effect: Effect, rate: float) -> Values:
    """The high cut from the shape of the first repeat, and the time without the cut's own delay."""
    reach = round(REPEAT_S * rate)
    repeat = h[max(first - reach, 0) : first + reach + 1]
    response_there = np.fft.rfft(repeat, 4096)
    hertz = np.fft.rfftfreq(4096, 1.0 / rate)
    used = (hertz > LOW_HZ) & (hertz < min(HIGH_HZ, 0.4 * rate))
    measured, turned = response_there[used], np.exp(-2j * np.pi * hertz[used] / rate)
    p = effect.card.addresses["high_cut_hz"]
    candidates = np.geomspace(p.min, p.max, 120)
    decay = np.exp(-2.0 * np.pi * candidates / rate)[:, None]  # of the one-pole low-pass
    shapes = (1.0 - decay) / (1.0 - decay * turned)
    levels = np.abs(shapes)
    gains = (levels @ np.abs(measured)) / np.sum(levels**2, 1)
    best = int(np.argmin(np.sum((np.abs(measured) - gains[:, None] * levels) ** 2, 1)))
    around = (measured / shapes[best]) * np.exp(2j * np.pi * hertz[used] / rate * (first - max(first - reach, 0)))
    slope = np.sum(hertz[used] * np.abs(measured) * np.angle(around)) / np.sum(hertz[used] ** 2 * np.abs(measured))
    frames = first - slope * rate / (2.0 * np.pi)
    return {"time_ms": float(1e3 * frames / rate), "high_cut_hz": float(candidates[best])}


def response(dry: Numbers, wet: Numbers) -> Numbers:
    """By division of the spectra, where there is sound."""
    size = 1 << (2 * dry.size - 1).bit_length()
    x, y = np.fft.rfft(dry.astype(np.float64), size), np.fft.rfft(wet.astype(np.float64), size)
    power = np.abs(x) ** 2
    return np.asarray(np.fft.irfft(y * np.conj(x) / (power + NOISE * power.max()), size)[: dry.size])


def _repeat(h: Numbers, least: float, most: float, rate: float) -> int | None:
    """The largest peak that is a repeat and not the sound itself, in frames."""
    first = max(int(least), round(2.0 * AROUND_S * rate))
    part = np.abs(h[first : int(most)])
    if part.size < 16:
        return None
    best = int(np.argmax(part))
    return first + best if part[best] > CLEAR * float(np.sqrt(np.mean(part**2))) else None


lawful = alone(starts)
