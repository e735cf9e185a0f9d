"""Idle values of a reverb: the width of one channel."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    return {"width"} if channels == 1 else set()
