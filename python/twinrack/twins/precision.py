"""Twins compute in float32 or float64, whatever they are given: recursions and decibels do not survive half precision."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)
P = ParamSpec("P")
T = TypeVar("T")


def full(given: Any) -> Any:
    """Tensors of half precision as float32, also those in mappings, lists and tuples; all else as it is."""
    if isinstance(given, Tensor):
        return given.float() if given.dtype in HALF else given
    if isinstance(given, Mapping):
        return {name: full(value) for name, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(map(full, given))
    return given


def _sound(given: object) -> Tensor | None:
    """The first tensor among what a function is given."""
    if isinstance(given, Tensor):
        return given
    values = given.values() if isinstance(given, Mapping) else given if isinstance(given, list | tuple) else ()
    return next((found for found in map(_sound, values) if found is not None), None)


def full_precision(like_sound: bool = True) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function leave `torch.autocast` and take half-precision tensors as float32.

    Args:
        like_sound: give a tensor back in the precision of the first one that is given, the sound.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **more: P.kwargs) -> T:
            sound = _sound([*args, *more.values()])
            device = "cpu" if sound is None else sound.device.type
            if not torch.is_autocast_enabled(device) and not _holds_half([*args, *more.values()]):
                return function(*args, **more)
            with torch.autocast(device, enabled=False):
                result = function(*full(args), **full(more))
            if like_sound and sound is not None and sound.dtype in HALF and isinstance(result, Tensor):
                return result.to(sound.dtype)  # type: ignore[return-value]
            return result

        return wrapped

    return decorate


def _holds_half(given: object) -> bool:
    if isinstance(given, Tensor):
        return given.dtype in HALF
    values = given.values() if isinstance(given, Mapping) else given if isinstance(given, list | tuple) else ()
    return any(map(_holds_half, values))
