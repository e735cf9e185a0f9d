"""The card of another maker's plugin, made from what it declares."""

from __future__ import annotations

import keyword
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..rack.card import Card, Parameter, Value
from .description import LARGEST_STEPS, Description, Port, Positions, format_of, identifier

UNDECLARED = 1e6  # the range of a control that declares none, both ways
JUMPS = "Heard as the plugin makes it heard; it is set from one tick to the next."
# Attributes and arguments that effects have themselves.
TAKEN = frozenset(
    ("block_frames", "bpm", "build", "bypass", "card", "check", "complaint", "copy", "default", "device_frames",
     "frames_before", "get", "hears_midi", "identity", "is_waited_for", "key", "late", "latency_at", "latency_frames",
     "load_preset", "midi", "name", "open_editor", "outside", "pids", "plugin", "preset", "preset_path", "presets",
     "rebuild", "resources", "restarts", "restore", "save_preset", "send_midi", "set", "state", "synchronous",
     "timeline", "unused", "uri", "uri_format", "values", "waiting_beside", "whole_state", "work")
)  # fmt: skip


@dataclass(frozen=True)
class PluginParameter(Parameter):
    """A control of a plugin.

    Attributes:
        port: its number in the plugin.
        symbol: its name there.
        is_integer: it takes integers only.
        numbers: of a choice, the number that stands for each option.
        number: by which CLAP and VST3 know it.
        positions: how the plugin knows numbers in the unit; None where it knows them as they are.
    """

    port: int = 0
    symbol: str = ""
    is_integer: bool = False
    numbers: tuple[float, ...] = field(default=())
    number: int = 0
    positions: Positions | None = field(default=None, repr=False)

    def check(self, value: object, place: str) -> Value:
        checked = super().check(value, place)
        if self.is_integer and self.kind == "continuous" and not float(checked).is_integer():
            raise ValueError(f"{place}.{self.id} = {checked:g} has a fraction; give an integer ({self.range_text()})")
        return checked

    def to_engine(self, value: Value) -> float:
        """The number that the plugin knows."""
        if self.kind == "choice":
            return self.numbers[self.options.index(str(value))]
        return float(value)

    def from_plugin(self, number: float) -> Value:
        """The nearest value that the card has, from a number in the unit."""
        if self.kind == "choice":
            return self.options[min(range(len(self.numbers)), key=lambda i: abs(self.numbers[i] - number))]
        if self.kind == "switch":
            return number > 0.5
        number = min(max(number, self.min), self.max)
        return float(round(number)) if self.is_integer else number

    def rounded(self, number: float) -> float:
        """A number that the plugin gave, without the error of 32 bits."""
        return float(str(np.float32(number))) if self.positions is None else self.positions.rounded(number)

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest number that the plugin may get."""
        if self.kind == "choice":
            return min(self.numbers), max(self.numbers)
        return (0.0, 1.0) if self.kind == "switch" else (self.min, self.max)


def card_of(description: Description) -> Card:
    """The card: units, ranges, options and scales as the plugin declares them."""
    names: set[str] = set()
    parameters = []
    for port in description.controls.values():
        name = port.symbol if port.symbol.isidentifier() and not port.symbol.startswith("_") else f"p_{port.symbol.lstrip('_')}"
        while name in TAKEN or name in names or keyword.iskeyword(name):
            name += "_"
        names.add(name)
        parameters.append(_parameter(name, port))
    by = f", by {description.author}" if description.author else ""
    return Card(
        id=f"{format_of(description.uri)}_{identifier(description.name)}",
        class_name="Plugin",
        name=description.name,
        version="1.0.0",
        purpose=f"{description.name}{by}: another maker's plugin ({description.category}).",
        rationale="It plays in a process of its own. What it does is its maker's affair; the card repeats what it declares, "
        "and `check()` measures whether it keeps its word. It has no twin.",
        assumptions=(),
        references=(description.uri,),
        channels="any",
        latency="none",  # it is not a value that sets it
        sidechain=any(p.is_sidechain for p in description.audio(True)),
        parameters=tuple(parameters),
        groups=(),
        category="plugin",
    )


def _parameter(name: str, port: Port) -> PluginParameter:
    default = port.default if math.isfinite(port.default) else port.min if math.isfinite(port.min) else 0.0
    low = port.min if math.isfinite(port.min) else -UNDECLARED
    high = port.max if math.isfinite(port.max) else UNDECLARED
    low, high = min(low, default), max(high, default)  # some begin outside what they declare
    default, low, high = (float(str(np.float32(v))) for v in (default, low, high))  # 0.27, not 0.270000011
    group = f" ({port.group})" if port.group else ""
    doc = f"{port.name}{group}."
    common: dict[str, Any] = {
        "id": name, "doc": doc, "perceptual": JUMPS, "port": port.index, "symbol": port.symbol, "number": port.number,
        "positions": port.positions,
    }  # fmt: skip
    if port.is_switch:
        return PluginParameter(**common, kind="switch", default=default > 0.5)
    if port.options and len(port.options) > 1:
        options, numbers = tuple(port.options), tuple(port.options.values())
        nearest = options[min(range(len(numbers)), key=lambda i: abs(numbers[i] - default))]
        return PluginParameter(**common, kind="choice", default=nearest, options=options, numbers=numbers)
    if low >= high:
        high = low + 1.0
    is_fine = port.is_integer and high - low <= LARGEST_STEPS
    return PluginParameter(
        **common, kind="continuous", default=float(default), unit=port.unit or "1", min=float(low), max=float(high),
        expected=(float(low), float(high)), scale="log" if port.is_log and low > 0.0 else "linear",
        learnable=not port.is_integer, role="fine" if is_fine else "main", is_integer=port.is_integer,
    )  # fmt: skip
