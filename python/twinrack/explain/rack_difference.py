"""Differences between two racks: values in units and just-noticeable differences (JND), and what they do to a sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..audio import as_planar, check_rate
from ..rack.describe import order_text, value_text
from ..rack.python_effect import PythonEffect
from ..rack.rack import Rack, as_rack
from ..rack.running import Sidechain

if TYPE_CHECKING:
    from .sound_change import SoundDifference


@dataclass(frozen=True)
class ValueDifference:
    """One value that differs: as text, and in JNDs from the first rack to the second (None for choices and switches)."""

    address: str
    before: str
    after: str
    jnds: float | None

    def __str__(self) -> str:
        jnds = "" if self.jnds is None else f" ({self.jnds:+.2g} JND)"
        return f"{self.address}: {self.before} -> {self.after}{jnds}"


@dataclass(frozen=True)
class RackDifference:
    """The differences of two racks.

    Attributes:
        structure: sentences on effects that are in one only, on their order, resources, bypass and sidechains.
        values: that differ, the largest difference in JNDs first, choices and switches before all.
        sound: on the sound that was given.
    """

    structure: tuple[str, ...]
    values: tuple[ValueDifference, ...]
    sound: SoundDifference | None = None

    def __bool__(self) -> bool:
        return bool(self.structure or self.values)

    def __str__(self) -> str:
        if not self:
            return "the racks are equal"
        lines = [*self.structure, *map(str, self.values)]
        if self.sound is not None:
            lines += ["on this sound:", *(f"  {sentence}" for sentence in self.sound.sentences())]
        return "\n".join(lines)


def differences(
    first: Rack,
    second: Rack,
    x: npt.ArrayLike | None = None,
    sample_rate: float | None = None,
    *,
    sidechain: Sidechain = None,
) -> RackDifference:
    """The differences of two racks, and with a sound what they do to it.

    Args:
        first, second: effects are compared by address.
        x: (channels, frames) or (frames,): a sound that goes through both.
        sample_rate: Hz, of the sound.
        sidechain: as in a call of the racks.
    """
    first, second = as_rack(first), as_rack(second)
    structure, values = _structure(first, second), _values(first, second)
    if x is None:
        return RackDifference(structure, values)
    if sample_rate is None:
        raise ValueError("give the sample rate of the sound")
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    from .sound_change import sound_difference  # needs torch; comparing values does not

    a, b = (rack.copy()(sound, rate, sidechain=sidechain) for rack in (first, second))
    return RackDifference(structure, values, sound_difference(a, b, rate))


def _structure(first: Rack, second: Rack) -> tuple[str, ...]:
    mine, theirs = first.addresses(), second.addresses()
    sentences = [f"{a}: only in the first" for a in mine if a not in theirs]
    sentences += [f"{a}: only in the second" for a in theirs if a not in mine]
    for address in (a for a in mine if a in theirs):
        one, other = mine[address], theirs[address]
        if type(one) is not type(other):
            sentences.append(f"{address}: {one.card.name} -> {other.card.name}")
            continue
        for name in ("bypass", "key"):
            if getattr(one, name) != getattr(other, name):
                sentences.append(f"{address}: {name} {getattr(one, name)!r} -> {getattr(other, name)!r}")
        for name in sorted({*one.resources, *other.resources}):
            mine_here, theirs_here = one.resources.get(name), other.resources.get(name)
            if mine_here != theirs_here:
                sentences.append(f"{address}: another {name}, {mine_here!r} -> {theirs_here!r}")
        if isinstance(one, PythonEffect) and one != other:
            sentences.append(f"{address}: another Python function")
    orders = [order_text(rack.root, {id(e): a for a, e in rack.addresses().items()}) for rack in (first, second)]
    if orders[0] != orders[1]:
        sentences.append(f"order: {orders[0] or 'empty'} -> {orders[1] or 'empty'}")
    return tuple(sentences)


def _values(first: Rack, second: Rack) -> tuple[ValueDifference, ...]:
    mine, theirs = first.addresses(), second.addresses()
    differing = []
    for address in (a for a in mine if a in theirs and type(mine[a]) is type(theirs[a])):
        one, other = mine[address], theirs[address]
        silent = one.unused() & other.unused()
        for name, p in one.card.addresses.items():
            before, after = one.get(name), other.get(name)
            if before == after or name in silent:
                continue
            jnds = p.jnds(float(before), float(after)) if p.kind == "continuous" else None
            differing.append(ValueDifference(f"{address}.{name}", value_text(p, before), value_text(p, after), jnds))
    return tuple(sorted(differing, key=lambda v: -np.inf if v.jnds is None else -abs(v.jnds)))
