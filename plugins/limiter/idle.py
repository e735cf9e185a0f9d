"""Idle values of a limiter: the link of one channel."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    return {"link_percent"} if channels == 1 else set()
