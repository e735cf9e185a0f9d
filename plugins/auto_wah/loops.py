"""Loops of an auto-wah: its filter at both ends, and its follower."""

from twinrack.explain.certify import Loop, filter_loop, follower_loop
from twinrack.rack.effect import Effect

SHAPES = {"band_pass": "band_pass", "low_pass": "high_cut"}


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    shape, q = SHAPES[str(effect.get("filter"))], float(effect.get("q"))
    every = []
    for words, name in (("at rest", "low_hz"), ("open", "high_hz")):
        every.append(filter_loop(words, shape, float(effect.get(name)), 0.0, q, sample_rate, True))
    for name in ("attack", "release"):
        every.append(follower_loop(name, float(effect.get(f"{name}_ms")), sample_rate))
    return every
