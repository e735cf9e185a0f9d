"""What a reverb does, in one line: how long each frequency sounds."""

from twinrack.measure.curves import Curve, decay_over_frequency
from twinrack.rack.effect import Effect


def curves(effect: Effect, sample_rate: float) -> list[Curve]:
    return [decay_over_frequency(effect, sample_rate)]
