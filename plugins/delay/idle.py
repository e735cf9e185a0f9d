"""Idle values: the time that a note replaces, the oscillator without depth, the sides of one channel, and what freezing stops.

So a fit of a delay that stands still learns whether it moves, by its depth, but not how: begin with a depth to learn that.
"""

from collections.abc import Mapping

from twinrack.rack.card import Value

OSCILLATOR = {"rate_hz", "start_deg", "stereo_deg"}
STOPPED = {"feedback", "cross", "low_cut_hz", "high_cut_hz", "saturation", "depth_ms", "input"}  # by freezing


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    names = {"tempo_bpm"} if values["sync"] == "free" else {"time_ms"}
    if values["depth_ms"] == 0.0 or values["freeze"]:
        names |= OSCILLATOR
    if values["freeze"]:
        names |= STOPPED
    if values["mode"] == "ping_pong":
        names |= {"cross"}
    return names | ({"right_percent", "cross", "stereo_deg"} if channels == 1 else set())
