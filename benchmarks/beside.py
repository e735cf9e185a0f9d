"""How much longer training takes beside a busy program: a fit and a training loop, by turns alone and beside a process that
keeps one core busy.

    python benchmarks/beside.py [--rounds 3]

With two cores a busy process may cost half of the time (a ratio of 2), and no more. Threads of torch that turn in circles
while they wait cost more; twinrack lets them sleep where it is imported before torch, or GOMP_SPINCOUNT does.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

import twinrack as tr  # before torch, so that its threads sleep while they wait
from twinrack.twins import apply, keep_memory

import torch  # isort: skip

RATE = 48000
STEPS = 500
SPIN = "while True: pass"


def sound(seconds: float) -> np.ndarray:
    """Bursts of noise at many levels, (2, frames)."""
    random = np.random.default_rng(0)
    frames = int(seconds * RATE)
    level = np.repeat(10 ** random.uniform(-2.0, -0.3, frames // 4800 + 1), 4800)[:frames]
    return (0.3 * level * random.standard_normal((2, frames))).astype(np.float32)


def fitted() -> Callable[[], object]:
    x = sound(6.0)
    hidden = tr.Rack([
        tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=900.0, gain_db=5.0)]),
        tr.Compressor(threshold_db=-28.0, ratio=5.0, attack_ms=4.0, makeup_db=3.0),
    ])  # fmt: skip
    start = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell")]), tr.Compressor()])
    wet = hidden(x, RATE)
    return lambda: tr.fit(start, x, wet, RATE, progress=False)


def trained() -> Callable[[], object]:
    keep_memory()
    x = torch.randn(16, 1, RATE) * 0.1
    values = {n: torch.full((16,), v, requires_grad=True) for n, v in (("threshold_db", -30.0), ("ratio", 4.0))}

    def steps() -> None:
        for _ in range(STEPS):
            apply("compressor", x, RATE, values).square().mean().backward()

    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print("| work | alone, s | beside a busy process, s | ratio |")
    print("| --- | ---: | ---: | ---: |", flush=True)
    for name, make in (
        ("fit of EQ + compressor, 6 s", fitted),
        (f"training loop, compressor, {STEPS} steps of 16 x 1 s", trained),
    ):
        work = make()
        work()
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(rounds):
            for busy in (False, True):
                other = subprocess.Popen([sys.executable, "-c", SPIN]) if busy else None
                try:
                    began = time.monotonic()
                    work()
                    seconds[busy].append(time.monotonic() - began)
                finally:
                    if other is not None:
                        other.kill()
                        other.wait()
        alone, beside = (statistics.median(seconds[busy]) for busy in (False, True))
        print(f"| {name} | {alone:.1f} | {beside:.1f} | {beside / alone:.2f} |", flush=True)


if __name__ == "__main__":
    main()
