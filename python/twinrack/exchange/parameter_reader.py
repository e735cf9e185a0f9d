"""Values in the XML of DAWproject: read in our units and ranges, and remembered as what automation may move."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from ..rack.card import Parameter
from ..rack.effects import Fader
from ..session.channel import Channel
from .scope import number, optional, switch
from .text import Notes
from .units import Scale


@dataclass(frozen=True)
class Target:
    """A value that automation may move: whose, where, and how it is read."""

    channel: Channel
    address: str
    scale: Scale
    unit: str
    low: float | None = None
    high: float | None = None


class ParameterReader:
    """Reads values of channels and devices.

    Args:
        notes: grows by what is not carried over.

    Attributes:
        targets: by an element's id, what automation may move.
    """

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.targets: dict[str, Target] = {}

    def switch(self, e: ET.Element | None, channel: Channel, fader: Fader, name: str, address: str, scale: Scale) -> None:
        if e is not None:
            fader.set(name, switch(e, "value", scale.factor < 0) != (scale.factor < 0))
            self.target(e, channel, address, scale)

    def target(self, e: ET.Element, channel: Channel, address: str, scale: Scale) -> None:
        """Remember what automation of an element moves."""
        id = e.get("id")
        if id is not None:
            low, high = optional(e, "min"), optional(e, "max")
            self.targets[id] = Target(channel, address, scale, e.get("unit", scale.unit or ""), low, high)

    def value(self, e: ET.Element, scale: Scale, p: Parameter, what: str) -> float | None:
        """The value of an element in our unit and range; None where it says none that is understood."""
        text, kind = e.get("value"), e.get("unit", scale.unit or "")
        if text is None:
            return None
        if text.strip().lower() in ("inf", "-inf", "infinity", "-infinity") and scale.unit == "decibel":
            return float(p.min) if (text.strip()[0] == "-") == (scale.factor > 0) else float(p.max)
        raw = number(e, "value")
        value = scale.read(raw, kind, optional(e, "min"), optional(e, "max"))
        if value is None:
            self.notes.add(f"{what} is left out, for {kind[:20]!r} cannot be read as {p.unit}")
            return None
        if scale.factor == -1.0:  # a reduction, which some write below 0 and some above
            value = abs(value)
        if not p.min <= value <= p.max:
            if value != float("-inf"):
                self.notes.add(f"{what} is {value:g}, which is outside {p.range_text()}; the nearest that is possible is read")
            value = min(max(value, float(p.min)), float(p.max))
        return value
