"""How often a plain `tr.fit` finds hidden settings, and how long it takes.

    python benchmarks/recovery.py FOLDER --seeds 5 --conditions clean noise40

A rack with random values, drawn from what its cards expect, plays real recordings from FOLDER; `tr.fit` gets the dry and the
wet sound and a rack with the defaults, and no hints. Printed for each structure: the share that was found, the median and the
90th percentile of the time, and the median of the processor's time, which other programs do not lengthen. Found: on held-out
audio the result is within -60 dB of what the hidden rack plays (without the noise), or every value that the recording
determines is within 0.2 dB, 3 % of a frequency and 10 % of a time.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

import twinrack as tr
from twinrack.bench.problems import drawn, equaliser

RATE = 48000
SECONDS = 6.0
FOUND_DB = -60.0
WITHIN = {"dB": 0.2, "Hz": 0.03, "ms": 0.1, "s": 0.1}  # dB, and parts of a frequency or a time
ANYWHERE = 0.03  # of the range, for values in other units
ORDER = ["gate", "eq", "compressor", "saturation", "reverb", "limiter"]


EFFECTS: dict[str, Callable[[], tr.Effect]] = {
    "gain": tr.Gain,
    "eq": equaliser,
    "compressor": tr.Compressor,
    "gate": tr.Gate,
    "saturation": tr.Saturation,
    "limiter": tr.Limiter,
    "reverb": tr.FDNReverb,
    "tremolo": tr.Tremolo,
    "auto pan": tr.AutoPan,
    "vibrato": tr.Vibrato,
    "flanger": tr.Flanger,
    "phaser": tr.Phaser,
    "chorus": tr.Chorus,
    "delay": tr.Delay,
    "transient shaper": tr.TransientShaper,
    "ring modulator": tr.RingModulator,
    "auto-wah": tr.AutoWah,
}
CHOICES = {
    "compressor": ["detector", "channel_mode", "ballistics", "envelope", "topology"],
    "gate": ["detector", "channel_mode"],
    "limiter": ["detector"],
    "saturation": ["curve", "filters"],
}


@dataclass
class Problem:
    """What is hidden, and the rack that a user would begin with."""

    hidden: tr.Rack
    start: tr.Rack


def rack_of(names: list[str]) -> tr.Rack:
    return tr.Rack([EFFECTS[name]() for name in names])


def fixed_structure(names: list[str]) -> Callable[[np.random.Generator], Problem]:
    return lambda random: Problem(drawn(rack_of(names), random), rack_of(names))


def one_choice(random: np.random.Generator) -> Problem:
    name = str(random.choice(list(CHOICES)))
    hidden = drawn(rack_of([name]), random)
    choice = str(random.choice(CHOICES[name]))
    options = [o for o in hidden[name].card.addresses[choice].options if o != hidden.get(f"{name}.{choice}")]
    hidden.set(f"{name}.{choice}", str(random.choice(options)))
    return Problem(hidden, rack_of([name]))


def unknown_bands(random: np.random.Generator) -> Problem:
    equaliser = tr.ParametricEQ()
    count = int(random.integers(2, 6))
    hertz = sorted(np.exp(random.uniform(np.log(60.0), np.log(14000.0), count)))
    for i, f in enumerate(hertz, 1):
        inner = 1 < i < count
        first, last = ["low_cut", "low_shelf", "bell"], ["high_cut", "high_shelf", "bell"]
        kind = "bell" if inner else str(random.choice(first if i == 1 else last))
        equaliser.set(f"band{i}.type", kind)
        equaliser.set(f"band{i}.frequency_hz", float(f))
        if kind == "bell":
            equaliser.set(f"band{i}.q", float(np.exp(random.uniform(np.log(0.5), np.log(6.0)))))
        if kind in ("bell", "low_shelf", "high_shelf"):
            equaliser.set(f"band{i}.gain_db", float(random.choice([-1, 1]) * random.uniform(2.0, 12.0)))
    return Problem(tr.Rack([equaliser]), tr.Rack([tr.ParametricEQ()]))


def structures() -> Iterator[tuple[str, str, Callable[[np.random.Generator], Problem]]]:
    """Group, name and how to make one."""
    for name in EFFECTS:
        yield "single", name, fixed_structure([name])
    pairs = [[a, b] for i, a in enumerate(ORDER) for b in ORDER[i + 1 :]] + [["compressor", "eq"]]
    for names in pairs:
        yield "pair", " + ".join(names), fixed_structure(names)
    three, five = ["eq", "compressor", "reverb"], ["gate", "eq", "compressor", "saturation", "limiter"]
    yield "three", " + ".join(three), fixed_structure(three)
    yield "five", " + ".join(five), fixed_structure(five)
    yield "choice", "one unknown choice", one_choice
    yield "bands", "unknown bands", unknown_bands


# --- what happens to a wet recording ---------------------------------------------------------------------------------


def noisy(db: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    def add(wet: np.ndarray, random: np.random.Generator) -> np.ndarray:
        power = float(np.mean(wet.astype(np.float64) ** 2))
        return np.asarray(wet + random.standard_normal(wet.shape) * math.sqrt(power) * 10 ** (-db / 20), np.float32)

    return add


def mp3(wet: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Through MP3 at 192 kbit/s."""
    peak = max(float(np.max(np.abs(wet))), 1.0)
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", RATE, wet.shape[0], format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=0.43
    ) as f:
        f.write((wet / peak).T)
    file.seek(0)
    y, _ = soundfile.read(file, dtype="float32", always_2d=True)
    return np.ascontiguousarray(y.T[:, : wet.shape[1]]) * np.float32(peak)


def moved(wet: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Another latency and gain."""
    late, gain = int(random.integers(20, 1500)), 10 ** (random.uniform(-9.0, 3.0) / 20)
    return np.asarray(np.pad(wet, ((0, 0), (late, 0)))[:, : wet.shape[1]] * gain, np.float32)


CONDITIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "clean": lambda wet, random: wet,
    "noise60": noisy(60.0),
    "noise40": noisy(40.0),
    "mp3": mp3,
    "moved": moved,
}


def recordings(folder: Path) -> list[tuple[str, np.ndarray]]:
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in (".wav", ".flac"))
    sounds = []
    for file in files:
        x, rate = soundfile.read(file, dtype="float32", always_2d=True)
        if rate == RATE and x.shape[1] == 2:
            repeats = math.ceil((SECONDS + 0.5) * RATE / len(x))
            x = np.concatenate([x] * repeats) if repeats > 1 else x
            sounds.append((file.stem, np.ascontiguousarray(x[RATE // 2 : RATE // 2 + int(SECONDS * RATE)].T)))
    if not sounds:
        sys.exit(f"{folder} holds no stereo recording at {RATE} Hz (.wav, .flac)")
    return sounds


def held_out_error_db(result: tr.FitResult, problem: Problem, condition: str) -> float:
    """Of the result against what the hidden rack plays without noise, at the level of the wet, as LAME writes 3 % less.

    Where the wet was moved, against the wet itself.
    """
    if condition in ("clean", "moved"):
        return result.fitted.error_db
    pair, parts = result.pairs[0], result.splits[0].held_out
    clean, y = problem.hidden(pair.dry, RATE), result.rack(pair.dry, RATE)
    clean *= np.vdot(clean, pair.wet) / np.vdot(clean, clean)
    error = sum(float(np.sum((y[:, a:b] - clean[:, a:b]).astype(np.float64) ** 2)) for a, b in parts)
    energy = sum(float(np.sum(clean[:, a:b].astype(np.float64) ** 2)) for a, b in parts)
    return 10.0 * math.log10(max(error, 1e-30) / max(energy, 1e-30))


def values_found(result: tr.FitResult, problem: Problem) -> bool:
    """Whether every value that the recording determines is where it was hidden."""
    for p in result.parameters:
        if p.determined is False:
            continue
        try:
            true = float(problem.hidden.get(p.address))
        except ValueError:
            continue
        gap = abs(p.fitted - true)
        limit = WITHIN["dB"] if p.unit == "dB" else WITHIN[p.unit] * true if p.unit in WITHIN else ANYWHERE * (p.high - p.low)
        if gap > limit:
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="stereo recordings at 48 kHz (.wav, .flac)")
    parser.add_argument("--only", nargs="*", default=[], help="groups or names of structures")
    parser.add_argument("--seeds", type=int, default=5, help="problems of each structure")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--conditions", nargs="*", default=["clean"], choices=list(CONDITIONS))
    parser.add_argument("--each", action="store_true", help="a line for each problem")
    given = parser.parse_args()
    sounds = recordings(given.folder)
    print("| structure | condition | found | error, median | seconds, median | 90 % | of the processor |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for condition in given.conditions:
        for group, name, make in structures():
            if given.only and not {group, name} & set(given.only):
                continue
            rows = []
            for seed in range(given.first, given.first + given.seeds):
                random = np.random.default_rng([seed, len(name)])
                problem = make(random)
                of, dry = sounds[seed % len(sounds)]
                wet = CONDITIONS[condition](problem.hidden(dry, RATE), random)
                began, worked = time.monotonic(), time.process_time()
                result = tr.fit(problem.start, dry, wet, RATE, progress=False)
                seconds, worked = time.monotonic() - began, time.process_time() - worked
                error = held_out_error_db(result, problem, condition)
                found = error <= FOUND_DB or values_found(result, problem)
                rows.append((found, error, seconds, worked))
                if given.each:
                    says = "says found" if result.found else "says not found"
                    print(
                        f"  {name}, seed {seed}, {of}: {error:.1f} dB, {found}, {says}, {seconds:.1f} s ({worked:.1f})",
                        flush=True,
                    )
            errors, times, processor = ([r[i] for r in rows] for i in (1, 2, 3))
            print(
                f"| {name} | {condition} | {sum(r[0] for r in rows)} of {len(rows)} | {np.median(errors):.0f} dB "
                f"| {np.median(times):.1f} | {np.quantile(times, 0.9):.1f} | {np.median(processor):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
