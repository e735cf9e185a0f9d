"""Twins compute in float32 or float64, whatever they are given: recursions and decibels do not survive half precision."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
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


def _tensors(given: object) -> Iterator[Tensor]:
    """All tensors among what a function is given, the sound first."""
    if isinstance(given, Tensor):
        yield given
    for each in given.values() if isinstance(given, Mapping) else given if isinstance(given, list | tuple) else ():
        yield from _tensors(each)


def full_precision(like_sound: bool = True) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function leave `torch.autocast` and take half-precision tensors as float32.

    Args:
        like_sound: give a tensor back in the precision of the first one that is given, the sound.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **more: P.kwargs) -> T:
            tensors = list(_tensors([*args, *more.values()]))
            sound = tensors[0] if tensors else None
            device = "cpu" if sound is None else sound.device.type
            if not torch.is_autocast_enabled(device) and not any(t.dtype in HALF for t in tensors):
                return function(*args, **more)
            with torch.autocast(device, enabled=False):
                result = function(*full(args), **full(more))
            if like_sound and sound is not None and sound.dtype in HALF and isinstance(result, Tensor):
                return result.to(sound.dtype)  # type: ignore[return-value]
            return result

        return wrapped

    return decorate
