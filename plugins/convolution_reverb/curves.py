"""What a convolution does, in two lines: gain over frequency, and how long it sounds."""

from twinrack.measure.curves import Curve, decay_over_frequency, frequency_response
from twinrack.rack.effect import Effect


def curves(effect: Effect, sample_rate: float) -> list[Curve]:
    return [frequency_response(effect, sample_rate), decay_over_frequency(effect, sample_rate)]
