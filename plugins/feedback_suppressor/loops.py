"""Loops of a feedback suppressor: a notch at its deepest, in the middle of where it may stand."""

from twinrack.explain.certify import Loop, filter_loop
from twinrack.rack.effect import Effect

PLACES_HZ = (100.0, 1000.0, 10000.0)


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    depth, q = float(effect.get("depth_db")), float(effect.get("q"))
    return [filter_loop(f"notch at {hz:.0f} Hz", "bell", hz, -depth, q, sample_rate, True) for hz in PLACES_HZ]
