"""Loops of a compressor: followers and the sidechain's cut. With feedback the detector's input is the output, which the gain,
at most 1 before makeup and mix, never makes louder than the input: it may fluctuate, but not grow."""

from twinrack.explain.certify import Loop, cut_loops, detector_loops
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    return detector_loops(effect, sample_rate) + cut_loops(effect, sample_rate, low_cut="sidechain_low_cut_hz")
