"""Memory that stays where it is while sound runs: a page that must be fetched from disk is a late block."""

from __future__ import annotations

import ctypes
import os
import sys


def lock_memory() -> str | None:
    """Keep the program's memory from being paged out; a sentence when that is refused."""
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
    """Let it go again."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).munlockall()
