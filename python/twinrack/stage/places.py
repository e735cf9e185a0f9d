"""Addresses of a live stream: the parameters and bypasses of its racks' effects, and the level and mute of each line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..rack.card import Parameter, Value
from ..rack.effect import Effect, unknown
from .line import HIGHEST_DB, LOWEST_DB, Line

LEVEL = Parameter(
    "level_db", "continuous", 0.0, "Level of the line.", "About 10 dB more is heard as twice as loud.", "dB",
    LOWEST_DB, HIGHEST_DB, (-40.0, 6.0), smoothing_ms=10.0,
)  # fmt: skip
MUTE = Parameter("mute", "switch", False, "Silence of the line.", "Nothing of it is heard.")
BYPASS = Parameter("bypass", "switch", False, "Leaves the sound as it is.", "The effect is not heard.")


@dataclass(frozen=True)
class Place:
    """The target of an address: a parameter of an effect, its bypass, or a line's level or mute (then `effect` is empty)."""

    line: str
    effect: str
    name: str
    parameter: Parameter


class Places:
    """The addresses of some lines.

    An address is the rack's ("compressor.ratio"), "compressor.bypass", "level_db" or "mute"; with several lines after the
    line's name ("voice/compressor.ratio"). Without a line, the first one is meant.

    Args:
        lines: by name.
    """

    def __init__(self, lines: Mapping[str, Line]) -> None:
        self.lines = lines

    def address(self, line: str, below: str) -> str:
        """The full address of something in a line."""
        return below if len(self.lines) == 1 else f"{line}/{below}"

    def addresses(self) -> dict[str, Place]:
        """Everything that can be set."""
        places = {}
        for name, line in self.lines.items():
            for effect, e in line.rack.addresses().items():
                for below, p in {**e.card.addresses, "bypass": BYPASS}.items():
                    places[self.address(name, f"{effect}.{below}")] = Place(name, effect, below, p)
            for p in (LEVEL, MUTE):
                places[self.address(name, p.id)] = Place(name, "", p.id, p)
        return places

    def find(self, address: str) -> Place:
        """The target of an address.

        Raises:
            ValueError: unknown address; names the nearest one.
        """
        head, slash, below = address.rpartition("/")
        name, line = self.line(head if slash else None)
        if below in ("level_db", "mute"):
            return Place(name, "", below, LEVEL if below == "level_db" else MUTE)
        effect, parameter = line.rack.running.split(below)
        where = below.partition(".")[0]
        if parameter == "bypass":
            return Place(name, where, parameter, BYPASS)
        if parameter not in effect.card.addresses:
            raise ValueError(unknown(parameter, [*effect.card.addresses, "bypass"], where))
        return Place(name, where, parameter, effect.card.addresses[parameter])

    def line(self, line: str | None) -> tuple[str, Line]:
        """The name and the line of a name; None is the first.

        Raises:
            ValueError: there is no such line; the nearest is named.
        """
        name = next(iter(self.lines)) if line is None else line
        if name not in self.lines:
            raise ValueError(unknown(name, list(self.lines), "the stream", "line"))
        return name, self.lines[name]

    def effect(self, address: str) -> tuple[str, Line, str]:
        """The line's name, the line, and the address within its rack, of an effect.

        Raises:
            ValueError: there is no such effect; the nearest is named.
        """
        head, slash, effect = address.rpartition("/")
        name, line = self.line(head if slash else None)
        if effect not in line.rack.addresses():
            raise ValueError(unknown(effect, list(line.rack.addresses()), f"rack {line.rack.name!r}", "effect"))
        return name, line, effect

    def get(self, place: Place) -> Value:
        """The value at a place."""
        line = self.lines[place.line]
        if not place.effect:
            return line.level_db if place.name == "level_db" else line.mute
        effect: Effect = line.rack[place.effect]
        return effect.bypass if place.name == "bypass" else effect.get(place.name)
