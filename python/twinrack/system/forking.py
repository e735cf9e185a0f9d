"""Forked processes: without the parent's threads, the locks that they held, and its streams."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from .. import _engine

_locks: WeakSet[Any] = WeakSet()
_farewells: list[Callable[[], None]] = []


def lock() -> Any:
    """A re-entrant lock that is free in a forked process, unless the thread that forked holds it."""
    new = threading.RLock()
    _locks.add(new)
    return new


def in_child(work: Callable[[], None]) -> Callable[[], None]:
    """Call `work` in every process that is forked from this one."""
    _farewells.append(work)
    return work


def is_mine(lock: Any) -> bool:
    """Whether this thread holds a lock."""
    return bool(lock._is_owned())


def _after_in_child() -> None:
    _engine.after_fork(True)
    for held in tuple(_locks):
        if not is_mine(held):
            held._at_fork_reinit()
    for work in _farewells:
        work()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_engine.before_fork,
        after_in_parent=lambda: _engine.after_fork(False),
        after_in_child=_after_in_child,
    )
