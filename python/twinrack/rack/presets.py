"""Presets of effects: settings with names that engineers use, set by hand, in `plugins/<id>/presets.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ..checks import brief
from .card import CARDS, hint_for
from .effect import CLASSES, Effect

FILE = "presets.toml"


@dataclass(frozen=True)
class Preset:
    """A setting of an effect.

    Attributes:
        effect: id of its card.
        name: such as "drum bus".
        text: what it is for.
        values: by address; all others are the card's defaults.
    """

    effect: str
    name: str
    text: str
    values: Mapping[str, Any]

    def make(self) -> Effect:
        """A new effect with these values."""
        effect = CLASSES[self.effect]()
        self.apply(effect)
        return effect

    def apply(self, effect: Effect) -> None:
        """Set an effect's values: these, and of all others the card's defaults.

        Raises:
            ValueError: it is another effect.
        """
        if effect.card.id != self.effect:
            raise ValueError(f"the preset {brief(self.name)} is one of {self.effect}, not of {effect.card.id}")
        for address, value in self.full().items():
            effect.set(address, value)

    def full(self) -> dict[str, Any]:
        """Every value by its address."""
        return {**CLASSES[self.effect]().values(), **self.values}


def presets(effect: str) -> dict[str, Preset]:
    """The presets of an effect by name; empty where it has none.

    Args:
        effect: id of its card, such as "compressor".

    Raises:
        ValueError: there is no such effect.
    """
    if effect not in CARDS:
        raise ValueError(f"there is no effect {brief(effect)}{hint_for(effect, list(CARDS))}")
    return dict(_presets(effect))


def preset(effect: str, name: str) -> Effect:
    """A new effect with the values of a preset: `preset("compressor", "vocal")`.

    Raises:
        ValueError: there is no such effect, or it has no such preset.
    """
    known = presets(effect)
    if name not in known:
        listed = f"; there are {', '.join(known)}" if known else "; it has none"
        raise ValueError(f"{effect} has no preset {brief(name)}{listed}")
    return known[name].make()


@cache
def _presets(effect: str) -> dict[str, Preset]:
    place = files("twinrack.plugins") / effect / FILE
    if not place.is_file():
        return {}
    given = tomllib.loads(place.read_text(encoding="utf-8"))
    return {name: Preset(effect, name, p["text"], _flat(p["values"])) for name, p in given.items()}


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """By address: TOML reads "band1.type" as a table."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat
