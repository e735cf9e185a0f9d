"""Idle values of a compressor: the window of a peak detector, the link of one channel, the lookahead with feedback."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    names = set()
    if values["detector"] == "peak":
        names.add("rms_window_ms")
    if channels == 1:
        names |= {"link_percent", "channel_mode"}
    if values["topology"] == "feedback":
        names.add("lookahead_ms")
    return names
