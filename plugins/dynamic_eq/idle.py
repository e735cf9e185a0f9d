"""Idle values of a dynamic equaliser: those of bands that are off, and of a band that stands still what moves it."""

from collections.abc import Mapping

from twinrack.rack.card import Value

MOVING = ("when", "threshold_db", "ratio", "attack_ms", "release_ms")
OTHERS = ("frequency_hz", "q", "gain_db", "range_db")


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    names = set()
    for address, kind in values.items():
        band, _, name = address.partition(".")
        if name != "type":
            continue
        if kind == "off":
            names |= {f"{band}.{n}" for n in (*MOVING, *OTHERS)}
        elif values[f"{band}.range_db"] == 0.0:
            names |= {f"{band}.{n}" for n in MOVING}
        elif values[f"{band}.ratio"] == 1.0:
            names |= {f"{band}.{n}" for n in (*MOVING, "range_db") if n != "ratio"}
    return names
