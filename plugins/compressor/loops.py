"""Followers and the sidechain's cut. With feedback the detector hears the output, which the gain, at most 1 before makeup and
mix, never makes louder than the input: it may breathe, but not grow."""

from twinrack.effect import Effect
from twinrack.explain.certify import Loop, cut_loops, follower_loop


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    found = [follower_loop(f"{name} follower", float(effect.get(f"{name}_ms")), sample_rate) for name in ("attack", "release")]
    if effect.get("detector") == "rms":
        found.append(follower_loop("average", float(effect.get("rms_window_ms")), sample_rate))
    return found + cut_loops(effect, sample_rate, low_cut="sidechain_low_cut_hz")
