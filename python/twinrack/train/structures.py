"""Structures: every combination of the options that are open is tried, and the worse ones are dropped early.

A compressor's detector or the place of its ballistics is not a number that could be moved a little, but on real processors the
right one is worth more than any number. So candidates are trained in rounds, a few steps each at first; after each round
the better third goes on from where it was (successive halving: K. Jamieson, A. Talwalkar, AISTATS 2016).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from ..measure.distances import Distances
from ..rack.card import Value
from ..rack.effect import unknown
from ..rack.rack import Rack

MOST = 128  # combinations
ROUNDS = ((30, 5), (40, 25))  # steps of Adam and second-order steps in each
KEPT = 3.0  # of so many, one goes on
LEAST_KEPT = 3


@dataclass(frozen=True)
class Structure:
    """One combination of options, and how near it came on held-out audio in the last round that it was in."""

    choices: dict[str, Value]
    distances: Distances
    score: float
    steps: int

    def __str__(self) -> str:
        names = ", ".join(f"{address.partition('.')[2]} {value}" for address, value in self.choices.items())
        return f"{self.distances}  {names}".rstrip()


def open_choices(rack: Rack, wanted: Iterable[str] | Mapping[str, Sequence[Value]]) -> dict[str, Sequence[Value]]:
    """The options of each choice or switch that is open.

    Args:
        wanted: addresses, with * for any, of which all options are tried (what is bypassed or a band that is off stays as it
            is); or the options of each address.

    Raises:
        ValueError: an address or option that is none, or too many combinations; names them.
    """
    if isinstance(wanted, Mapping):
        for address, options in wanted.items():
            for option in options:
                rack.copy().set(address, option)
        return _few({address: tuple(options) for address, options in wanted.items()})
    every: dict[str, Sequence[Value]] = {}
    for effect_address, effect in rack.addresses().items():
        unused = effect.switched_off()
        for name, p in effect.card.addresses.items():
            if p.kind == "continuous" or name in unused or effect.bypass:
                continue
            every[f"{effect_address}.{name}"] = p.options if p.kind == "choice" else (False, True)
    opened: dict[str, Sequence[Value]] = {}
    for pattern in [wanted] if isinstance(wanted, str) else wanted:
        hits = [a for a in every if fnmatch(a, pattern)]
        if not hits:
            raise ValueError(unknown(pattern, list(every), "the rack", "choice"))
        opened |= {a: every[a] for a in hits}
    return _few(opened)


def _few(opened: dict[str, Sequence[Value]]) -> dict[str, Sequence[Value]]:
    count = math.prod(len(options) for options in opened.values())
    if count > MOST:
        each = ", ".join(f"{a} ({len(options)})" for a, options in opened.items())
        raise ValueError(f"{count} combinations are too many to try, at most {MOST}; leave some of these closed: {each}")
    return opened


def combinations(rack: Rack, choices: dict[str, Sequence[Value]]) -> list[Rack]:
    """Copies of the rack with each combination, its own first."""
    own = tuple(rack.get(a) for a in choices)
    rest = [options for options in itertools.product(*choices.values()) if options != own]
    racks = []
    for options in [own, *rest]:
        copy = rack.copy()
        for address, option in zip(choices, options, strict=True):
            copy.set(address, option)
        racks.append(copy)
    return racks


def survivors(structures: Sequence[tuple[Structure, Rack]]) -> list[tuple[Structure, Rack]]:
    """The better ones, which reach the next round."""
    return sorted(structures, key=lambda s: s[0].score)[: kept_of(len(structures))]


def kept_of(count: int) -> int:
    """The number of `count` racks that reach the next round."""
    return max(LEAST_KEPT, math.ceil(count / KEPT))
