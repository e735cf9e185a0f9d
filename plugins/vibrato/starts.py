"""Start values of a vibrato: from the delay over time, by cross-correlation in short windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.card import Value
from twinrack.rack.effect import Effect
from twinrack.train.data import Pair, Split
from twinrack.train.oscillation import Oscillation, oscillation
from twinrack.train.starts import Numbers, Values, within

WINDOWS_S, HOP_S = (0.012, 0.04), 0.006  # short, as the delay moves meanwhile; long, for low tones
LONGEST_S = 0.08  # that the delay may be
LEAST_SHARE = 0.2  # of the delay's variance that the oscillation explains
SURE = 0.6  # correlation of a window that counts
ALIKE = (0.95, 1.0)  # of the largest correlation: a tone is alike at every period, and the shortest delay may be meant
OUTLIER = 4.0  # times the median distance from the median


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    pair = max(pairs, key=lambda p: p.dry.shape[1])
    answers = []
    for window_s in WINDOWS_S:
        for alike in ALIKE:
            sides = [
                o
                for c in range(min(pair.dry.shape[0], 2))
                if (o := _swing(effect, pair.dry[c], pair.wet[c], rate, window_s, alike)) is not None
            ]
            if not sides or sides[0].share < LEAST_SHARE:
                continue
            first = sides[0]
            speed = first.amplitude * 2.0 * np.pi * first.rate_hz
            values = {
                "rate_hz": first.rate_hz, "depth_cents": float(1200.0 * np.log2(1.0 + speed)),
                "start_deg": first.start_deg("sine"),
            }  # fmt: skip
            if len(sides) > 1:
                values["stereo_deg"] = float(360.0 * ((sides[1].turns - first.turns) % 1.0))
            answers.append((first.share, values))
    return [values for _, values in sorted(answers, key=lambda answer: -answer[0])]


def _swing(effect: Effect, dry: Numbers, wet: Numbers, rate: float, window_s: float, alike: float) -> Oscillation | None:
    """Of the delay in seconds."""
    size, hop, longest = round(window_s * rate), round(HOP_S * rate), round(LONGEST_S * rate)
    times, delays, weights = [], [], []
    span = 1 << (size + longest).bit_length()
    for at in range(longest, min(dry.size, wet.size) - size, hop):
        ahead = np.asarray(dry[at - longest : at + size], np.float64)
        behind = np.asarray(wet[at : at + size], np.float64)
        cross = np.fft.irfft(np.fft.rfft(ahead, span) * np.conj(np.fft.rfft(behind, span)), span)[: longest + 1]
        energy = np.concatenate([[0.0], np.cumsum(ahead**2)])
        behind_energy = float(np.sum(behind**2)) + 1e-9
        cross = cross / np.sqrt((energy[size : size + longest + 1] - energy[: longest + 1] + 1e-9) * behind_energy)
        if cross.max() < SURE:
            continue
        near = np.flatnonzero(cross >= alike * cross.max())
        best = int(near[-1])
        while 0 < best < longest and cross[best - 1] > cross[best]:
            best -= 1
        if not 0 < best < longest:
            continue
        before, here, after = cross[best - 1 : best + 2]
        peak = best + 0.5 * (before - after) / (before - 2.0 * here + after)
        times.append((at + 0.5 * size) / rate)
        delays.append((longest - peak) / rate)
        weights.append(behind_energy**0.25)
    p = effect.card.addresses["rate_hz"]
    t, d, w = np.array(times), np.array(delays), np.array(weights)
    off = np.abs(d - np.median(d)) if d.size else d
    near = off <= OUTLIER * (np.median(off) if off.size else 0.0)
    return oscillation(t[near], d[near], w[near], p.min, p.max)


def lawful(
    effect: Effect, pairs: Sequence[Pair], splits: Sequence[Split], rate: float, learned: set[str]
) -> list[dict[str, Value]]:
    """The same, for an effect that is alone."""
    return within(effect, starts(effect, pairs, rate, learned), learned)
