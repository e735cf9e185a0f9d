"""Idle values of an equaliser: the gain of cuts, notches, band and all passes, and the slope of all but cuts."""

from collections.abc import Mapping

from twinrack.rack.card import Value

WITH_GAIN = ("bell", "low_shelf", "high_shelf")
WITH_SLOPE = ("low_cut", "high_cut")


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    names = set()
    for address, kind in values.items():
        band, _, name = address.partition(".")
        if name != "type":
            continue
        if kind == "off":
            names |= {f"{band}.{n}" for n in ("frequency_hz", "gain_db", "q", "slope_db_per_octave")}
        if kind not in WITH_GAIN:
            names.add(f"{band}.gain_db")
        if kind not in WITH_SLOPE:
            names.add(f"{band}.slope_db_per_octave")
    return names
