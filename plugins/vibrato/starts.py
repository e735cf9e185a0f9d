"""Start values of a vibrato: from the delay over time, by cross-correlation in short windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.oscillation import Oscillation, delays_over_time, oscillation
from twinrack.train.starts import Numbers, Values, alone

WINDOWS_S = (0.012, 0.04)  # short, as the delay moves meanwhile; long, for low tones
LONGEST_S = 0.08  # that the delay may be
LEAST_SHARE = 0.2  # of the delay's variance that the oscillation explains
ALIKE = (0.95, 1.0)  # a tone is alike at every period, and the shortest delay may be meant


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
    p = effect.card.addresses["rate_hz"]
    delays = delays_over_time(dry, wet, rate, LONGEST_S, window_s, False, alike)
    return oscillation(delays.times_s, delays.delays_s, delays.weights, p.min, p.max)


lawful = alone(starts)
