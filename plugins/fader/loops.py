"""There is no loop: what comes out depends on what came in, not on what came out."""

from twinrack.explain.certify import Loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    return []
