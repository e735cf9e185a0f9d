"""Maps that keep values inside their ranges: `value_at` for trained parameters, `moved` for what a network gives.

A trained parameter u stands at position sin²(π u / 2) of its range, in the parameter's own scale. It is smooth, reaches both
ends exactly, never leaves the range whatever u becomes, and is nearly linear in the middle, so one step size suits every
parameter. At an end the slope is zero; training starts a little inside (see `train.fit`).

That map is periodic, and its slope at 0 is zero, so a network must not end in it: `moved` is monotone, and 0 leaves the
value as it is.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from ..rack.card import Parameter


def to_value(p: Parameter, u: Tensor) -> Tensor:
    """The parameter's value, in its unit, at sin²(π u / 2) of its range; same shape as `u`.

    It is for values that are trained themselves, with u begun inside 0 … 1 (see `from_value`). It is not for the output of
    a network: it is periodic, and at u = 0, where a new network's last layer often begins, it is the lowest value of the
    range with a slope of exactly zero, so nothing moves. For networks there is `RackTwin.map`.

    Warns:
        UserWarning: `u` was computed from something that is trained, as the output of a network is.
    """
    if u.requires_grad and not u.is_leaf:
        warnings.warn(
            "to_value is periodic and has no slope at 0, so a network that ends in it may never move; "
            'use twin.map("compressor.threshold_db", u)',
            stacklevel=2,
        )
    return value_at(p, u)


def value_at(p: Parameter, u: Tensor) -> Tensor:
    """As `to_value`, for the project's own use."""
    return at_position(p, position_of(u))


def position_of(u: Tensor) -> Tensor:
    """Where a trained parameter stands in its range, 0 to 1, in its own scale; same shape as `u`."""
    return torch.sin(u * (math.pi / 2)) ** 2


def at_position(p: Parameter, position: Tensor) -> Tensor:
    """The values at places 0 to 1 of a parameter's range, in its unit: `Parameter.at` for tensors."""
    if p.scale == "linear":
        return p.min + (p.max - p.min) * position
    return p.min * torch.exp(position * math.log(p.max / p.min))


def from_value(p: Parameter, value: float) -> float:
    """The `u` in 0 … 1 whose value is `value`."""
    position = min(max(p.position(value), 0.0), 1.0)
    return 2.0 / math.pi * math.asin(math.sqrt(position))


PER_UNIT = 0.25  # of its range, by which a value moves with each unit of u at first
ROOM_AT_LEAST = 0.01  # of the range: a value with less room than that on one side counts as standing at the end


def moved(p: Parameter, own: Tensor | float, u: Tensor) -> Tensor:
    """A value moved by the output of a network, any real `u`: own at u = 0, monotone, never outside the card's range.

    In the parameter's own scale (dB, or octaves and the like) the position is s + room tanh(u / (4 room)), where s is the
    place of `own` in the range, 0 … 1, and room what is left of it on the side that u points to: the slope at 0 is a
    quarter of the range for every parameter, on both sides.

    A value that stands at an end of its range stays there for u beyond it; its gradient is then that of a u of the same
    size on the other side, so that training can bring it back.

    Args:
        p: the parameter, a continuous one.
        own: its present value, in its unit; a number, or a tensor that may be trained.
        u: any shape.

    Returns:
        The value in its unit, of the shape of `u` (with `own` broadcast); float64 where `u` is, else float32.
    """
    x = u.to(torch.float64)
    base = torch.as_tensor(own, dtype=torch.float64, device=u.device)
    log = p.scale != "linear"
    span = math.log(p.max / p.min) if log else p.max - p.min
    s = ((torch.log(base / p.min) if log else base - p.min) / span).clamp(0.0, 1.0)
    room = torch.where(x > 0, 1.0 - s, s)
    free = room > ROOM_AT_LEAST
    step = room * torch.tanh(PER_UNIT * x / torch.where(free, room, room.clamp(min=1e-9)))
    back = torch.tanh(PER_UNIT * x)
    position = s + torch.where(free, step, step.detach() + (back - back.detach()))
    value = p.min * torch.exp(span * position) if log else p.min + span * position
    clamped = value.detach().clamp(p.min, p.max)
    value = torch.where(x == 0, base.detach(), clamped) + (value - value.detach())  # exactly its own, exactly inside
    return value if u.dtype == torch.float64 else value.to(torch.float32)


FURTHEST = 30.0  # at the end of the range
OWN_AT_LEAST = 0.01  # of the range: a value that stands at an end could not be moved


def driven(p: Parameter, own: Tensor, move: Tensor) -> Tensor:
    """The value that a controller drives: at position sigmoid(logit(own position) + move), so never outside its range.

    Args:
        own: the value as it is set, in its unit.
        move: the output of the controller's network; 0 leaves the value as it is.
    """
    move = torch.nan_to_num(move, 0.0, 0.0, 0.0).clamp(-FURTHEST, FURTHEST)
    log = p.scale != "linear"
    span = math.log(p.max / p.min) if log else p.max - p.min
    position = ((torch.log(own / p.min) if log else own - p.min) / span).clamp(OWN_AT_LEAST, 1.0 - OWN_AT_LEAST)
    moved = torch.sigmoid(torch.logit(position) + move)
    value = p.min * torch.exp(span * moved) if log else p.min + span * moved
    value = value.clamp(p.min, p.max)
    return torch.where(move == 0.0, own + (value - value.detach()), value)  # exactly its own, with the slope that it has there
