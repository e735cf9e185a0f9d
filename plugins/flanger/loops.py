"""Loop of a flanger: what goes round the delay is multiplied by the feedback.

Interpolation between four frames passes no frequency louder than it came. That holds for a delay at rest; while it moves it
stretches or squeezes the sound in time, and that this does not build up was measured at the ends of the ranges, not proved.
"""

from twinrack.explain.certify import Loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    return [Loop("delay", "small gain", abs(float(effect.get("feedback"))))]
