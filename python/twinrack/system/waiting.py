"""How threads of OpenMP wait: those of torch turn in circles for milliseconds, which beside other busy programs takes the cores
from the work itself."""

from __future__ import annotations

import os
import sys

BRIEFLY = "2000"  # turns of GNU's libgomp before a thread sleeps, some microseconds


def wait_briefly() -> None:
    """Let threads of OpenMP sleep soon. It holds where torch is imported later; what the environment says already stays."""
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", BRIEFLY)
