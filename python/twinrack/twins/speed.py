"""What makes training quick that is no arithmetic: threads and memory.

torch's threads wait for more work by turning in circles for some milliseconds after each operation. Threads of ours beside
them would have to share the cores with that, so the sweeps run on the same team, where torch's library of threads (GNU's
libgomp) is found; elsewhere they start threads of their own.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import torch

from .. import _engine


def share_torch_threads() -> bool:
    """Make the sweeps run on torch's threads; False where its library is another one."""
    for path in sorted(Path(torch.__file__).parent.glob("lib/libgomp*.so*")):
        try:
            start = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        address = ctypes.cast(start, ctypes.c_void_p).value
        if address is not None:
            _engine.use_thread_team(address)
            return True
    return False


def keep_memory() -> bool:
    """Make the process keep the memory of large tensors instead of giving it back to the system after each step.

    glibc maps blocks of megabytes anew each time they are asked for, and the system fills every page with zeros: in training
    steps of some milliseconds that is a third to a half of the time. The process then holds on to as much as it once used.
    `tr.fit` does this by itself; call it before a training loop of your own.

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
