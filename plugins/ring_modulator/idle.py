"""Idle values of a ring modulator: the sides of one channel, and the sine's where nothing of it is heard."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    if values["mix"] == 0.0:
        return {"frequency_hz", "stereo_deg", "start_deg"}
    return {"stereo_deg"} if channels == 1 else set()
