"""Start values of a flanger: from the delay over time, beside the sound itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.oscillation import delays_over_time, oscillation
from twinrack.train.starts import Values, alone

WINDOWS_S = (0.012, 0.04)  # short, as the delay moves meanwhile; long, for low tones
LONGEST_S = 0.026
LEAST_SHARE = 0.2  # of the delay's variance that the oscillation explains
FEEDBACKS = (0.0, 0.5, -0.5)
SWEEP = {"sine": 2.0, "triangle": np.pi**2 / 4.0}  # of the wave, times the amplitude of its fundamental


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    pair, wave = max(pairs, key=lambda p: p.dry.shape[1]), str(effect.get("wave"))
    if wave not in SWEEP:
        return []
    p = effect.card.addresses["rate_hz"]
    answers = []
    for window_s in WINDOWS_S:
        sides = []
        for c in range(min(pair.dry.shape[0], 2)):
            delays = delays_over_time(pair.dry[c], pair.wet[c], rate, LONGEST_S, window_s, True)
            moved = oscillation(delays.times_s, delays.delays_s, delays.weights, p.min, p.max)
            if moved is not None:
                sides.append((moved, delays.wet_share))
        if not sides or sides[0][0].share < LEAST_SHARE:
            continue
        first, share = sides[0]
        sweep = SWEEP[wave] * first.amplitude
        values = {
            "delay_ms": 1e3 * (first.offset - 0.5 * sweep), "sweep_ms": 1e3 * sweep, "rate_hz": first.rate_hz, "mix": share,
            "start_deg": first.start_deg(wave),
        }  # fmt: skip
        if len(sides) > 1:
            values["stereo_deg"] = float(360.0 * ((sides[1][0].turns - first.turns) % 1.0))
        answers.append((first.share, values))
    return [
        values | {"feedback": feedback}
        for _, values in sorted(answers, key=lambda answer: -answer[0])
        for feedback in FEEDBACKS
    ]


lawful = alone(starts)
