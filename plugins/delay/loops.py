"""Loop of a delay: what goes round is multiplied by the feedback; frozen it stays.

Neither cuts nor saturation nor interpolation pass anything louder than it came; the cross-feed shares it among the sides with
weights whose sum is 1. That holds for a delay at
rest; while it moves it stretches or squeezes the sound in time, and that this does not build up was measured at the ends of the
ranges, not proved.
"""

from twinrack.explain.certify import Loop, follower_loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    frozen = bool(effect.get("freeze"))
    gain = 1.0 if frozen else float(effect.get("feedback"))
    advice = "switch freeze off" if frozen else Loop.advice
    return [Loop("delay", "small gain", gain, advice), follower_loop("ducking", 5.0, sample_rate)]
