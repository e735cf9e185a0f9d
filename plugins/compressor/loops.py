"""Loops of a compressor: followers and the sidechain's cut. With feedback the detector's input is the output, which the gain,
at most 1 before makeup and mix, never makes louder than the input: it may fluctuate, but not grow."""

from twinrack.explain.certify import Loop, cut_loops, detector_loops, follower_loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    every = detector_loops(effect, sample_rate) + cut_loops(effect, sample_rate, low_cut="sidechain_low_cut_hz")
    if effect.get("detector") == "moving_rms" and effect.get("topology") == "feedback":  # it averages like rms there
        every.append(follower_loop("average", float(effect.get("rms_window_ms")), sample_rate))
    return every
