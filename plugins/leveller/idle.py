"""Idle values of a leveller: all that moves the gain, where it may neither rise nor fall."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    boost, cut = float(values["max_boost_db"]), float(values["max_cut_db"])
    if boost == 0.0 and cut == 0.0:
        return {"target_lufs", "rise_db_per_s", "fall_db_per_s", "pause_lufs", "window_s"}
    return set()
