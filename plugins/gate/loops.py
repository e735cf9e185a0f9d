"""Loops of a gate: followers and the sidechain's cuts."""

from twinrack.explain.certify import Loop, cut_loops, detector_loops
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    return detector_loops(effect, sample_rate) + cut_loops(
        effect, sample_rate, low_cut="sidechain_low_cut_hz", high_cut="sidechain_high_cut_hz"
    )
