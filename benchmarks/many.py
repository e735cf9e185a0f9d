"""Speed of many renderings at once (`tr.render_many`) beside one after the other, and beside pedalboard in a loop.

Sounds of four seconds, stereo, float32 at 48 kHz; whole arrays from Python, on one core. Each rendering has other values, and
all results are kept. x realtime is seconds of sound a second of processor time, of the best of the rounds, in which the sides
take turns; ratios are to "one by one", which renders with as many racks as there are renderings; "out" is `render_many` into
an array that is there already, "one sound" with the same sound for all. pedalboard has one chain of plugins, with fixed
values; it is skipped where it is not installed:

    pip install pedalboard

    python benchmarks/many.py [--rounds 9] [--only TEXT] [--count 32]
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

import twinrack as tr

RATE, SECONDS = 48000, 4.0
Render = Callable[[], object]
Plugin = tuple[str, dict[str, float]]


@dataclass(frozen=True)
class Work:
    """A rack, the values in which the renderings differ by their ranges, and the names of pedalboard's plugins with theirs."""

    name: str
    effects: Sequence[tr.Effect]
    ranges: dict[str, tuple[float, float]]
    plugins: Sequence[Plugin] = ()


EQUALISER = tr.ParametricEQ(
    bands=[
        tr.Band("low_shelf", frequency_hz=120, gain_db=3),
        tr.Band("bell", frequency_hz=500, gain_db=-3),
        tr.Band("bell", frequency_hz=2500, gain_db=2),
        tr.Band("high_shelf", frequency_hz=8000, gain_db=4),
    ]
)
PLUGINS: tuple[Plugin, ...] = (
    ("LowShelfFilter", {"cutoff_frequency_hz": 120, "gain_db": 3}),
    ("PeakFilter", {"cutoff_frequency_hz": 500, "gain_db": -3}),
    ("PeakFilter", {"cutoff_frequency_hz": 2500, "gain_db": 2}),
    ("HighShelfFilter", {"cutoff_frequency_hz": 8000, "gain_db": 4}),
)
COMPRESSOR: Plugin = ("Compressor", {"threshold_db": -24, "ratio": 4, "attack_ms": 5, "release_ms": 100})
GAINS = {f"parametric_eq.band{i}.gain_db": (-6.0, 6.0) for i in (1, 2, 3, 4)}
THRESHOLD = {"compressor.threshold_db": (-40.0, -10.0)}


def works() -> tuple[Work, ...]:
    compressor = tr.Compressor(threshold_db=-24, ratio=4, attack_ms=5, release_ms=100)
    feedback = tr.Compressor(topology="feedback", threshold_db=-24, ratio=4)
    gate, gate_range = tr.Gate(), {"gate.threshold_db": (-50.0, -20.0)}
    drive = {"saturation.drive_db": (3.0, 18.0)}
    return (
        Work("equaliser, 4 bands, and compressor", [EQUALISER, compressor], GAINS | THRESHOLD, [*PLUGINS, COMPRESSOR]),
        Work("equaliser, 4 bands", [EQUALISER], GAINS, PLUGINS),
        Work("compressor", [compressor], THRESHOLD, [COMPRESSOR]),
        Work("compressor, feedback", [feedback], THRESHOLD),
        Work("gate", [gate], gate_range, [("NoiseGate", {"threshold_db": -35})]),
        Work("gate, equaliser, compressor, gain", [gate, EQUALISER, compressor, tr.Gain(gain_db=2)], gate_range | GAINS),
        Work("reverb", [tr.FDNReverb(mix=0.2)], {"fdn_reverb.decay_s": (0.5, 4.0)}),
        Work("saturation", [tr.Saturation(drive_db=12)], drive),
        Work("saturation, minimum phase", [tr.Saturation(drive_db=12, filters="minimum_phase")], drive),
        Work("equaliser, compressor, reverb", [EQUALISER, compressor, tr.FDNReverb(mix=0.2)], GAINS | THRESHOLD),
    )


def pedalboard_loop(work: Work, sounds: np.ndarray) -> Render | None:
    try:
        pedalboard: Any = import_module("pedalboard")
    except ImportError:
        return None
    if not work.plugins:
        return None
    board = pedalboard.Pedalboard([getattr(pedalboard, name)(**values) for name, values in work.plugins])
    return lambda: [board(x, RATE) for x in sounds]


def sides(work: Work, count: int) -> dict[str, Render]:
    """What takes turns, by name."""
    rng = np.random.default_rng(0)
    sound = (0.2 * rng.standard_normal((2, int(SECONDS * RATE)))).astype(np.float32)
    sounds = np.stack([np.float32(level) * sound for level in np.linspace(0.3, 1.0, count)])
    rack = tr.Rack([effect.copy() for effect in work.effects])
    values = {address: rng.uniform(*ends, count) for address, ends in work.ranges.items()}
    racks = [rack.copy() for _ in range(count)]
    for i, own in enumerate(racks):
        for address, each in values.items():
            own.set(address, each[i])
    out = np.zeros_like(sounds)
    every: dict[str, Render] = {
        "one by one": lambda: [own(x, RATE) for own, x in zip(racks, sounds, strict=True)],
        "at once": lambda: tr.render_many(rack, sounds, RATE, values, threads=1),
        "out": lambda: tr.render_many(rack, sounds, RATE, values, threads=1, out=out),
        "one sound": lambda: tr.render_many(rack, sound, RATE, values, threads=1),
    }
    peer = pedalboard_loop(work, sounds)
    return every if peer is None else every | {"pedalboard": peer}


def race(every: dict[str, Render], rounds: int) -> dict[str, float]:
    """The least seconds of each side."""
    best = dict.fromkeys(every, float("inf"))
    for i in range(rounds + 1):
        for name in list(every) if i % 2 else list(every)[::-1]:
            began = time.thread_time()
            kept = every[name]()
            taken = time.thread_time() - began
            del kept
            if i:  # the first round only warms up
                best[name] = min(best[name], taken)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="works whose name contains this")
    parser.add_argument("--count", type=int, default=32, help="renderings at once")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{datetime.date.today()}, {platform.machine()}, {tr._engine.simd_target()}, {arguments.count} renderings\n")
    head = "| work | one by one | at once | ratio | out | ratio | one sound | ratio | pedalboard | ratio |"
    print(f"{head}\n| --- {'| ---: ' * 9}|", flush=True)
    for work in works():
        if arguments.only not in work.name:
            continue
        best = race(sides(work, arguments.count), arguments.rounds)
        speed = {name: arguments.count * SECONDS / s for name, s in best.items()}
        cells = [f"{speed['one by one']:.0f}"]
        for name in ("at once", "out", "one sound"):
            cells += [f"{speed[name]:.0f}", f"{speed[name] / speed['one by one']:.2f}"]
        peer = speed.get("pedalboard")
        cells += ["", ""] if peer is None else [f"{peer:.0f}", f"{speed['at once'] / peer:.1f}"]
        print(f"| {work.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
