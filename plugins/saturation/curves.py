"""What a saturator does, in two lines: level out over level in, and the harmonics of a loud tone."""

from twinrack.measure.curves import Curve, harmonics, transfer_curve
from twinrack.rack.effect import Effect


def curves(effect: Effect, sample_rate: float) -> list[Curve]:
    return [transfer_curve(effect, sample_rate), harmonics(effect, sample_rate)]
