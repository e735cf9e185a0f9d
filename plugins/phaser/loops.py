"""Loop of a phaser: the stages keep the level of every frequency, so one turn multiplies by the feedback."""

import math

from twinrack.explain.certify import Loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    stage = "pole of a stage"
    return [Loop("stages", "small gain", abs(float(effect.get("feedback")))), Loop(stage, "poles", largest_pole(sample_rate))]


def largest_pole(sample_rate: float) -> float:
    """Of an all-pass of first order at 40 Hz or 0.45 of the sample rate, where they are nearest to the circle."""
    return max(abs((math.tan(math.pi * f) - 1.0) / (math.tan(math.pi * f) + 1.0)) for f in (40.0 / sample_rate, 0.45))
