"""Speed beside pedalboard: the same work, both sides alternately in one process, stereo float32 at 48 kHz, one core.

Prints x realtime (seconds of audio a second of time) for blocks of 512 and 64 frames: the median over the rounds, and the
median of the ratios, in which what else the machine does cancels out. pedalboard is GPL; it is measured, never required.

    python benchmarks/peers.py [--rounds 9] [--seconds 2]
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import pedalboard as pb

import twinrack as tr

RATE = 48000
Process = Callable[[np.ndarray], np.ndarray]
FREQUENCIES = (60, 150, 400, 1000, 2500, 5000, 9000, 14000)


def ours(*effects: tr.Effect) -> Process:
    rack = tr.Rack(effects)
    rack.prepare(RATE, 2)
    return rack.process


def theirs(*plugins: pb.Plugin) -> Process:
    board = pb.Pedalboard(plugins)
    return lambda x: board.process(x, RATE, reset=False)


def rows() -> dict[str, tuple[Process, Process]]:
    """What is compared: the same kind of effect with the same settings, as far as both have them."""
    bands = [tr.Band("bell", frequency_hz=f, gain_db=3 * (-1) ** i, q=1.0) for i, f in enumerate(FREQUENCIES)]
    peaks = [pb.PeakFilter(f, 3 * (-1) ** i, 1.0) for i, f in enumerate(FREQUENCIES)]
    return {
        "gain": (ours(tr.Gain(gain_db=-6)), theirs(pb.Gain(-6))),
        "equaliser, 8 bells": (ours(tr.ParametricEQ(bands=bands)), theirs(*peaks)),
        "compressor": (
            ours(tr.Compressor(threshold_db=-24, ratio=4, attack_ms=5, release_ms=100)),
            theirs(pb.Compressor(-24, 4, 5, 100)),
        ),
        "reverb (FDN, modulated; freeverb)": (ours(tr.FDNReverb(mix=0.3)), theirs(pb.Reverb(wet_level=0.3))),
    }


def speed(process: Process, x: np.ndarray, block: int) -> float:
    blocks = [np.ascontiguousarray(x[:, i : i + block]) for i in range(0, x.shape[1] - block + 1, block)]
    began = time.perf_counter()
    for part in blocks:
        process(part)
    return len(blocks) * block / RATE / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    x = (0.2 * np.random.default_rng(0).standard_normal((2, int(arguments.seconds * RATE)))).astype(np.float32)
    print(f"{datetime.date.today()}, {platform.machine()}, {tr._engine.simd_target()}; pedalboard {pb.__version__}")
    print("x realtime, stereo, one core, median of alternating rounds\n")
    print("| work | block | twinrack | pedalboard | ratio |\n| --- | ---: | ---: | ---: | ---: |")
    for name, (a, b) in rows().items():
        for block in (512, 64):
            for process in (a, b):
                speed(process, x, block)  # warm
            pairs = [(speed(a, x, block), speed(b, x, block)) for _ in range(arguments.rounds)]
            mine, other = (statistics.median(p[i] for p in pairs) for i in (0, 1))
            ratio = statistics.median(p[0] / p[1] for p in pairs)
            print(f"| {name} | {block} | {mine:.0f} | {other:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
