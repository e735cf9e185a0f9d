"""Clones of real processors: fits the matching rack to recordings before and after one, and says how near it came.

    python benchmarks/clones.py FOLDER                    every pair of a folder: dry.flac, and KIND_NAME.flac for each
    python benchmarks/clones.py DRY WET --kind compressor  a pair of your own

Kinds: eq, compressor, gate, limiter, "limiter with levelling", reverb, saturator.
Prints, on held-out audio: the error relative to the target, the
multi-resolution STFT distance, the mean difference of levels in 100 ms, and in 10 ms (for dynamics that is the distance of
the gain's trajectory); for doing nothing, for the start values and for the fit. --out FOLDER keeps the racks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch

import twinrack as tr
from twinrack.audio import Audio
from twinrack.rack.card import Value
from twinrack.train.data import load_pairs
from twinrack.train.result import FitResult
from twinrack.train.starts import analysed

GATE_DB = -60.0


@dataclass(frozen=True)
class Kind:
    rack: Callable[[], tr.Rack]
    choices: tuple[str, ...] | dict[str, tuple[Value, ...]] = ()
    steps: int = 200
    starts: int = 1
    loss: tr.losses.Loss | None = None
    window_s: float = 8.0
    freeze: tuple[str, ...] = ()


def equaliser() -> tr.Rack:
    eq = tr.ParametricEQ()
    shapes = ("low_cut", "low_shelf", "bell", "bell", "bell", "high_shelf")
    for i, (shape, f) in enumerate(zip(shapes, (20.0, 120.0, 400.0, 1200.0, 3000.0, 8000.0), strict=True), 1):
        eq.set(f"band{i}.type", shape)
        eq.set(f"band{i}.frequency_hz", f)
    return tr.Rack([tr.Gain(), eq])


def levelling_limiter() -> tr.Rack:
    """The level is read off the quiet parts by the fit; threshold and times begin where such limiters have them."""
    compressor = tr.Compressor(threshold_db=-6, ratio=4, attack_ms=5, release_ms=50)
    return tr.Rack([tr.Gain(gain_db=9), compressor, tr.Limiter(ceiling_db=-3, release_ms=8, detector="sample_peak")])


def saturator() -> tr.Rack:
    eq = equaliser()["parametric_eq"].copy()
    eq.set("band1.type", "off")
    return tr.Rack([tr.Gain(), tr.Saturation(), eq])


KINDS = {
    "eq": Kind(
        equaliser,
        {"parametric_eq.band1.type": ("off", "low_cut"), "parametric_eq.warping": ("matched", "bilinear")},
        150,
        starts=4,
    ),
    "compressor": Kind(
        lambda: tr.Rack([tr.Compressor()]),
        ("compressor.detector", "compressor.ballistics", "compressor.envelope", "compressor.channel_mode"),
    ),
    "gate": Kind(lambda: tr.Rack([tr.Gate()]), ("gate.detector", "gate.channel_mode")),
    "limiter": Kind(
        lambda: tr.Rack([tr.Limiter()]),
        {"limiter.detector": ("true_peak", "sample_peak"), "limiter.lookahead_ms": (1.0, 1.5, 2.0, 3.0, 5.0, 8.0)},
    ),
    "limiter with levelling": Kind(  # some hold the level down slowly before they catch peaks
        levelling_limiter,
        {
            "compressor.detector": ("peak", "rms"),
            "compressor.channel_mode": ("maximum", "power_mean"),
            "limiter.lookahead_ms": (2.0, 5.0),
        },
        120,
        freeze=("gain.balance", "compressor.mix", "compressor.range_db", "compressor.sidechain*"),
        starts=0,
    ),
    "reverb": Kind(
        lambda: tr.Rack([tr.FDNReverb()]),
        (),
        250,
        loss=tr.losses.STFT() + tr.losses.Envelope(30.0) + tr.losses.LogSpectrum(),  # no echo is where another's is
        freeze=("fdn_reverb.decay*", "fdn_reverb.crossover*"),  # what the tails say is nearer than what a loss makes of it
        window_s=60.0,  # a window would begin without what is still sounding
    ),
    "saturator": Kind(
        saturator,
        {
            "saturation.curve": ("tanh", "soft_clip", "hard_clip", "asymmetric", "tape", "fold"),
            "gain.polarity": ("normal", "invert"),
        },
    ),
}
ALIASES = {"tape": "saturator", "tube": "saturator"}
ALSO = {"limiter": "limiter with levelling"}  # is tried too, and the nearer one counts


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


def clone(dry: Path, wet: Path, kind: Kind, seed: int) -> FitResult:
    rack = kind.rack()
    if kind.freeze and kind.starts:  # read first, then kept
        pairs, rate = load_pairs(dry, wet, None, True)
        read = [a for a in rack.twin(rate).learnable() if any(fnmatch(a, pattern) for pattern in kind.freeze)]
        rack = analysed(rack, pairs, rate, read, 1)[0]
    return tr.fit(
        rack,
        dry,
        wet,
        steps=kind.steps,
        choices=kind.choices,
        starts=kind.starts,
        loss=kind.loss,
        window_s=kind.window_s,
        freeze=kind.freeze,
        seed=seed,
        progress=False,
        polish_steps=40,
    )


def row(name: str, result: FitResult, seconds: float) -> str:
    cells = []
    for rack, d in ((None, result.nothing), (result.start_rack, result.start), (result.rack, result.fitted)):
        cells.append(f"{d.error_db:.1f} / {d.stft:.3f} / {d.level_db:.2f} / {trajectory_db(rack, result):.2f}")
    choices = ", ".join(f"{v}" for v in (result.structures[0].choices.values() if result.structures else ()))
    return f"| {name} | {' | '.join(cells)} | {choices} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dry", type=Path)
    parser.add_argument("wet", type=Path, nargs="?")
    parser.add_argument("--kind", choices=sorted(KINDS))
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="folder for the racks")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.wet is not None:
        if arguments.kind is None:
            parser.error("name the --kind of processor")
        jobs = [(arguments.wet.stem, arguments.dry, arguments.wet, [KINDS[arguments.kind]])]
    else:
        jobs = []
        for wet in sorted(arguments.dry.glob("*_*.flac")):
            first = wet.stem.partition("_")[0]
            kind = KINDS.get(ALIASES.get(first, first))
            also = KINDS.get(ALSO.get(first, ""))
            if kind is not None and arguments.only in wet.stem:
                jobs.append((wet.stem, arguments.dry / "dry.flac", wet, [kind, also] if also else [kind]))
    print("Each cell: error in dB / STFT distance / level in 100 ms, dB / level in 10 ms, dB\n")
    print("| pair | doing nothing | start | fitted | choices | s |\n| --- | --- | --- | --- | --- | ---: |", flush=True)
    for name, dry, wet, kinds in jobs:
        began = time.monotonic()
        results = [clone(dry, wet, kind, arguments.seed) for kind in kinds]
        result = min(results, key=lambda r: r.held_out_loss)
        print(row(name, result, time.monotonic() - began), flush=True)
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            result.rack.save(arguments.out / f"{name}.rack.json")
            (arguments.out / f"{name}.txt").write_text(f"{result}\n" + "\n".join(map(str, result.structures)) + "\n")


if __name__ == "__main__":
    main()
