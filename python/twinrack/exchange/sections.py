"""A rack as second-order sections and gains, which is what equaliser programs know.

A steep cut is several sections: those of a Butterworth filter, the most resonant one scaled by the user's Q, as the equaliser
itself has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..rack.effect import Effect
from ..rack.rack import Rack
from .devices import CUTS, serial


@dataclass(frozen=True)
class Section:
    """A filter of the equaliser's bilinear design: `kind` as its bands are called; Hz, dB, Q; `on` is False in a bypass.
    `channel` is "all", "left" (the first) or "right" (the second)."""

    kind: str
    frequency_hz: float
    gain_db: float
    q: float
    on: bool = True
    channel: str = "all"


@dataclass(frozen=True)
class Level:
    """A gain: dB, balance -1 to 1, polarity as the gain effect has it."""

    gain_db: float
    balance: float = 0.0
    polarity: str = "normal"

    def factor(self, side: int) -> float:
        """The factor of balance and polarity for the left (0) or the right (1)."""
        inverted = self.polarity in ("invert", ("invert_left", "invert_right")[side])
        return min(1.0, 1.0 - self.balance if side == 0 else 1.0 + self.balance) * (-1.0 if inverted else 1.0)


def sections_of(rack: Rack) -> tuple[list[Section | Level], list[str]]:
    """The equalisers and gains of a rack, first to last; and what else is in it, a sentence each."""
    sections: list[Section | Level] = []
    lost: list[str] = []
    addresses = {id(effect): address for address, effect in rack.addresses().items()}
    for item in serial(rack.effects):
        if not isinstance(item, Effect):
            lost.append(f"the parallel branches of rack {rack.name!r} are left out, for filters stand one after the other")
        elif item.card.id == "gain":
            if not item.bypass:
                level = Level(float(item.get("gain_db")), float(item.get("balance")), str(item.get("polarity")))
                sections += [level] if level != Level(0.0) else []
        elif item.card.id == "parametric_eq":
            if item.get("warping") != "bilinear":
                lost.append(
                    f"{addresses[id(item)]} has matched warping, which others have not; "
                    "its bells and shelves become narrower near half the sample rate"
                )
            sections += _bands(item)
        else:
            lost.append(f"{addresses[id(item)]} ({item.card.name}) is left out, for it is neither equaliser nor gain")
    return sections, lost


def _bands(effect: Effect) -> list[Section]:
    sections = []
    for i in range(1, effect.card.groups[0].count + 1):
        kind = str(effect.get(f"band{i}.type"))
        if kind == "off":
            continue
        frequency, gain, q = (float(effect.get(f"band{i}.{name}")) for name in ("frequency_hz", "gain_db", "q"))
        count = int(str(effect.get(f"band{i}.slope_db_per_octave"))) // 12 if kind in CUTS else 1
        on, channel = not effect.bypass, str(effect.get(f"band{i}.channel"))
        sections += [Section(kind, frequency, gain, _section_q(n, count, q), on, channel) for n in range(count)]
    return sections


def _section_q(section: int, sections: int, q: float) -> float:
    if sections == 1:
        return q
    butterworth = 0.5 / math.cos(math.pi * (2 * section + 1) / (4 * sections))
    return butterworth * q * math.sqrt(2.0) if section == sections - 1 else butterworth
