"""There is no loop: what comes out depends on what came in, not on what came out."""

from twinrack.effect import Effect
from twinrack.explain.certify import Loop


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    return []
