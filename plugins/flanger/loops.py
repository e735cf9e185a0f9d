"""Loop of a flanger: what goes round the delay is multiplied by the feedback.

Interpolation between four frames passes no frequency louder than it came, and a delay that moves stretches or squeezes the
sound in time but leaves its amplitude.
"""

from twinrack.explain.certify import Loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    return [Loop("delay", "small gain", abs(float(effect.get("feedback"))))]
