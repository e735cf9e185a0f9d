"""Idle values of a gate: the window of a peak detector, the link of one channel."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    window = {"rms_window_ms"} if values["detector"] == "peak" else set()
    return window | ({"link_percent", "channel_mode"} if channels == 1 else set())
