"""Other structures of a rack that a search may try: options of choices and switches, types of bands, a gain at the end."""

from __future__ import annotations

from collections.abc import Sequence

from ...rack.card import Value
from ...rack.effects import Gain
from ...rack.idle import idle
from ...rack.rack import Rack

Change = dict[str, Value]


def options_of(rack: Rack, channels: int, opened: dict[str, Sequence[Value]] | None) -> list[Change]:
    """Each change of one choice or switch that could make a difference.

    Args:
        channels: of the sound.
        opened: the options of the choices that are open; None: those that a person would try, of all effects that learn.
    """
    changes: list[Change] = []
    if opened is not None:
        return [{a: option} for a, options in opened.items() for option in options if option != rack.get(a)]
    for address, effect in rack.addresses().items():
        if effect.bypass or not any(p.learnable for p in effect.card.parameters):
            continue
        without_effect = idle(effect.card, effect.values(), channels)
        for p in effect.card.parameters:
            if p.kind == "continuous" or p.role != "main" or p.rebuilds or p.id in without_effect:
                continue
            present = effect.get(p.id)
            options: Sequence[Value] = p.options if p.kind == "choice" else (False, True)
            changes += [{f"{address}.{p.id}": option} for option in options if option != present]
    return changes


def changed(rack: Rack, change: Change) -> Rack:
    """A copy of the rack with some values changed."""
    copy = rack.copy()
    for address, value in change.items():
        copy.set(address, value)
    return copy


def with_gain(rack: Rack) -> tuple[Rack, str]:
    """A copy with a Gain at its end, and its address."""
    copy = rack.copy()
    before = set(copy.addresses())
    copy.append(Gain())
    return copy, next(a for a in copy.addresses() if a not in before)
