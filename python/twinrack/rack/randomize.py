"""Racks with random values from the ranges that their cards expect, as for the augmentation of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from typing import Literal, get_args

import numpy as np

from ..checks import brief
from .card import Parameter
from .effect import Effect, unknown
from .rack import Rack, as_rack

Within = Literal["expected", "range"]


def randomize(
    rack: Rack,
    seed: int | np.random.Generator | None = None,
    *,
    only: str | Iterable[str] = "*",
    choices: bool = False,
    within: Within = "expected",
) -> Rack:
    """A copy of a rack with random values, each drawn evenly in its own scale (dB, or octaves and the like).

        racks = [tr.randomize(rack, seed, only=["compressor.*", "*.mix"]) for seed in range(1000)]

    Args:
        rack: it is not changed. Bypassed effects, bands that are off, and values that set a latency or that an effect is built
            from, stay as they are.
        seed: the same seed gives the same values; a NumPy generator goes on; None is another rack each time.
        only: addresses of values, or patterns with *.
        choices: also choices and switches.
        within: "expected", what the cards expect of plausible settings, or "range", all that they allow.

    Raises:
        ValueError: a pattern meets no value that moves, or `within` is neither of the two.
    """
    if within not in get_args(Within):
        raise ValueError(f"within is {brief(within)}; 'expected' or 'range' was expected")
    drawn_rack = as_rack(rack).copy()
    free = {f"{address}.{name}": p for address, effect in drawn_rack.addresses().items() for name, p in _free(effect, choices)}
    patterns = [only] if isinstance(only, str) else list(only)
    for pattern in patterns:
        if not any(fnmatch(address, pattern) for address in free):
            raise ValueError(unknown(pattern, list(free), "the rack", "value to draw"))
    random = np.random.default_rng(seed)
    for address, p in free.items():
        drawn = float(random.random())  # also where it is not wanted: another pattern changes nothing of the others
        if any(fnmatch(address, pattern) for pattern in patterns):
            low, high = (p.position(end) for end in p.expected) if _in_part(p, within) else (0.0, 1.0)
            drawn_rack.set(address, p.at(low + (high - low) * drawn))
    return drawn_rack


def _in_part(p: Parameter, within: Within) -> bool:
    return within == "expected" and p.kind == "continuous"


def _free(effect: Effect, choices: bool) -> list[tuple[str, Parameter]]:
    """The values of an effect that may be drawn."""
    if effect.bypass:
        return []
    unused = effect.switched_off()
    return [
        (name, p)
        for name, p in effect.card.addresses.items()
        if name not in unused
        and not p.rebuilds
        and name != effect.card.latency
        and (p.learnable if p.kind == "continuous" else choices)
    ]
