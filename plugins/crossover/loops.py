"""Loops of a crossover: each filter by itself, as there is no way back from one to another."""

from twinrack.explain.certify import Loop, filter_loop
from twinrack.rack.effect import Effect
from twinrack.twins.linkwitz_riley import dampings


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    every = []
    for split in range(1, int(str(effect.get("number_of_bands")))):
        hz = max(float(effect.get(f"split{i}_hz")) for i in range(1, split + 1))
        for number, (k, _) in enumerate(dampings(int(str(effect.get("slope_db_per_octave"))) // 12), start=1):
            every.append(filter_loop(f"split {split}, section {number}", "all_pass", hz, 0.0, 1.0 / k, sample_rate))
    return every
