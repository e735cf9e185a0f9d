"""Idle values of a de-esser: the Q of all but a bell, and all that moves it where it takes nothing away."""

from collections.abc import Mapping

from twinrack.rack.card import Value

MOVING = {"threshold_db", "attack_ms", "release_ms", "relative"}


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    names = set() if values["mode"] == "bell" else {"q"}
    if values["listen"] == "band":
        return names | MOVING | {"ratio", "range_db"}
    if values["range_db"] == 0.0:
        return names | MOVING | {"ratio", "mode", "q", "frequency_hz"}
    if values["ratio"] == 1.0:
        return names | MOVING | {"range_db", "mode", "q", "frequency_hz"}
    return names
