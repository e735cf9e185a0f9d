"""How often the 95 % interval of a fitted value (1.96 standard errors) holds the hidden truth.

    python benchmarks/intervals.py FOLDER --racks 200 --conditions clean noise60 noise40

Random racks as in `recovery.py` play recordings from FOLDER, without noise and with white noise; plain fits from defaults.
Counted are the numbers of all fits whose result says that it found the values; a value that is said not to be determined has
an infinite interval. Bands of an equaliser are compared in the order of their frequencies, as their numbers mean nothing.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

import twinrack as tr
from recovery import CONDITIONS, RATE, recordings, structures

INTERVAL = 1.96


def standard_scores(hidden: tr.Rack, result: tr.FitResult) -> dict[str, float]:
    """Of each value its distance from the truth in standard errors; bands in their order."""
    order: dict[str, str] = {}
    for address, effect in hidden.addresses().items():
        if effect.card.id != "parametric_eq":
            continue
        by_type: dict[str, list[list[tuple[float, int]]]] = defaultdict(lambda: [[], []])
        for which, rack in enumerate((hidden, result.rack)):
            for i in range(1, 17):
                kind = str(rack.get(f"{address}.band{i}.type"))
                if kind != "off":
                    by_type[kind][which].append((float(rack.get(f"{address}.band{i}.frequency_hz")), i))
        for true, found in by_type.values():
            for (_, t), (_, f) in zip(sorted(true), sorted(found), strict=False):
                order[f"{address}.band{f}."] = f"{address}.band{t}."
    scores = {}
    for p in result.parameters:
        effect = p.address.partition(".")[0]
        if effect not in hidden.addresses() or p.standard_error is None:
            scores[p.address] = 0.0
            continue
        prefix = p.address[: p.address.rfind(".") + 1]
        truth = float(hidden.get(p.address.replace(prefix, order.get(prefix, prefix), 1)))
        scores[p.address] = abs(p.fitted - truth) / max(p.standard_error, 1e-30)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="stereo recordings at 48 kHz (.wav, .flac)")
    parser.add_argument("--racks", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first rack")
    parser.add_argument("--conditions", nargs="*", default=["clean", "noise60", "noise40"], choices=list(CONDITIONS))
    given = parser.parse_args()
    sounds = recordings(given.folder)
    chosen = [s for s in structures() if s[0] in ("single", "pair")]
    scores: dict[str, list[float]] = defaultdict(list)
    fits: dict[str, list[bool]] = defaultdict(list)
    for i in range(given.first, given.first + given.racks):
        _, structure, make = chosen[i % len(chosen)]
        for condition in given.conditions:
            random = np.random.default_rng([i, 95])
            problem, (_, dry) = make(random), sounds[i % len(sounds)]
            wet = CONDITIONS[condition](problem.hidden(dry, RATE), random)
            result = tr.fit(problem.start, dry, wet, RATE, align=False, progress=False)
            own = list(standard_scores(problem.hidden, result).values())
            fits[condition].append(bool(result.found))
            if result.found:
                scores[condition] += own
            held = sum(score <= INTERVAL for score in own)
            says = "found" if result.found else "not found"
            error = f"{result.fitted.error_db:.0f} dB"
            print(f"  {i}, {structure}, {condition}: {error}, {says}, {held} of {len(own)} hold it", flush=True)
    for condition, values in scores.items():
        held = float(np.mean(np.array(values) <= INTERVAL))
        found = sum(fits[condition])
        print(f"{condition}: {found} of {len(fits[condition])} found; {100 * held:.1f} % of {len(values)} intervals hold it")


if __name__ == "__main__":
    main()
