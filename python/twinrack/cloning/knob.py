"""A knob of a plugin, learned: how the values of a clone move with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ..audio import Audio
from ..measure.difference import difference_db
from ..rack.card import Parameter
from ..rack.rack import Rack
from ..train.fit import fit
from ..train.result import FitResult
from ..twins.constrain import at_position

POSITIONS = 5
MOVED = 1e-3  # of a value's range: below it a knob does not move it


@dataclass(frozen=True)
class Knob:
    """A control of a plugin and what stands for it in the clone.

    Attributes:
        name: of the plugin's control.
        unit: of its positions.
        positions: at which the clone was fitted, ascending.
        racks: the clone at each.
        errors_db: of each on held-out sound: energy of the difference, in dB of the plugin's output.
        between_db: the same halfway between two positions, where nothing was fitted, on all sound.
    """

    name: str
    unit: str
    positions: tuple[float, ...]
    racks: tuple[Rack, ...]
    errors_db: tuple[float, ...]
    between_db: tuple[float, ...]

    def at(self, position: float) -> Rack:
        """The clone with the knob at a position: between those that were fitted its values go on straight lines, each on its
        own scale.

        Raises:
            ValueError: outside the positions.
        """
        low, high = self.positions[0], self.positions[-1]
        if not low <= position <= high:
            raise ValueError(
                f"{self.name} = {position:g} is outside what was learned ({low:g} to {high:g} {self.unit})".strip()
            )
        after = int(np.searchsorted(self.positions, position))
        if self.positions[after] == position:
            return self.racks[after].copy()
        share = (position - self.positions[after - 1]) / (self.positions[after] - self.positions[after - 1])
        rack, other = self.racks[after - 1].copy(), self.racks[after]
        for address, p in _numbers(rack):
            a, b = (p.position(float(r.get(address))) for r in (rack, other))
            rack.set(address, _value(p, a + share * (b - a)))
        return rack

    @property
    def moved(self) -> dict[str, tuple[float, ...]]:
        """The values of the clone that the knob moves, by address, at each position."""
        rows = {}
        for address, p in _numbers(self.racks[0]):
            values = tuple(float(r.get(address)) for r in self.racks)
            places = [p.position(v) for v in values]
            if max(places) - min(places) > MOVED:
                rows[address] = values
        return rows

    def __str__(self) -> str:
        head = f"{self.name} at {', '.join(f'{n:g}' for n in self.positions)} {self.unit}".rstrip()
        lines = [f"{head}: errors {', '.join(f'{e:.1f}' for e in self.errors_db)} dB"]
        lines.append(f"  halfway between, where nothing was fitted: {', '.join(f'{e:.1f}' for e in self.between_db)} dB")
        units = {a: "" if p.unit == "1" else p.unit for a, p in _numbers(self.racks[0])}
        for address, values in self.moved.items():
            lines.append(f"  {address}: {', '.join(f'{v:.4g}' for v in values)} {units[address]}".rstrip())
        return "\n".join(lines)


def learn_knob(
    name: str,
    p: Parameter,
    positions: Sequence[float],
    start: tuple[float, FitResult],
    play: Callable[[float], Callable[[Audio], Audio]],
    dry: Sequence[Audio],
    rate: float,
    **settings: Any,
) -> Knob:
    """Fit a clone at each position of a control, each from the one beside it.

    Args:
        name, p: the plugin's control.
        positions: of it, ascending.
        start: the position of the clone that there is, and its fit.
        play: gives the plugin at a position.
        dry: recordings.
        settings: of the fits.
    """
    nearest = min(positions, key=lambda n: abs(n - start[0]))
    results: dict[float, FitResult] = {}
    for position in sorted(positions, key=lambda n: abs(positions.index(n) - positions.index(nearest))):
        if position == start[0]:
            results[position] = start[1]
            continue
        beside = min(results, key=lambda n: abs(positions.index(n) - positions.index(position)), default=None)
        rack = (start[1] if beside is None else results[beside]).rack.copy()
        wet = [play(position)(x) for x in dry]
        one = len(dry) == 1
        results[position] = fit(rack, dry[0] if one else dry, wet[0] if one else wet, rate, **settings)
    racks = tuple(results[n].rack for n in positions)
    errors = tuple(results[n].fitted.error_db for n in positions)
    knob = Knob(name, "" if p.unit == "1" else p.unit, tuple(positions), racks, errors, ())
    halfway = [_value(p, 0.5 * (p.position(a) + p.position(b))) for a, b in pairwise(positions)]
    return replace(knob, between_db=tuple(_error_db(knob.at(n), play(n), dry, rate) for n in halfway))


def positions_of(p: Parameter, low: float, high: float, count: int = POSITIONS) -> list[float]:
    """Positions of a control, equally far from each other on its scale."""
    a, b = p.position(low), p.position(high)
    return [low, *(_value(p, a + (b - a) * n / (count - 1)) for n in range(1, count - 1)), high]


def _error_db(rack: Rack, plugin: Callable[[Audio], Audio], dry: Sequence[Audio], rate: float) -> float:
    return difference_db(
        np.concatenate([np.asarray(rack(x, rate)) for x in dry], 1), np.concatenate([plugin(x) for x in dry], 1)
    )


def _value(p: Parameter, position: float) -> float:
    value = float(at_position(p, torch.tensor(position, dtype=torch.float64)))
    return min(max(value, p.min), p.max)


def _numbers(rack: Rack) -> list[tuple[str, Parameter]]:
    return [
        (f"{address}.{name}", p)
        for address, effect in rack.addresses().items()
        for name, p in effect.card.addresses.items()
        if p.kind == "continuous"
    ]
