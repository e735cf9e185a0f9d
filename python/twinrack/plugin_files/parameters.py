"""The values of a rack that a host may move, and what they are called there."""

from __future__ import annotations

import itertools
import math
import zlib
from dataclasses import dataclass

from .. import _engine
from ..rack.card import Parameter
from ..rack.compiling import own_latency
from ..rack.effect import Effect
from ..rack.rack import Rack

RATE = 48000.0  # at which latencies are compared
MOST_CHOICES = 512
UNIT_WORDS = {"dB": ("db",), "Hz": ("hz",), "ms": ("ms",), "s": ("s",), "dB/s": ("db", "per", "s"), "%": ("percent",)}


@dataclass(frozen=True)
class HostParameter:
    """A value that a host may move.

    Attributes:
        address: such as "compressor.ratio".
        parameter: its part of the card.
        flat: the same as the engine's flat form has it, with the names that a person reads: a group such as "Compressor 2", and
            a name below it such as "Band 2 frequency".
    """

    address: str
    parameter: Parameter
    flat: _engine.FlatParameter


def host_parameters(rack: Rack) -> tuple[list[HostParameter], list[str]]:
    """The values that a host may move, in the engine's order, and sentences on those that stay as they are.

    Left out are group items that are not in use, such as bands that are off; values that rebuild a resource; and values
    that change the latency.
    """
    found, fixed, index = [], [], 0
    used: set[int] = {0, 1}  # the bypass of the whole, and the program
    symbols = {"enabled", "latency", "bypass"}
    for address, effect in rack.addresses().items():
        unused, late = effect.switched_off(), _late(effect)
        for name, p in effect.card.addresses.items():
            if name not in unused:
                place = f"{address}.{name}"
                if p.rebuilds:
                    fixed.append(f"{place} stays as it is: it shapes a response, which is made when the rack is exported")
                elif name in late:
                    fixed.append(f"{place} stays as it is: it would change the latency")
                else:
                    found.append(_host_parameter(effect, address, name, index, used, symbols))
            index += 1
    return found, fixed


def _host_parameter(effect: Effect, address: str, name: str, index: int, used: set[int], symbols: set[str]) -> HostParameter:
    p, value = effect.card.addresses[name], effect.get(name)
    flat = _engine.FlatParameter()
    flat.index = index
    flat.symbol = _unique(symbol(f"{address}.{name}"), symbols)
    flat.id = _number(f"{address}.{name}", used)
    flat.group, flat.name = group_name(effect, address), value_name(name, p)
    flat.unit = "" if p.unit == "1" else p.unit
    flat.options = list(p.options)
    flat.is_switch = p.kind == "switch"
    flat.initial = p.to_engine(value)
    return HostParameter(f"{address}.{name}", p, flat)


def _late(effect: Effect) -> set[str]:
    """Names of the values that change the latency: the one that sets it, and choices that do so beside any others."""
    card = effect.card
    late = {name for name in card.addresses if card.may_change_latency(name)}
    choices = [name for name in late if card.addresses[name].kind != "continuous" and name != card.latency]
    options = [card.addresses[name].options or (False, True) for name in choices]
    if math.prod(map(len, options)) > MOST_CHOICES:
        return late
    latencies = {}
    for values in itertools.product(*options):
        other = effect.copy()
        for name, value in zip(choices, values, strict=True):
            other.set(name, value)
        latencies[values] = own_latency(other, RATE)
    harmless = set()
    for k, name in enumerate(choices):
        beside: dict[tuple[object, ...], set[int]] = {}
        for values, frames in latencies.items():
            beside.setdefault(values[:k] + values[k + 1 :], set()).add(frames)
        if all(len(frames) == 1 for frames in beside.values()):
            harmless.add(name)
    return late - harmless


def symbol(address: str) -> str:
    """An address as letters, digits and _, which begins with a letter."""
    text = "".join(c if c.isascii() and c.isalnum() else "_" for c in address)
    return text if text[:1].isalpha() else f"p_{text}"


def _unique(text: str, used: set[str]) -> str:
    """The symbol, with a number where another value has it already."""
    own = next(s for s in itertools.chain([text], (f"{text}_{n}" for n in itertools.count(2))) if s not in used)
    used.add(own)
    return own


def _number(address: str, used: set[int]) -> int:
    """A number that an address keeps when effects are added; hosts store their automation under it."""
    number = zlib.crc32(address.encode()) & 0x7FFFFFFF
    while number in used:
        number = (number + 1) & 0x7FFFFFFF
    used.add(number)
    return number


def group_name(effect: Effect, address: str) -> str:
    """An effect as a person reads it: "Compressor", "Compressor 2", or the name that it was given."""
    begins, _, number = address.rpartition("_")
    if address == effect.card.id:
        return effect.card.name
    return f"{effect.card.name} {number}" if begins == effect.card.id and number.isdigit() else address


def value_name(name: str, p: Parameter) -> str:
    """A value as a person reads it, without its unit: "Threshold", "Band 2 frequency"."""
    item, _, own = name.rpartition(".")
    words, unit = own.split("_"), UNIT_WORDS.get(p.unit, ())
    if unit and len(words) > len(unit) and tuple(words[-len(unit) :]) == unit:
        words = words[: -len(unit)]
    if item:
        begins = item.rstrip("0123456789")
        words = [begins, item[len(begins) :], *words]
    text = " ".join(words)
    return text[:1].upper() + text[1:]
