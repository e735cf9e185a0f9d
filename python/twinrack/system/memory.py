"""Memory of the process: kept between uses by training and mixing, locked against paging while sound runs."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import sys
import weakref
from contextlib import suppress

import numpy as np
import numpy.typing as npt

KEPT_FROM_BYTES = 4 << 20  # below, the C library keeps memory itself
_kept: list[mmap.mmap] = []  # of arrays that are gone, the newest last


def keep_memory() -> bool:
    """Make the process keep the memory of large arrays instead of giving it back to the system after each step.

    glibc maps blocks of megabytes anew each time they are asked for, and the system fills every page with zeros: in training
    steps of some milliseconds, and in mixing, that is a third to a half of the time. The process then holds on to as much as
    it once used. `tr.fit` and sessions do this by themselves; call it before a training loop of your own.

    Returns:
        False where the system's memory is not glibc's, which is left as it is.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mmap_threshold, trim_threshold, most = -3, -1, 1 << 30
    return bool(tune(mmap_threshold, most)) and bool(tune(trim_threshold, most))


def array_in_kept_memory(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """An array of float32 with anything in it; a large one lies in the memory of a large one that is gone, where that fits.

    The system fills every page of new memory with zeros, which takes longer than a cheap effect. The memory of the last two
    arrays is kept, and the system may take it when others need it (Linux; elsewhere it is an ordinary array).
    """
    numbers = math.prod(shape)
    size = numbers * np.dtype(np.float32).itemsize
    if size < KEPT_FROM_BYTES or not sys.platform.startswith("linux"):
        return np.empty(shape, np.float32)
    memory = _memory_of(size)
    flat = np.frombuffer(memory, np.float32, numbers)
    weakref.finalize(flat, _keep, memory).atexit = False
    return flat.reshape(shape)  # all its views refer to `flat`


def _memory_of(size: int) -> mmap.mmap:
    for memory in reversed(tuple(_kept)):
        if size <= len(memory) <= 2 * size:
            with suppress(ValueError):  # another thread took it
                _kept.remove(memory)
                return memory
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _keep(memory: mmap.mmap) -> None:
    with suppress(OSError):
        memory.madvise(mmap.MADV_FREE)
    _kept.append(memory)
    del _kept[:-2]


def lock_memory() -> str | None:
    """Keep the program's memory from being paged out: a page fetched from disk would make a block late.

    Returns:
        None, or the reason why the system refused, in a sentence.
    """
    if not sys.platform.startswith("linux"):
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit != resource.RLIM_INFINITY and os.geteuid() != 0:
        return (
            "memory is not locked: the limit is "
            f"{limit // 1024} KiB; put `@audio - memlock unlimited` into /etc/security/limits.d/audio.conf and log in anew"
        )
    current, future = 1, 2
    if ctypes.CDLL(None, use_errno=True).mlockall(current | future) != 0:
        return f"memory is not locked: {os.strerror(ctypes.get_errno())}"
    return None


def unlock_memory() -> None:
    """Undo `lock_memory`."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).munlockall()
