"""What a gate does, in two lines: level out over level in, and how fast."""

from twinrack.measure.curves import Curve, step_response, transfer_curve
from twinrack.rack.effect import Effect


def curves(effect: Effect, sample_rate: float) -> list[Curve]:
    return [transfer_curve(effect, sample_rate), step_response(effect, sample_rate)]
