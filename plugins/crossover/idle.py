"""Idle values of a crossover: splits and bands beyond its number of bands."""

from collections.abc import Mapping

from twinrack.rack.card import Value

MOST = 6


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    bands = int(str(values["number_of_bands"]))
    beyond = range(bands + 1, MOST + 1)
    return {f"split{i - 1}_hz" for i in beyond} | {f"band{i}.{name}" for i in beyond for name in ("gain_db", "mute")}
