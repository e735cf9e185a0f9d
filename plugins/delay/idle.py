"""Idle values: the time that a note replaces, the movement without depth, the sides of one channel, and what freezing stops."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    names = {"tempo_bpm"} if values["sync"] == "free" else {"time_ms"}
    if values["depth_ms"] == 0.0 or values["freeze"]:
        names |= {"rate_hz", "start_deg", "stereo_deg"}
    if values["freeze"]:
        names |= {"feedback", "low_cut_hz", "high_cut_hz", "saturation", "depth_ms", "input"}
    if values["mode"] == "ping_pong":
        names |= {"cross"}
    return names | ({"right_percent", "cross", "stereo_deg"} if channels == 1 else set())
