"""Loops of a limiter: the two releases. Its moving mean and maximum have finite windows, so they contain no loop."""

from twinrack.explain.certify import Loop, follower_loop
from twinrack.rack.effect import Effect

SLOW_FACTOR = 6.0


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    release = float(effect.get("release_ms"))
    return [
        follower_loop("release", release, sample_rate),
        follower_loop("slow release", SLOW_FACTOR * release, sample_rate),
    ]
