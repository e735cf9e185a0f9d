"""Loops of a rotary speaker: the filters of its crossover."""

from twinrack.explain.certify import Loop, filter_loop
from twinrack.rack.effect import Effect
from twinrack.twins.linkwitz_riley import dampings


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    hz = float(effect.get("crossover_hz"))
    return [filter_loop("crossover", "all_pass", hz, 0.0, 1.0 / k, sample_rate) for k, _ in dampings(2)]
