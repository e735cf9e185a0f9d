"""Loops of a controller: filters and averages of its input. It stands before what it drives, which cannot come back to it."""

import numpy as np
from twinrack.plugins.controller.twin import CENTRES_HZ, TIMES_S

from twinrack.explain.certify import Loop, filter_loop, follower_loop
from twinrack.rack.effect import Effect

TICK_FRAMES = 32


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    centres = [min(hertz, 0.45 * sample_rate) for hertz in CENTRES_HZ]
    bands = [filter_loop(f"band {i}", "band_pass", hertz, 0.0, np.sqrt(2.0), sample_rate) for i, hertz in enumerate(centres, 1)]
    names = ("level 10 ms", "level 300 ms", "level of a band")
    times = dict(zip(names, TIMES_S, strict=False))
    return bands + [follower_loop(name, 1e3 * time / TICK_FRAMES, sample_rate) for name, time in times.items()]
