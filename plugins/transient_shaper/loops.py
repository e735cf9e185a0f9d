"""Loops of a transient shaper: its followers of the level."""

from twinrack.explain.certify import Loop, follower_loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    times = {"level": 15.0, "attack": float(effect.get("attack_ms")), "sustain": float(effect.get("sustain_ms"))}
    return [follower_loop(name, time, sample_rate) for name, time in times.items()]
