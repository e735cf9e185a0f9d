"""Start values of a chorus: from the delay over time, which in each window is that of one of the voices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.oscillation import Delays, delays_over_time
from twinrack.train.starts import Numbers, Values, alone
from twinrack.twins.modulation import wave

from .twin import BETWEEN_VOICES

WINDOW_S = 0.012  # short, as the delays move meanwhile
LONGEST_S = 0.06
FEWEST, MOST = 30, 400  # windows
TURNS, DEPTHS = 24, (0.8, 1.0, 1.25, 1.6)  # starts in a turn, and depths in half the range of delays, that are tried
MOSTS_S = (1e-3, 3e-4)  # by so much a window counts at most: wrong ones do not lead astray
HIGHEST_HZ = 4.0
MIXES = (0.3, 0.5, 0.7)
REFINED = 600  # sets of values that are drawn around the best


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    pair, shape, voices = max(pairs, key=lambda p: p.dry.shape[1]), str(effect.get("wave")), int(str(effect.get("voices")))
    sides = [delays_over_time(pair.dry[c], pair.wet[c], rate, LONGEST_S, WINDOW_S, True) for c in range(len(pair.dry[:2]))]
    sides = [_thinned(side) for side in sides]
    if sides[0].times_s.size < FEWEST or shape == "random":
        return []
    random, length = np.random.default_rng(0), float(np.ptp(sides[0].times_s))
    low, high = np.percentile(sides[0].delays_s, [15, 85])
    rates = np.linspace(effect.card.addresses["rate_hz"].min, HIGHEST_HZ, int(4.0 * length * HIGHEST_HZ))
    tried = [
        np.array([0.5 * (low + high), part * 0.5 * (high - low), hertz, turn / TURNS])
        for part in DEPTHS
        for hertz in rates
        for turn in range(TURNS)
    ]
    best = min(tried, key=lambda v: _distance(sides[0], v, shape, voices, MOSTS_S[0]))
    for most in MOSTS_S:
        least = _distance(sides[0], best, shape, voices, most)
        reach = np.array([0.1 * best[1], 0.1 * best[1], 0.25 / length, 0.5 / TURNS])
        for number in range(REFINED):
            drawn = best + reach * random.standard_normal(4) * 0.99**number
            if (distance := _distance(sides[0], drawn, shape, voices, most)) < least:
                best, least = drawn, distance
    values = {
        "delay_ms": 1e3 * best[0],
        "depth_ms": 1e3 * abs(best[1]),
        "rate_hz": best[2],
        "start_deg": 360.0 * (best[3] % 1.0),
    }
    if len(sides) > 1 and sides[1].times_s.size >= FEWEST:
        ahead = np.arange(73) / 144.0  # to half a turn
        off = [_distance(sides[1], best + np.array([0.0, 0.0, 0.0, turn]), shape, voices, MOSTS_S[1]) for turn in ahead]
        values["stereo_deg"] = float(360.0 * ahead[int(np.argmin(off))])
    return [{name: float(v) for name, v in values.items()} | {"mix": mix} for mix in MIXES]


def _thinned(delays: Delays) -> Delays:
    step = max(delays.times_s.size // MOST, 1)
    return Delays(delays.times_s[::step], delays.delays_s[::step], delays.weights[::step], delays.wet_share)


def _distance(delays: Delays, values: Numbers, shape: str, voices: int, most: float) -> float:
    """How far the delays are from the nearest voice, for a middle, depth, rate and start in turns;
    a window counts at most by so much."""
    middle, depth, hertz, start = values
    turns = hertz * delays.times_s + start + BETWEEN_VOICES * np.arange(voices)[:, None]
    moved = wave(shape, torch.from_numpy(turns), torch.full((1, 1), hertz, dtype=torch.float64)).numpy()
    off = np.abs(delays.delays_s - (middle + depth * moved)).min(0)
    return float(np.sum(delays.weights * np.minimum(off, most)))


lawful = alone(starts)
