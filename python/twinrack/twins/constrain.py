"""The map that keeps a trained parameter inside its range: position = sin²(π u / 2), in the parameter's own scale.

It is smooth, reaches both ends exactly, never leaves the range whatever u becomes, and is nearly linear in the middle, so
one step size suits every parameter. At an end the slope is zero; training starts a little inside (see `train.fit`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..card import Parameter


def to_value(p: Parameter, u: Tensor) -> Tensor:
    """The parameter's value, in its unit, for any real `u`; same shape.

    A network that drives a parameter can end in this: its outputs then cannot leave the card's range.
    """
    position = torch.sin(u * (math.pi / 2)) ** 2
    if p.scale == "linear":
        return p.min + (p.max - p.min) * position
    return p.min * torch.exp(position * math.log(p.max / p.min))


def from_value(p: Parameter, value: float) -> float:
    """The `u` in 0 … 1 whose value is `value`."""
    position = min(max(p.position(value), 0.0), 1.0)
    return 2.0 / math.pi * math.asin(math.sqrt(position))


FURTHEST = 30.0  # at the end of the range
OWN_AT_LEAST = 0.01  # of the range: a value that stands at an end could not be moved


def driven(p: Parameter, own: Tensor, said: Tensor) -> Tensor:
    """Where a value stands that a controller drives: at sigmoid(logit(own position) + said), so never outside its range.

    Args:
        own: the value as it is set, in its unit.
        said: what the controller's network gives; 0 leaves the value as it is.
    """
    said = torch.nan_to_num(said, 0.0, 0.0, 0.0).clamp(-FURTHEST, FURTHEST)
    log = p.scale != "linear"
    span = math.log(p.max / p.min) if log else p.max - p.min
    position = ((torch.log(own / p.min) if log else own - p.min) / span).clamp(OWN_AT_LEAST, 1.0 - OWN_AT_LEAST)
    moved = torch.sigmoid(torch.logit(position) + said)
    value = p.min * torch.exp(span * moved) if log else p.min + span * moved
    value = value.clamp(p.min, p.max)
    return torch.where(said == 0.0, own + (value - value.detach()), value)  # exactly its own, with the slope that it has there
