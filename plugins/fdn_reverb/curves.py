"""What a reverb does, in one line: how long each frequency sounds."""

from twinrack.effect import Effect
from twinrack.explain.curves import Curve, decay_over_frequency


def curves(effect: Effect, sample_rate: float) -> list[Curve]:
    return [decay_over_frequency(effect, sample_rate)]
