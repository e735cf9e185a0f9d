"""Idle values: the time of a part whose gain is 0 dB."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    return {f"{part}_ms" for part in ("attack", "sustain") if values[f"{part}_db"] == 0.0}
