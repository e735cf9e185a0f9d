"""The arguments of a twin's arithmetic: the card's parameters as tensors over rows and ticks, and the context."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..rack.card import Card, Parameter, Value
from ..resources.resource import Resource
from .curves import numbers_in, tick_count
from .recursions import RecursionPath

Given = float | str | bool | Tensor


@dataclass(frozen=True)
class Context:
    """The context that a twin runs in: `path` chooses the form of the recursions (see `recursions`)."""

    sample_rate: float
    channels: int
    frames: int
    path: RecursionPath = "auto"
    resources: Mapping[str, Tensor] = field(default_factory=dict)  # their numbers at the sample rate, by the card's id
    given: Mapping[str, Resource] = field(default_factory=dict)  # what they are, where the effect has them
    first_tick: float | Tensor = 0.0  # where on the timeline the sound begins, (batch, 1) where that differs


class Values(SimpleNamespace):
    """A card's values by name: continuous ones as (rows, ticks) float64, choices as str, switches as bool, and a list of the
    same for each group (`v.bands[0].gain_db`). `rows` is 1 or the batch, `ticks` 1 or one for every 32 frames."""

    def __getattr__(self, name: str) -> Any:  # for the type checker: names come from the card
        raise AttributeError(name)


def pack(card: Card, given: Mapping[str, Given], x: Tensor) -> Values:
    """Bring the values of all addresses of a card into the form the arithmetic uses.

    Args:
        x: the sound, (batch, channels, time). Where it is float32 values are rounded to float32, as the engine keeps them.
        given: a number, a (batch,) tensor, or a (batch, ticks) or (1, ticks) curve for each continuous address.

    Raises:
        ValueError: a tensor of another shape, a value outside its range, or a tensor for what sets the latency.
    """
    if isinstance(given.get(card.latency), Tensor):
        raise ValueError(f"{card.id}.{card.latency} sets the latency; give a number")
    flat = {a: _value(p, given[a], f"{card.id}.{a}", x) for a, p in card.addresses.items()}
    values = Values(**{p.id: flat[p.id] for p in card.parameters})
    for group in card.groups:
        prefixes = [f"{group.id}{i}" for i in range(1, group.count + 1)]
        items = [Values(**{p.id: flat[f"{prefix}.{p.id}"] for p in group.parameters}) for prefix in prefixes]
        setattr(values, f"{group.id}s", items)
    return values


@functools.lru_cache(maxsize=4096)
def _constant(value: float, single: bool, device: torch.device) -> Tensor:
    """A number as (1, 1), float64; `single` rounds it to float32. Nobody writes into these."""
    t = torch.tensor([[value]], dtype=torch.float32 if single else torch.float64)
    return t.to(device, torch.float64)


def _value(p: Parameter, given: Given, name: str, x: Tensor) -> Tensor | Value:
    if p.kind != "continuous":
        return p.check(given, name.rpartition(".")[0])
    if not isinstance(given, Tensor):
        return _constant(float(p.check(given, name.rpartition(".")[0])), x.dtype == torch.float32, x.device)
    batch, ticks = x.shape[0], tick_count(x.shape[-1])
    if p.rebuilds and (given.numel() > 1 if not p.learnable else given.dim() > 1 and given.shape[1] > 1):
        more = f", or ({batch},) for the batch" if p.learnable else ""
        raise ValueError(f"{name} changes what the effect is built from, so it has no curve; give a number{more}")
    t = (given.to(torch.float32) if x.dtype == torch.float32 else given).to(x.device, torch.float64)
    if t.dim() == 0 or t.shape == (1,):
        return t.reshape(1, 1)
    if t.dim() == 1 and t.shape[0] == batch:
        return t.unsqueeze(1)
    if t.dim() == 2 and t.shape[0] in (1, batch) and t.shape[1] in (1, ticks):
        return t
    raise ValueError(
        f"{name} has shape {tuple(given.shape)}; give a number, ({batch},) for the batch, or ({batch}, {ticks}): one value "
        "for each tick of 32 frames"
    )


def check_sound(x: object, what: str) -> None:
    """Refuse a sound that is not a tensor (batch, channels, time).

    Raises:
        TypeError, ValueError: says how to make one.
    """
    if not isinstance(x, Tensor):
        hint = f"torch.from_numpy({what})[None]" if isinstance(x, np.ndarray) else f"torch.as_tensor({what})"
        raise TypeError(f"{what} is a {type(x).__name__}; a twin takes a tensor (batch, channels, time): {hint}")
    if x.dim() != 3:
        hint = {1: "[None, None]", 2: "[None]"}.get(x.dim(), "")
        raise ValueError(f"audio has shape {tuple(x.shape)}; give (batch, channels, time){f': {what}{hint}' if hint else ''}")


class ParameterTable(Protocol):
    """Parameters by address, and an id for messages: an effect's card, or all that a channel holds."""

    @property
    def id(self) -> str: ...

    @property
    def addresses(self) -> Mapping[str, Parameter]: ...


def check_ranges(card: ParameterTable, given: Mapping[str, Given]) -> None:
    """Refuse tensors whose values leave the card's range (or are NaN).

    Raises:
        ValueError: names the parameter, the value and the range.
    """
    for address, value in given.items():
        p = card.addresses[address]
        if isinstance(value, Tensor) and p.kind == "continuous" and value.numel():
            slack = 1e-6 * (p.max - p.min)
            for edge in map(float, numbers_in(value).aminmax()):
                p.check(min(max(edge, p.min), p.max) if p.min - slack <= edge <= p.max + slack else edge, card.id)
