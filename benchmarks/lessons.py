"""Experiments behind docs/lessons.md: polish from near and from afar, reverbs from short pauses, a network against a curve.

python benchmarks/lessons.py [polish|pauses|network]
"""

from __future__ import annotations

import sys
import time

import numpy as np

import twinrack as tr
from twinrack.projects.sounds import RATE, performance
from twinrack.train.data import Pair
from twinrack.train.starts import analysed


def hidden(random: np.random.Generator) -> tr.Rack:
    """An equaliser and a compressor of random values."""
    bands = [
        tr.Band("bell", frequency_hz=float(random.uniform(200, 800)), gain_db=float(random.uniform(-8, 8))),
        tr.Band("bell", frequency_hz=float(random.uniform(1500, 6000)), gain_db=float(random.uniform(-8, 8))),
    ]
    compressor = tr.Compressor(
        threshold_db=float(random.uniform(-36, -20)), ratio=float(random.uniform(2, 6)),
        attack_ms=float(random.uniform(2, 30)), release_ms=float(random.uniform(60, 300)),
    )  # fmt: skip
    return tr.Rack([tr.ParametricEQ(bands=bands), compressor])


def start() -> tr.Rack:
    """Where a fit begins: nothing is known but the structure."""
    bands = [tr.Band("bell", frequency_hz=400), tr.Band("bell", frequency_hz=3000)]
    return tr.Rack([tr.ParametricEQ(bands=bands), tr.Compressor()])


def polish() -> None:
    """Second-order steps from the defaults, Adam alone, and both."""
    dry = performance(4.0)
    ways = {
        "second-order steps alone": (0, 60),
        "Adam alone": (150, 0),
        "Adam, then second-order steps": (90, 30),
        "the search of tr.fit": None,
    }
    print("| way | found (below -60 dB) | error, median | seconds, median |\n| --- | ---: | ---: | ---: |")
    for name, way in ways.items():
        errors, seconds = [], []
        for seed in range(8):
            wet, began = hidden(np.random.default_rng(seed))(dry, RATE), time.process_time()
            settings = {} if way is None else {"steps": way[0], "polish_steps": way[1]}
            result = tr.fit(start(), dry, wet, RATE, progress=False, **settings)
            errors.append(result.fitted.error_db)
            seconds.append(time.process_time() - began)
        found = sum(e < -60 for e in errors)
        print(f"| {name} | {found} of 8 | {np.median(errors):.0f} dB | {np.median(seconds):.0f} |", flush=True)


def pauses() -> None:
    """The decay that is read from a recording whose pauses are shorter or longer than it."""
    print("| pause, s | decay that is read, of 2.2 s |\n| ---: | ---: |")
    wet_rack = tr.Rack([tr.FDNReverb(decay_s=2.2, decay_low_s=2.2, decay_high_s=2.2, mix=0.4)])
    for pause in (0.1, 0.25, 0.5, 1.0, 2.0):
        random, parts = np.random.default_rng(1), []
        for _ in range(int(8 / (0.3 + pause)) + 1):
            burst = 0.3 * random.standard_normal((2, int(0.3 * RATE)))
            parts += [burst, np.zeros((2, int(pause * RATE)))]
        dry = np.concatenate(parts, 1).astype(np.float32)
        rack = tr.Rack([tr.FDNReverb(mix=0.4)])
        first = analysed(
            rack,
            [Pair("pauses", dry, wet_rack.copy()(dry, RATE), 0, "", "")],
            RATE,
            [f"fdn_reverb.{n}" for n in ("decay_s", "decay_low_s", "decay_high_s")],
            1,
        )
        values = [float(r["fdn_reverb"].decay_s) for r in first] or [float("nan")]
        print(f"| {pause:g} | {values[0]:.2f} |", flush=True)


def network() -> None:
    """A small network against the curve that it is to learn."""
    dry = performance(6.0)
    wet = tr.Rack([tr.Saturation(drive_db=14)])(dry, RATE)
    print("| effect | values | error | seconds |\n| --- | ---: | ---: | ---: |")
    ways = {
        "saturation": (tr.Saturation(), None),
        "network of dense layers": (_dense(), None),
        "the same, of the waveform": (_dense(), tr.losses.Waveform()),
    }
    for name, (effect, loss) in ways.items():
        began = time.process_time()
        settings = {} if loss is None else {"loss": loss}
        result = tr.fit(tr.Rack([effect]), dry, wet, RATE, steps=300, progress=False, **settings)
        count = effect.network.weights.size if effect.resources else len(result.parameters)
        print(f"| {name} | {count} | {result.fitted.error_db:.0f} dB | {time.process_time() - began:.0f} |", flush=True)


def _dense() -> tr.Adapter:
    return tr.Adapter(network=tr.Network.mlp(hidden=(16, 16), sample_rate=RATE), connection="replace")


def main() -> None:
    experiments = {"polish": polish, "pauses": pauses, "network": network}
    for name in sys.argv[1:] or experiments:
        experiments[name]()


if __name__ == "__main__":
    main()
