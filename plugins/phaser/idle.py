"""Idle values: the rate in time with a tempo, and the tempo free of it."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    return {"tempo_bpm"} if values["sync"] == "free" else {"rate_hz"}
