"""Memory of large arrays that come and go: kept by the process, for the system fills every new page with zeros."""

from __future__ import annotations

import ctypes
import sys


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
