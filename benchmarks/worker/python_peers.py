"""The worker of the peers that come as Python packages: pedalboard (GPL, so only ever here) and scipy.

    python python_peers.py NOISE RATE LIBRARY SPECIFICATION

answers the same lines as the C++ workers (measure.h), except `worst`. pedalboard cuts a long array into blocks inside its
C++; scipy filters the long array at once, whatever the block.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]


def plugin(name: str, values: dict[str, Any]) -> Any:
    import pedalboard as pb

    if "impulse" in values:
        values = {"impulse_response_filename": read_stereo(values["impulse"]), "sample_rate": values["rate"]}
    return getattr(pb, name)(**values)


def pedalboard_run(specification: dict[str, Any], rate: float, block: int) -> Run:
    """A fresh board for every block length, because its convolution takes the longest it has seen as its partition."""
    import pedalboard as pb

    chains = [[plugin(*p) for p in specification["plugins"]] for _ in range(specification["copies"])]
    board = pb.Pedalboard(chains[0] if len(chains) == 1 else [pb.Mix([pb.Chain(c) for c in chains])])
    return lambda x: board.process(x, rate, buffer_size=block, reset=False)


def scipy_run(specification: dict[str, Any], rate: float, block: int) -> Run:
    from scipy.signal import sosfilt

    sections = np.asarray(specification["sections"], np.float32)
    state = np.zeros((len(sections), 2, 2), np.float32)

    def run(x: np.ndarray) -> np.ndarray:
        nonlocal state
        y, state = sosfilt(sections, x, axis=1, zi=state)
        return np.asarray(y)

    return run


def read_stereo(path: str) -> np.ndarray:
    return np.fromfile(path, np.float32).reshape(2, -1)


def go(run: Run, x: np.ndarray, frames: int) -> float:
    """Seconds for that many frames of the noise, over and over."""
    whole, rest = divmod(frames, x.shape[1])
    parts = [x] * whole + ([np.ascontiguousarray(x[:, :rest])] if rest else [])
    began = time.perf_counter()
    for part in parts:
        run(part)
    return time.perf_counter() - began


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def main(noise: str, rate: float, library: str, specification: dict[str, Any]) -> None:
    make = {"pedalboard": pedalboard_run, "scipy": scipy_run}[library]
    __import__(library)
    x = read_stereo(noise)
    runs: dict[int, Run] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *numbers = line.split()
        block, frames = map(int, numbers)
        if block not in runs:
            runs[block] = make(specification, rate, block)
            go(runs[block], x, int(rate / 2))
        if verb == "run":
            go(runs[block], x, frames // 2)
            print(f"{go(runs[block], x, frames):.9f} 0", flush=True)
        elif verb == "level":
            part = np.ascontiguousarray(x[:, :frames])
            y = runs[block](part)
            print(rms(part[0]), rms(y[0]), rms(y[0] - part[0, -y.shape[1] :]), flush=True)
        else:
            raise ValueError(f"{verb}: the single blocks are not seen from here")


if __name__ == "__main__":
    try:
        main(sys.argv[1], float(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
    except Exception as error:
        print(f"error: {error}", flush=True)
        sys.exit(1)
