"""The threads and the memory of training, apart from the arithmetic.

torch's threads wait for more work by turning in circles for some milliseconds after each operation. Threads of ours beside
them would have to share the cores with that, so the sweeps run on the same team, where torch's library of threads (GNU's
libgomp) is found; elsewhere they start threads of their own.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

from .. import _engine
from ..system.memory import keep_memory

__all__ = ["keep_memory", "share_torch_threads"]


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
