"""Loops of a de-esser: its filters at both ends of their gain, and its followers."""

from twinrack.explain.certify import Loop, filter_loop, follower_loop
from twinrack.rack.effect import Effect

SHELF_Q = 0.5**0.5


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    mode, f, reach = str(effect.get("mode")), float(effect.get("frequency_hz")), float(effect.get("range_db"))
    q = float(effect.get("q")) if mode == "bell" else SHELF_Q
    detector, shape = ("band_pass", "bell") if mode == "bell" else ("low_cut", "high_shelf")
    every = [filter_loop("detector", detector, f, 0.0, q, sample_rate, True)]
    if mode != "wide":
        every += [filter_loop(f"{shape} {db:g} dB", shape, f, db, q, sample_rate, True) for db in (0.0, -reach)]
    return every + [follower_loop(name, float(effect.get(f"{name}_ms")), sample_rate) for name in ("attack", "release")]
