"""Arithmetic on long arrays in chunks, on threads of our own: those of OpenMP wait in circles, which beside other busy programs
costs several times the work itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, reduce
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ...system.cores import cores

CHUNK = 1 << 16  # numbers of a row
T = TypeVar("T")
U = TypeVar("U")


def on_cores(function: Callable[[T], U], items: Sequence[T]) -> list[U]:
    """The function of each item, several at once; the function itself must not call this."""
    if len(items) < 2:
        return [function(item) for item in items]
    return list(_pool(os.getpid()).map(function, items))


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """One for all calls of a process, for a search makes many short ones; a forked process needs threads of its own."""
    return ThreadPoolExecutor(cores(), "twinrack-fit")


def added(part: Callable[[int, int], npt.NDArray[np.float64]], count: int) -> npt.NDArray[np.float64]:
    """The sum of `part(start, end)` over chunks of `count` numbers."""
    starts = range(0, max(count, 1), CHUNK)
    return reduce(np.add, on_cores(lambda start: part(start, min(start + CHUNK, count)), list(starts)))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Meanwhile torch and numpy start no threads of their own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
