"""Conditions of recordings: values that are known for each pair, and knobs whose effect is learned.

A knob of a real processor moves several values at once. Here it moves each trained value along a straight line in the
constrained domain, about its middle position: u = u0 + slope (knob - middle).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..checks import check_number
from ..rack.rack import Rack
from ..twins.constrain import from_value, value_at
from ..twins.rack_twin import RackTwin
from ..twins.values import Given


class Conditions:
    """The conditions of all pairs; false where there are none.

    Args:
        rack: whose addresses are meant.
        given: one mapping for each pair, all with the same names.
        pairs: how many there are.

    Raises:
        ValueError: as many conditions as pairs are needed, with the same names, and values inside their ranges.
    """

    def __init__(self, rack: Rack, given: Sequence[Mapping[str, float]], pairs: int) -> None:
        self.given = [dict(c) for c in given]
        if self.given and len(self.given) != pairs:
            raise ValueError(f"there are {pairs} pairs and {len(self.given)} conditions; give one for each pair")
        names = sorted(self.given[0]) if self.given else []
        for number, c in enumerate(self.given, start=1):
            if sorted(c) != names:
                raise ValueError(
                    f"condition {number} names {', '.join(sorted(c))}, the first {', '.join(names)}; make them equal"
                )
            for name, value in c.items():
                check_number(value, f"condition {number}: {name}")
        self.fixed = [name for name in names if "." in name]
        self.knobs = [name for name in names if "." not in name]
        for address in self.fixed:
            for c in self.given:
                rack.copy().set(address, c[address])
            effect, _, name = address.partition(".")
            card = rack[effect].card
            if card.addresses[name].kind != "continuous" or name == card.latency or card.addresses[name].rebuilds:
                raise ValueError(f"{address} cannot differ from pair to pair; fit pairs of one setting at a time")
        self.middles = {k: (min(c[k] for c in self.given) + max(c[k] for c in self.given)) / 2.0 for k in self.knobs}

    def __bool__(self) -> bool:
        return bool(self.given)

    def values_of(
        self,
        twin: RackTwin,
        which: Sequence[int],
        raw: Mapping[str, Tensor],
        slopes: Mapping[tuple[str, str], Tensor],
    ) -> dict[str, Given]:
        """Values by address for a batch of windows of these pairs, (batch,) each."""
        values: dict[str, Given] = {}
        for address in self.fixed:
            values[address] = torch.tensor([self.given[i][address] for i in which], dtype=torch.float64)
        if self.knobs:
            for address, u in raw.items():
                effect, _, name = address.partition(".")
                turns = [
                    torch.tensor([self.given[i][k] - self.middles[k] for i in which], dtype=torch.float64) for k in self.knobs
                ]
                moved = sum((slopes[address, k] * turn for k, turn in zip(self.knobs, turns, strict=True)), u)
                values[address] = value_at(twin[effect].card.addresses[name], moved.clamp(0.0, 1.0))
        return values

    def rack_of(self, rack: Rack, pair: int, slopes: Mapping[tuple[str, str], float]) -> Rack:
        """The rack as it is for one pair."""
        if not self.given:
            return rack
        condition = self.given[pair]
        result = rack_at(rack, {k: condition[k] for k in self.knobs}, self.middles, slopes)
        for address in self.fixed:
            result.set(address, condition[address])
        return result


def rack_at(
    rack: Rack, knobs: Mapping[str, float], middles: Mapping[str, float], slopes: Mapping[tuple[str, str], float]
) -> Rack:
    """A copy of the rack with its knobs at these positions."""
    result = rack.copy()
    for address in {a for a, _ in slopes}:
        effect, _, name = address.partition(".")
        p = result[effect].card.addresses[name]
        turn = sum(slopes[address, k] * (position - middles[k]) for k, position in knobs.items())
        if turn:
            u = min(max(from_value(p, float(result.get(address))) + turn, 0.0), 1.0)
            value = float(value_at(p, torch.tensor(u, dtype=torch.float64)))
            result.set(address, min(max(value, p.min), p.max))
    return result
