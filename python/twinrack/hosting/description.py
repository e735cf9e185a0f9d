"""The description of a plugin, as it declares itself: ports with units, ranges and options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

UNITS = {
    "db": "dB", "hz": "Hz", "khz": "kHz", "ms": "ms", "s": "s", "pc": "%", "coef": "1", "bpm": "bpm", "cent": "cents",
    "semitone12TET": "semitones", "oct": "octaves", "degree": "degrees", "frame": "frames", "m": "m", "cm": "cm", "bar": "bars",
    "beat": "beats", "min": "min", "midiNote": "MIDI note",
}  # fmt: skip
SIDE_WORDS = ("sidechain", "side chain", "side-chain", "external")
LARGEST_STEPS = 64  # of an integer that is shown as a choice


@dataclass(frozen=True)
class Port:
    """One port of a plugin, as it declares it.

    Attributes:
        index, symbol, name: by which it is known.
        kind: "audio", "control", "cv", "atom" (MIDI and other events) or "other".
        is_input: or an output.
        default, min, max: of a control, in its unit; NaN where nothing is declared.
        unit: such as "dB"; empty for none.
        is_log: its scale is logarithmic, and can be: the range is above 0.
        is_integer, is_switch: it takes integers only; off and on only.
        options: of an enumeration, names by value.
        group: the name of the group that it belongs to.
        is_sidechain: it is declared one, or its name says so.
        designation: what it means to every host, such as "enabled" or "latency".
        is_trigger: a button: it acts when it is pressed.
    """

    index: int
    symbol: str
    name: str
    kind: str
    is_input: bool
    default: float
    min: float
    max: float
    unit: str
    is_log: bool
    is_integer: bool
    is_switch: bool
    options: Mapping[str, float]
    group: str
    is_sidechain: bool
    designation: str
    is_trigger: bool = False

    def range_text(self) -> str:
        """Range or options, as a person reads them."""
        if self.is_switch:
            return "on or off"
        if self.options:
            return ", ".join(self.options)
        if math.isnan(self.min) or math.isnan(self.max):
            return "not declared"
        return f"{self.min:g} to {self.max:g} {self.unit}".rstrip() + (" (logarithmic)" if self.is_log else "")

    def checked(self, value: object, plugin: str) -> float:
        """A value of a control as the plugin takes it: a number in its range, the name of an option, on or off.

        Raises:
            ValueError: says the control, the value and the range.
        """
        place = f"{plugin}.{self.symbol}"
        if isinstance(value, str):
            if value not in self.options:
                raise ValueError(f"{place} = {value!r} is none of {self.range_text()}")
            return self.options[value]
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{place} = {value!r} is not a number (allowed: {self.range_text()})")
        if not math.isnan(self.min) and not self.min - 1e-6 * abs(self.min) <= value <= self.max + 1e-6 * abs(self.max):
            raise ValueError(f"{place} = {value:g} is outside its range (allowed: {self.range_text()})")
        return float(value)


@dataclass(frozen=True)
class Description:
    """The description of a plugin, as it declares itself.

    Attributes:
        uri, name, author, category: of the plugin.
        bundle: the folder that it is in.
        missing: features that it requires and no host here has; empty for one that can be loaded.
        ports: all of them, in order.
        presets: addresses by name.
    """

    uri: str
    name: str
    author: str
    category: str
    bundle: str
    missing: tuple[str, ...]
    ports: tuple[Port, ...]
    presets: Mapping[str, str]

    @property
    def controls(self) -> dict[str, Port]:
        """The values that a user may set, by symbol; without the switch of the whole."""
        return {
            p.symbol: p
            for p in self.ports
            if p.kind == "control" and p.is_input and p.designation not in ("enabled", "freeWheeling")
        }

    def audio(self, is_input: bool) -> list[Port]:
        """The audio ports of one direction, in order."""
        return [p for p in self.ports if p.kind == "audio" and p.is_input == is_input]

    @property
    def main_inputs(self) -> list[Port]:
        """The audio inputs without the sidechains."""
        return [p for p in self.audio(True) if not p.is_sidechain]

    @property
    def latency_port(self) -> Port | None:
        """The output on which it reports its latency in frames."""
        outputs = [p for p in self.ports if p.kind == "control" and not p.is_input]
        return next((p for p in outputs if p.designation == "latency"), None) or next(
            (p for p in outputs if p.symbol in ("latency", "_latency")), None
        )


def description(data: Mapping[str, Any], sample_rate: float) -> Description:
    """The description from what the host program says.

    Args:
        data: its answer.
        sample_rate: Hz, for ranges that are multiples of it.
    """
    ports = tuple(_port(p, sample_rate) for p in data["ports"])
    if not any(p.is_sidechain for p in ports if p.kind == "audio"):
        ports = tuple(_sidechain_by_name(ports))
    presets = {label or uri: uri for uri, label in data["presets"]}
    return Description(
        data["uri"], data["name"] or data["uri"], data["author"], data["class"], data["bundle"], tuple(data["missing"]), ports,
        dict(sorted(presets.items())),
    )  # fmt: skip


def _port(data: Mapping[str, Any], rate: float) -> Port:
    times = rate if data["times_rate"] else 1.0
    default, low, high = (math.nan if data[k] is None else data[k] * times for k in ("default", "min", "max"))
    if not math.isnan(low) and not math.isnan(high) and low > high:
        low, high = high, low
    is_switch = bool(data["toggled"])
    if is_switch:
        low, high = 0.0, 1.0
    points = sorted(((label, value) for label, value in data["points"] if value is not None), key=lambda pair: pair[1])
    are_all = len(points) > 1 and len(points) >= min(high - low + 1, LARGEST_STEPS)
    is_choice = data["enumeration"] or (data["integer"] and are_all)
    options = {str(label): float(value) for label, value in points} if is_choice and not is_switch else {}
    unit = UNITS.get(data["unit"], "") or data["unit_symbol"] or ""
    return Port(
        data["index"], data["symbol"], data["name"], data["kind"], data["is_input"], default, low, high,
        "" if unit == "1" else unit, bool(data["logarithmic"]) and low > 0.0, bool(data["integer"]), is_switch, options,
        data["group"], bool(data["sidechain"]), data["designation"], bool(data["trigger"]),
    )  # fmt: skip


def _sidechain_by_name(ports: tuple[Port, ...]) -> list[Port]:
    """The ports, with audio inputs beyond those of the outputs marked whose names say that they are sidechains."""
    outputs = sum(p.kind == "audio" and not p.is_input for p in ports)
    inputs = [p for p in ports if p.kind == "audio" and p.is_input]
    named = {p.index for p in inputs if p.symbol.startswith("sc") or any(w in p.name.lower() for w in SIDE_WORDS)}
    if len(inputs) <= outputs or len(inputs) - len(named) < 1:
        return list(ports)
    return [replace(p, is_sidechain=True) if p.index in named else p for p in ports]
