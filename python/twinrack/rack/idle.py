"""Values of an effect that do nothing as the others are: the gain of a low cut, the RMS window of a peak detector."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from .card import Card, Value


def idle(card: Card, values: Mapping[str, Value], channels: int | None = None) -> set[str]:
    """Addresses below the effect of values that nothing depends on.

    An effect says so in `plugins/<id>/idle.py`, by a function of the same arguments but for the card; one without that file
    has none. What does nothing is not trained, and not noted.

    Args:
        values: all values of the effect by address.
        channels: of the sound; None where it is not known.
    """
    try:
        module = import_module(f"twinrack.plugins.{card.id}.idle")
    except ModuleNotFoundError:
        return set()
    names: set[str] = module.idle(values, channels)
    return names
