"""A peak detector has no window, one channel nothing to link."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    found = {"rms_window_ms"} if values["detector"] == "peak" else set()
    return found | ({"link_percent", "channel_mode"} if channels == 1 else set())
