"""Idle values of mid/side levels: that of the side where there are no two sides."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    return {"side_gain_db"} if channels == 1 else set()
