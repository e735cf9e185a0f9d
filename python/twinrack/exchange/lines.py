"""Automation as the straight and held pieces that DAWproject can express."""

from __future__ import annotations

from functools import partial

from ..session.automation import Lane
from .units import near, straighten


def straight(lane: Lane) -> tuple[list[tuple[float, float, bool]], int]:
    """A lane as straight and held pieces from second 0 on: (seconds, value, held); and how many of its curves were bent."""
    straightened: list[tuple[float, float, bool]] = []
    bent = 0
    pieces = lane.pieces()
    for i, (time, value, curve) in enumerate(pieces):
        last = i + 1 == len(pieces)
        end, after = (time, value) if last else pieces[i + 1][:2]
        if curve in ("hold", "linear") or last or value == after or end == time:
            straightened.append((time, value, curve == "hold" or value == after))
            continue
        bent += 1
        shares = straighten(partial(lane.between, i), 0.0, 1.0, near(lane.parameter))[:-1]
        values = lane.between(i, shares)
        straightened += [(time + float(t) * (end - time), float(v), False) for t, v in zip(shares, values, strict=True)]
    early = sum(time < 0 for time, _, _ in straightened)
    if early:
        time, value, hold = straightened[early - 1]
        if early < len(straightened) and not hold:
            then, later, _ = straightened[early]
            value += (later - value) * (0.0 - time) / (then - time)
        straightened[:early] = [(0.0, value, hold)]
    return straightened, bent
