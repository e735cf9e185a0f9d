"""Clones of real processors: fits the rack of the same kind to recordings before and after one, and says how near it came.

    python benchmarks/clones.py FOLDER                    every pair of a folder: dry.flac, and KIND_NAME.flac for each
    python benchmarks/clones.py DRY WET --kind compressor  a pair of your own

Kinds: eq, compressor, gate, limiter, reverb, saturator (also tape, tube), delay, chorus, flanger, phaser, tremolo, autopan,
ring (modulator), transient, deesser, dynamic (EQ), multiband (compressor), exciter, bass (enhancer). A fit is told nothing
but the effect: values and options begin at the card's defaults.
Prints, on held-out audio: the error relative to the target, the multi-resolution STFT distance, and the mean difference of
levels in 10 ms (for dynamics that is the distance of the gain's trajectory), for doing nothing, for the defaults and for the
fit; the changes that the fit made to the structure; and the processor time. --out FOLDER keeps racks and results.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import twinrack as tr
from twinrack.audio import Audio
from twinrack.train.result import FitResult

GATE_DB = -60.0
KINDS: dict[str, Callable[[], tr.Rack]] = {
    "eq": lambda: tr.Rack([tr.ParametricEQ()]),
    "compressor": lambda: tr.Rack([tr.Compressor()]),
    "gate": lambda: tr.Rack([tr.Gate()]),
    "limiter": lambda: tr.Rack([tr.Limiter()]),
    "reverb": lambda: tr.Rack([tr.ConvolutionReverb()]),
    "saturator": lambda: tr.Rack([tr.Saturation()]),
    "delay": lambda: tr.Rack([tr.Delay()]),
    "chorus": lambda: tr.Rack([tr.Chorus()]),
    "flanger": lambda: tr.Rack([tr.Flanger()]),
    "phaser": lambda: tr.Rack([tr.Phaser()]),
    "tremolo": lambda: tr.Rack([tr.Tremolo()]),
    "autopan": lambda: tr.Rack([tr.AutoPan()]),
    "ring": lambda: tr.Rack([tr.RingModulator()]),
    "transient": lambda: tr.Rack([tr.TransientShaper()]),
    "deesser": lambda: tr.Rack([tr.Deesser()]),
    "dynamic": lambda: tr.Rack([tr.DynamicEQ(bands=[tr.DynamicBand("bell")])]),
    "multiband": lambda: tr.Rack([tr.Bands([[tr.Compressor()] for _ in range(4)])]),
    "exciter": lambda: tr.Rack([tr.Bands([[], [tr.Saturation()]], splits_hz=[4000])]),
    "bass": lambda: tr.Rack([tr.Bands([[tr.Saturation()], []], splits_hz=[150])]),
}
ALIASES = {"tape": "saturator", "tube": "saturator"}


def trajectory_db(rack: tr.Rack | None, result: FitResult) -> float:
    """Mean difference of the level in 10 ms, on held-out audio where the target is above the gate."""
    gaps = []
    for pair, parts in zip(result.pairs, result.splits, strict=True):
        y = pair.dry if rack is None else rack(pair.dry, result.sample_rate)
        size = int(0.01 * result.sample_rate)

        def levels(x: Audio, size: int = size) -> np.ndarray:
            n = x.shape[1] // size
            return 10 * np.log10(np.mean(x[:, : n * size].astype(np.float64).reshape(x.shape[0], n, size) ** 2, (0, 2)) + 1e-12)

        for a, b in parts.held_out:
            target = levels(pair.wet[:, a:b])
            gaps.append(np.abs(levels(y[:, a:b]) - target)[target > GATE_DB])
    return float(np.mean(np.concatenate(gaps)))


def changes(result: FitResult) -> str:
    """Choices of the fitted rack that are not the start's, and effects that were added."""
    found = result.rack.values()
    before = result.start_rack.values()
    words = [str(v) for a, v in found.items() if isinstance(v, str) and before.get(a, v) != v]
    added = [a for a in result.rack.addresses() if a not in result.start_rack.addresses()]
    return ", ".join([*words, *(f"with {a}" for a in added)])


def row(name: str, result: FitResult, seconds: float) -> str:
    cells = []
    for rack, d in ((None, result.nothing), (result.start_rack, result.start), (result.rack, result.fitted)):
        cells.append(f"{d.error_db:.1f} dB, {d.stft:.3f}, {trajectory_db(rack, result):.2f} dB")
    return f"| {name} | {' | '.join(cells)} | {changes(result)} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dry", type=Path)
    parser.add_argument("wet", type=Path, nargs="?")
    parser.add_argument("--kind", choices=sorted(KINDS))
    parser.add_argument("--only", nargs="*", default=[""], help="names that contain one of these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dry", dest="dry_of_all", type=Path, help="what the pairs of a folder were made from, where dry.flac is not in it"
    )
    parser.add_argument("--minutes", type=float, help="so long each fit may take")
    parser.add_argument("--out", type=Path, help="folder for racks and results")
    arguments = parser.parse_args()
    if arguments.wet is not None:
        if arguments.kind is None:
            parser.error("name the --kind of processor")
        jobs = [(arguments.wet.stem, arguments.dry, arguments.wet, arguments.kind)]
    else:
        jobs = []
        dry_of_all = arguments.dry_of_all or arguments.dry / "dry.flac"
        for wet in sorted(arguments.dry.glob("*_*.flac")):
            first = wet.stem.partition("_")[0]
            kind = ALIASES.get(first, first)
            if kind in KINDS and any(part in wet.stem for part in arguments.only):
                jobs.append((wet.stem, dry_of_all, wet, kind))
    print("Each cell: error, STFT distance, level in 10 ms\n")
    print(
        "| pair | doing nothing | start | fitted | structure | processor s |\n| --- | --- | --- | --- | --- | ---: |",
        flush=True,
    )
    for name, dry, wet, kind in jobs:
        began = time.process_time()
        result = tr.fit(KINDS[kind](), dry, wet, seed=arguments.seed, minutes=arguments.minutes, progress=False)
        print(row(name, result, time.process_time() - began), flush=True)
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            result.rack.save(arguments.out / f"{name}.rack.json")
            (arguments.out / f"{name}.txt").write_text(f"{result}\n" + "\n".join(map(str, result.structures)) + "\n")


if __name__ == "__main__":
    main()
