"""A peak detector has no window, one channel nothing to link, a feedback compressor no lookahead."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    found = set()
    if values["detector"] == "peak":
        found.add("rms_window_ms")
    if channels == 1:
        found |= {"link_percent", "channel_mode"}
    if values["topology"] == "feedback":
        found.add("lookahead_ms")
    return found
