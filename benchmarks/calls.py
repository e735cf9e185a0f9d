"""What a call from Python costs beyond the engine: a block of a stream, a short rendering, and whole arrays.

Processor time of this thread, the least of many turns. Of whole arrays: how many times as long as the same engine over a block
that stays in the second cache.

    python benchmarks/calls.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

import twinrack as tr
from sounds import RATE

CACHED = 30000  # frames, in and out half a megabyte; no power of two, at which all rows would compete for one place
SECONDS = (1, 10, 60)
TURN_S = 0.01


def least_us(*works: Callable[[], object], turns: int = 40) -> list[float]:
    """Of each work, run in turn."""
    times = []
    for work in works:
        began = time.thread_time()
        work()
        times.append(max(1, int(TURN_S / max(time.thread_time() - began, 1e-7))))
    best = [float("inf")] * len(works)
    for _ in range(turns):
        for i, (work, count) in enumerate(zip(works, times, strict=True)):
            began = time.thread_time()
            for _ in range(count):
                work()
            best[i] = min(best[i], 1e6 * (time.thread_time() - began) / count)
    return best


def row(rack: tr.Rack, x: np.ndarray) -> str:
    rack.prepare(RATE, 2)
    engine = rack.running.engine
    assert engine is not None
    block, cached = x[:, :64].copy(), x[:, :CACHED].copy()
    out = np.empty_like(cached)
    of_block, of_call = least_us(lambda: rack.process(block), lambda: rack(block, RATE))
    cells = [f"{of_block:.2f}", f"{of_call:.1f}"]
    for seconds in SECONDS:
        whole = np.ascontiguousarray(x[:, : seconds * RATE])
        took, least = least_us(partial(rack, whole, RATE), lambda: engine.render(cached, out, []))
        cells.append(f"{took / whole.shape[1] / (least / CACHED):.2f}")
    return " | ".join(cells)


def main() -> None:
    x = (0.1 * np.random.default_rng(1).standard_normal((2, max(SECONDS) * RATE))).astype(np.float32)
    print(f"| rack | block of 64, µs | rendering of 64, µs | {' | '.join(f'{s} s beside the engine' for s in SECONDS)} |")
    print("| --- |" + " ---: |" * (2 + len(SECONDS)))
    racks = {"empty": tr.Rack(), "gain": tr.Rack([tr.Gain(gain_db=-6.0)]), "compressor": tr.Rack([tr.Compressor()])}
    for name, rack in racks.items():
        print(f"| {name} | {row(rack, x)} |", flush=True)


if __name__ == "__main__":
    main()
