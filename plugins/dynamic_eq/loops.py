"""Loops of a dynamic equaliser: each filter by itself at both ends of its gain, and its followers."""

from twinrack.explain.certify import Loop, filter_loop, follower_loop
from twinrack.rack.effect import Effect

BANDS = 8


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    every = []
    for number in range(1, BANDS + 1):
        band = f"band{number}"
        shape = str(effect.get(f"{band}.type"))
        if shape == "off":
            continue
        f, q, gain, reach = (float(effect.get(f"{band}.{name}")) for name in ("frequency_hz", "q", "gain_db", "range_db"))
        for words, db in (("at rest", gain), ("at its range", gain + reach)):
            every.append(filter_loop(f"{band} {words}", shape, f, db, q, sample_rate, True))
        for name in ("attack", "release"):
            every.append(follower_loop(f"{band} {name}", float(effect.get(f"{band}.{name}_ms")), sample_rate))
    return every
