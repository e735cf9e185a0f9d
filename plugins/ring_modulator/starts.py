"""Start values of a ring modulator: dry times wet is the square of the sound times the sine, whose line it has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.starts import Numbers, Values, alone

LONGEST_S = 20.0
PADDED = 4  # times the length, so that the line is met between the bins
CANDIDATES, ROUNDS = 3, 60
LEAST_SHARE = 0.1  # of the wet sound's energy beside the dry one that the sine explains


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    pair = max(pairs, key=lambda p: p.dry.shape[1])
    frames = min(pair.dry.shape[1], int(LONGEST_S * rate))
    dry, wet = (np.asarray(s[:2, :frames], np.float64) for s in (pair.dry, pair.wet))
    loudest = int(np.argmax((dry * dry).sum(1)))
    p = effect.card.addresses["frequency_hz"]
    size = PADDED * frames
    line = np.abs(np.fft.rfft((dry * wet).sum(0), size))
    hertz = np.fft.rfftfreq(size, 1.0 / rate)
    line[(hertz < p.min) | (hertz > p.max)] = 0.0
    answers = []
    for _ in range(CANDIDATES):
        top = int(np.argmax(line))
        if line[top] == 0.0:
            break
        hz, left = _refined(dry[loudest], wet[loudest], float(hertz[top]), rate, frames)
        if left < 1.0 - LEAST_SHARE:
            answers.append((left, _values(dry, wet, hz, rate)))
        line[max(top - 2 * PADDED, 0) : top + 2 * PADDED + 1] = 0.0
    return [values for _, values in sorted(answers, key=lambda answer: answer[0])]


def _refined(dry: Numbers, wet: Numbers, hz: float, rate: float, frames: int) -> tuple[float, float]:
    """The frequency within a bin's width that explains most, and the share of the energy that is left."""
    low, high = hz - rate / frames, hz + rate / frames
    golden = 0.5 * (5.0**0.5 - 1.0)
    inner = [high - golden * (high - low), low + golden * (high - low)]
    left = [_fit(dry, wet, f, rate)[1] for f in inner]
    for _ in range(ROUNDS):
        if left[0] < left[1]:
            high, inner[1], left[1] = inner[1], inner[0], left[0]
            inner[0] = high - golden * (high - low)
            left[0] = _fit(dry, wet, inner[0], rate)[1]
        else:
            low, inner[0], left[0] = inner[0], inner[1], left[1]
            inner[1] = low + golden * (high - low)
            left[1] = _fit(dry, wet, inner[1], rate)[1]
        if high - low < 1e-3 * rate / frames:
            break
    return 0.5 * (low + high), min(left)


def _fit(dry: Numbers, wet: Numbers, hz: float, rate: float) -> tuple[Numbers, float]:
    """How much of the wet sound is dry, times sine, and times cosine, and the share of its energy that is left."""
    turns = 2.0 * np.pi * hz / rate * np.arange(len(dry))
    parts = np.stack([dry, dry * np.sin(turns), dry * np.cos(turns)])
    shares = np.linalg.lstsq(parts @ parts.T, parts @ wet, rcond=None)[0]
    gap = wet - shares @ parts
    return shares, float(np.dot(gap, gap) / max(np.dot(wet, wet), 1e-30))


def _values(dry: Numbers, wet: Numbers, hz: float, rate: float) -> Values:
    sides = [_fit(d, w, hz, rate)[0] for d, w in zip(dry, wet, strict=True) if d.any()]
    degrees = [float(np.degrees(np.arctan2(s[2], s[1])) % 360.0) for s in sides]
    product = float(np.hypot(sides[0][1], sides[0][2]))
    mix = product / max(product + float(sides[0][0]), 1e-9)
    values = {"frequency_hz": hz, "mix": float(np.clip(mix, 0.0, 1.0)), "start_deg": degrees[0]}
    if len(degrees) > 1:
        ahead = (degrees[1] - degrees[0] + 90.0) % 360.0 - 90.0  # from a quarter behind to three quarters ahead
        values["stereo_deg"] = float(np.clip(ahead, 0.0, 180.0))
    return values


lawful = alone(starts)
