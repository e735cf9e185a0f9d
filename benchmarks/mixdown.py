"""A hidden mix, found again from its sound: 16 stems of 30 s, made of pieces of recordings.

Hidden are levels, pans, the gains of three bands of an equaliser, the threshold and ratio of every other track's compressor,
and the sends to a reverb, through groups to a master: 112 values. The start has the same structure with
neutral values. Prints what is left, how far each kind of value is off, time and memory.

    python benchmarks/mixdown.py FOLDER [--stems 16] [--seconds 30] [--steps 300]
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import soxr

import twinrack as tr

RATE = 48000


def make_stems(folder: Path, count: int, seconds: float) -> list[np.ndarray]:
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in (".flac", ".wav"))
    stems = []
    for i in range(count):
        rng = np.random.default_rng(i)
        x, rate = soundfile.read(files[i % len(files)], dtype="float32", always_2d=True)
        x = np.repeat(x, 2, axis=1) if x.shape[1] == 1 else x[:, :2]
        y = soxr.resample(x, rate, RATE * 2 ** (float(rng.integers(-5, 6)) / 12 if i >= len(files) else 0.0))  # other pitches
        frames, z, at = int(seconds * RATE), np.zeros((2, int(seconds * RATE)), np.float32), int(rng.uniform(0, 1.5) * RATE)
        while at < frames:
            start = int(rng.integers(0, len(y) // 2))
            n = min(int(rng.uniform(2, 6) * RATE), len(y) - start, frames - at)
            fade = np.minimum(1.0, np.minimum(np.arange(n), np.arange(n)[::-1]) / 480)
            z[:, at : at + n] = 0.3 * y[start : start + n].T * fade
            at += n + int(rng.uniform(0, 0.7) * RATE)
        stems.append(z)
    return stems


def make_session(stems: list[np.ndarray], hidden: bool) -> tr.Session:
    rng = np.random.default_rng(1)

    def some(low: float, high: float, start: float) -> float:
        value = float(rng.uniform(low, high))
        return value if hidden else start

    session = tr.Session("mix", RATE, end=f"{stems[0].shape[1]} frames")
    session.add_group("band")
    session.add_return("plate", rack=[tr.FDNReverb(mix=1.0, decay_s=1.2)])
    for i, x in enumerate(stems):
        bands = [
            tr.Band("low_shelf", frequency_hz=150, gain_db=some(-6, 6, 0)),
            tr.Band("bell", frequency_hz=1100, q=1.0, gain_db=some(-6, 6, 0)),
            tr.Band("high_shelf", frequency_hz=6500, gain_db=some(-6, 6, 0)),
        ]
        rack: list = [tr.ParametricEQ(bands=bands)]
        if i % 2 == 0:
            rack.append(tr.Compressor(threshold_db=some(-35, -22, -25), ratio=some(2, 5, 3), attack_ms=8, release_ms=120))
        track = session.add_track(
            f"{i:02}", clips=[tr.Clip(x)], rack=rack, output="band" if i % 3 else "master", law="constant_power_3db",
            gain_db=some(-14, 0, -6), pan=some(-0.8, 0.8, 0),
        )  # fmt: skip
        track.send("plate", some(-24, -10, -18))
    return session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of recordings")
    parser.add_argument("--stems", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    stems = make_stems(arguments.folder, arguments.stems, arguments.seconds)
    hidden = make_session(stems, True)
    mix = hidden.render()
    began = time.monotonic()
    result = tr.fit(
        make_session(stems, False), mix, sample_rate=RATE, steps=arguments.steps, patience=1000,
        freeze=["plate.*", "*.frequency_hz", "*.attack_ms", "*.release_ms"],
    )  # fmt: skip
    took = time.monotonic() - began
    print(f"{arguments.stems} stems of {arguments.seconds:g} s, {os.cpu_count()} cores, {took:.0f} s\n{result}\n")
    off = defaultdict(list)
    for p in result.parameters:
        off[p.address.rpartition(".")[2] if "sends" not in p.address else "send gain_db"].append(
            abs(p.fitted - float(hidden.get(p.address)))
        )
    own = [abs(result.session[f"{i:02}"].gain_db - hidden[f"{i:02}"].gain_db) for i in range(arguments.stems)]
    print("| value | how many | largest error | half below |\n| --- | ---: | ---: | ---: |")
    print(f"| level of a track, dB | {len(own)} | {max(own):.3f} | {np.median(own):.3f} |")
    for name, errors in off.items():
        print(f"| {name} | {len(errors)} | {max(errors):.4g} | {np.median(errors):.4g} |")
    with open("/proc/self/status", encoding="ascii") as status:
        peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    print(f"\nlargest memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
