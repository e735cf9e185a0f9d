"""Loops of a saturator: the filters after the curve, and the all-passes of minimum-phase oversampling."""

import numpy as np

from twinrack import _engine
from twinrack.explain.certify import Loop, filter_loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    every = [
        filter_loop("cut at 5 Hz", "low_cut", 5.0, 0.0, np.sqrt(0.5), sample_rate),
        filter_loop("tone", "high_shelf", 1000.0, float(effect.get("tone_db")), 0.5, sample_rate),
    ]
    factor = int(str(effect.get("oversampling")))
    if effect.get("filters") == "minimum_phase" and factor > 1:
        for stage in range(factor.bit_length() - 1):
            largest = max(abs(c) for c in _engine.halfbands()["allpasses"][stage])
            every.append(Loop(f"half-band {stage + 1}", "poles", float(largest)))
    return every
