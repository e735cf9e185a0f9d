"""What a rack of every effect costs by the level of its input, and when nobody plays: nanoseconds a stereo frame.

python benchmarks/silence.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np

import twinrack as tr
from twinrack.rack.effect import CLASSES

RATE, BLOCK = 48000, 64


def rack() -> tr.Rack:
    all_effects = tr.Rack([CLASSES[card]() for card in tr.CARDS])
    all_effects["parametric_eq"].bands[0].type = "bell"
    all_effects["fdn_reverb"].decay_s = 0.5
    all_effects["limiter"].release_ms = 20
    all_effects["adapter"].connection = "add"  # without a network it would replace the sound by silence
    return all_effects


def main() -> None:
    noise = np.random.default_rng(0).standard_normal((2, BLOCK))
    levels = (0.2, 1e-4, 1e-8, 1e-20, 1e-30, 1e-38, 1e-41, 0.0)
    racks = [rack() for _ in levels]
    blocks = [(level * noise).astype(np.float32) for level in levels]
    for playing, block in zip(racks, blocks, strict=True):
        playing.prepare(RATE, 2)
        for _ in range(12 * RATE // BLOCK):  # tails pass
            playing.process(block)
    empty = tr.Rack([])
    empty.prepare(RATE, 2)
    timings: list[list[float]] = [[] for _ in levels]
    calls: list[float] = []
    for _ in range(25):  # all in turn, so that what else the machine does hits all
        for playing, block, times in [*zip(racks, blocks, timings, strict=True), (empty, blocks[0], calls)]:
            began = time.perf_counter()
            for _ in range(500):
                playing.process(block)
            times.append((time.perf_counter() - began) / 500 / BLOCK * 1e9)
    base = statistics.median(calls)
    print(f"{len(racks[0].effects)} effects, blocks of {BLOCK}, above an empty rack called the same way ({base:.1f} ns)\n")
    print("| level of the noise | ns a frame |\n| ---: | ---: |")
    for level, times in zip(levels, timings, strict=True):
        print(f"| {level:g} | {statistics.median(times) - base:.1f} |")


if __name__ == "__main__":
    main()
