"""The description of a plugin, as it declares itself: ports with units, ranges and options."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

UNITS = {
    "db": "dB", "hz": "Hz", "khz": "kHz", "ms": "ms", "s": "s", "pc": "%", "coef": "1", "bpm": "bpm", "cent": "cents",
    "semitone12TET": "semitones", "oct": "octaves", "degree": "degrees", "frame": "frames", "m": "m", "cm": "cm", "bar": "bars",
    "beat": "beats", "min": "min", "midiNote": "MIDI note",
}  # fmt: skip
SIDE_WORDS = ("sidechain", "side chain", "side-chain", "external")
NOT_SET = ("enabled", "freeWheeling", "bypass", "program", "hidden")  # designations of controls that users do not set
LARGEST_STEPS = 64  # of an integer that is shown as a choice
MEASURE = re.compile(r"\s*([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(.*?)\s*")  # a number and its unit, as plugins write them
SMALLER_UNITS = {"khz": ("Hz", 1000.0), "s": ("ms", 1000.0), "sec": ("ms", 1000.0)}
SWITCH_WORDS = (["off", "on"], ["no", "yes"], ["false", "true"], ["disabled", "enabled"], ["0", "1"], ["", ""])
LOG_TOLERANCE = 0.1  # of the logarithm of the range, at its middle


def format_of(uri: str) -> str:
    """The format of a plugin by its address: "lv2", "clap" or "vst3"."""
    prefix = uri.partition(":")[0]
    return prefix if prefix in ("clap", "vst3") else "lv2"


def identifier(text: str) -> str:
    """A name of letters, digits and underscores, in small letters."""
    plain = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower()
    return plain if plain.isidentifier() and not keyword.iskeyword(plain) else f"_{plain}".rstrip("_") or "plugin"


@dataclass(frozen=True)
class Positions:
    """How a plugin knows a control of which it declares numbers in a unit by positions of its own.

    The host program goes from one to the other.

    Attributes:
        numbers: in the unit, ascending.
        owns: the position of each. Between them lie straight lines, of the logarithm where `is_log`.
        is_log: equal ways are nearly equal ratios.
    """

    numbers: tuple[float, ...]
    owns: tuple[float, ...]
    is_log: bool

    def words(self) -> list[str]:
        """The table as the host program takes it."""
        pairs = (f"{n:.9g}" for pair in zip(self.numbers, self.owns, strict=True) for n in pair)
        return ["log" if self.is_log else "linear", *pairs]

    def rounded(self, number: float) -> float:
        """A number without the error that a position of 32 bits has."""
        return _rounded(number, self.numbers[-1] - self.numbers[0], self.is_log)

    def nearest(self, own: float) -> float:
        """The number of the nearest position in the table."""
        return min(zip(self.numbers, self.owns, strict=True), key=lambda pair: abs(pair[1] - own))[0]


def _rounded(number: float, span: float, is_log: bool) -> float:
    return float(f"{number:.6g}") if is_log else round(number, 6 - math.floor(math.log10(span))) + 0.0


def _is_log(numbers: Sequence[float], owns: Sequence[float]) -> bool:
    """Whether equal ways are nearly equal ratios: so it is where the number in the middle lies."""
    if numbers[0] <= 0.0:
        return False
    middle = min(range(len(owns)), key=lambda i: abs(owns[i] - 0.5 * (owns[0] + owns[-1])))
    return abs(math.log(numbers[middle] / numbers[0]) / math.log(numbers[-1] / numbers[0]) - 0.5) < LOG_TOLERANCE


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
        positions: how the plugin knows numbers in the unit; None where it knows them as they are.
        number: by which its format knows a control.
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
    positions: Positions | None = field(default=None, repr=False)
    number: int = 0

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
        reports_latency: it says by how many frames it delays the sound.
        hears_midi: it has an input for MIDI.
    """

    uri: str
    name: str
    author: str
    category: str
    bundle: str
    missing: tuple[str, ...]
    ports: tuple[Port, ...]
    presets: Mapping[str, str]
    reports_latency: bool
    hears_midi: bool = False

    @property
    def controls(self) -> dict[str, Port]:
        """The values that a user may set, by symbol; without the switch of the whole."""
        return {p.symbol: p for p in self.ports if p.kind == "control" and p.is_input and p.designation not in NOT_SET}

    def scales(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """The ports that the plugin knows by positions, and their tables as the host program takes them."""
        return tuple((p.index, tuple(p.positions.words())) for p in self.ports if p.positions is not None)

    def audio(self, is_input: bool) -> list[Port]:
        """The audio ports of one direction, in order."""
        return [p for p in self.ports if p.kind == "audio" and p.is_input == is_input]

    @property
    def main_inputs(self) -> list[Port]:
        """The audio inputs without the sidechains."""
        return [p for p in self.audio(True) if not p.is_sidechain]


def description(data: Mapping[str, Any], sample_rate: float) -> Description:
    """The description from what the host program says.

    Args:
        data: its answer.
        sample_rate: Hz, for ranges that are multiples of it.
    """
    named = _symbols(data["ports"])
    ports = tuple(_port(p, sample_rate) if not p["samples"] else _sampled(p) for p in named)
    if not any(p.is_sidechain for p in ports if p.kind == "audio"):
        ports = tuple(_sidechain_by_name(ports))
    presets = {label or uri: uri for uri, label in data["presets"]}
    return Description(
        data["uri"], data["name"] or data["uri"], data["author"], data["class"], data["bundle"], tuple(data["missing"]), ports,
        dict(sorted(presets.items())), bool(data["reports_latency"]), bool(data["hears_midi"]),
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
        data["group"], bool(data["sidechain"]), data["designation"], bool(data["trigger"]), number=data["number"],
    )  # fmt: skip


def _symbols(ports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ports, with symbols made of names in formats that have none."""
    taken: set[str] = set()
    for p in ports:
        if not p["symbol"]:
            p["symbol"] = symbol = identifier(p["name"])
            count = 1
            while p["symbol"] in taken:
                count += 1
                p["symbol"] = f"{symbol}_{count}"
        taken.add(p["symbol"])
    return ports


def _sampled(data: Mapping[str, Any]) -> Port:
    """A control of a format that declares values and their texts, not units and options."""
    owns, plains, texts = (list(column) for column in zip(*data["samples"], strict=True))
    measures = [_measure(text) for text in texts]
    unit = _common_unit(measures)
    plain = Port(
        data["index"], data["symbol"], data["name"], "control", data["is_input"], data["default"], owns[0], owns[-1],
        "", False, False, False, {}, "" if data["group"] == data["name"] else data["group"], False, data["designation"],
        number=data["number"],
    )  # fmt: skip
    is_short = data["integer"] and len(owns) <= LARGEST_STEPS
    words = [t.lower().strip() for t in texts]
    is_plain = plains in ([0.0, 1.0], [None, None])
    if is_short and owns == [0.0, 1.0] and is_plain and (words in SWITCH_WORDS or measures == [(0.0, ""), (1.0, "")]):
        return replace(plain, is_switch=True, min=0.0, max=1.0)
    if is_short and (data["enumeration"] or None in measures or unit is None):
        labels = [text or f"{own:g}" for text, own in zip(texts, owns, strict=True)]
        unique = len(set(labels)) == len(labels)
        options = {label if unique else f"{label} ({n})": own for n, (label, own) in enumerate(zip(labels, owns, strict=True))}
        return replace(plain, options=options)
    numbers: list[float | None] = plains
    if None in plains or np.allclose(plains, owns, atol=1e-9):
        numbers = list(owns)
        if (owns[0], owns[-1]) == (0.0, 1.0) and unit is not None:
            numbers = [None if m is None else m[0] for m in measures]
    table = _table(numbers, owns, data["default"])
    if table is None or np.allclose(table.numbers, table.owns, atol=1e-9):
        table, low, high, default = None, owns[0], owns[-1], data["default"]
    else:
        low, high, default = table.numbers[0], table.numbers[-1], table.nearest(data["default"])
    return replace(
        plain, default=default, min=low, max=high, unit=unit or data["unit_symbol"], is_log=table is not None and table.is_log,
        is_integer=bool(data["integer"]) and all(float(n).is_integer() for n in numbers if n is not None), positions=table,
    )  # fmt: skip


def _measure(text: str) -> tuple[float, str] | None:
    """The number in a text such as "-20.0 dB" and its unit; kHz as Hz, s as ms. None where the text is something else."""
    parts = MEASURE.fullmatch(text)
    if parts is None:
        return None
    unit, times = SMALLER_UNITS.get(parts[2].lower(), (parts[2], 1.0))
    return float(parts[1]) * times, unit


def _common_unit(measures: list[tuple[float, str] | None]) -> str | None:
    """The unit that all numbers have; None where they differ, or where most are not numbers."""
    units = {m[1] for m in measures if m is not None}
    return units.pop() if len(units) == 1 and sum(m is not None for m in measures) > len(measures) // 2 else None


def _with_ends(numbers: list[float | None]) -> list[float | None]:
    """The numbers; where one at an end is missing, as of "-inf dB" or "Off", the next that would follow stands there."""
    full = list(numbers)
    for end, near, far in ((0, 1, 2), (-1, -2, -3)):
        a, b = (full[near], full[far]) if len(full) > 2 else (None, None)
        if full[end] is None and a is not None and b is not None and a != b:
            full[end] = a * a / b if min(a, b) > 0.0 else 2.0 * a - b
    return full


def _table(numbers: list[float | None], owns: list[float], initial: float) -> Positions | None:
    """Positions by numbers. Of equal numbers, as texts are rounded, there is one, with the initial position or the middle one.

    None where they do not rise or fall throughout.
    """
    pairs = list(zip(_with_ends(numbers), owns, strict=True))
    known = [(float(n), own) for n, own in pairs if n is not None]
    if len(known) != len(pairs) or len(known) < 2:
        return None
    runs: dict[float, list[float]] = {}
    for n, own in known:
        runs.setdefault(n, []).append(own)
    if len(runs) < 2:
        return None
    ends = (known[0][1], known[-1][1])
    middle = [(n, next((own for own in (initial, *ends) if own in run), 0.5 * (run[0] + run[-1]))) for n, run in runs.items()]
    if middle[0][0] > middle[-1][0]:
        middle.reverse()
    rises = all(a[0] < b[0] for a, b in pairwise(middle))
    straight = {a[1] < b[1] for a, b in pairwise(middle)}
    if not rises or len(straight) != 1:
        return None
    by_number = tuple(n for n, _ in middle), tuple(own for _, own in middle)
    is_log = _is_log(*by_number)
    return Positions(tuple(_rounded(n, by_number[0][-1] - by_number[0][0], is_log) for n in by_number[0]), by_number[1], is_log)


def _sidechain_by_name(ports: tuple[Port, ...]) -> list[Port]:
    """The ports, with audio inputs beyond those of the outputs marked whose names say that they are sidechains."""
    outputs = sum(p.kind == "audio" and not p.is_input for p in ports)
    inputs = [p for p in ports if p.kind == "audio" and p.is_input]
    named = {p.index for p in inputs if p.symbol.startswith("sc") or any(w in p.name.lower() for w in SIDE_WORDS)}
    if len(inputs) <= outputs or len(inputs) - len(named) < 1:
        return list(ports)
    return [replace(p, is_sidechain=True) if p.index in named else p for p in ports]
