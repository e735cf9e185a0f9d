"""Cuts, notches, band and all passes have no gain, and only cuts have a slope."""

from collections.abc import Mapping

from twinrack.rack.card import Value

WITH_GAIN = ("bell", "low_shelf", "high_shelf")
WITH_SLOPE = ("low_cut", "high_cut")


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    found = set()
    for address, kind in values.items():
        band, _, name = address.partition(".")
        if name != "type":
            continue
        if kind == "off":
            found |= {f"{band}.{n}" for n in ("frequency_hz", "gain_db", "q", "slope_db_per_octave")}
        if kind not in WITH_GAIN:
            found.add(f"{band}.gain_db")
        if kind not in WITH_SLOPE:
            found.add(f"{band}.slope_db_per_octave")
    return found
