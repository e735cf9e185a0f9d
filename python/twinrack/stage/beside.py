"""Threads and listeners that serve an object without keeping it alive, so that what nobody holds any more can end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Calls a method while its object is there; afterwards nothing happens, and None comes back."""
    held = WeakMethod(method)

    def call(*args: Any, **named: Any) -> Any:
        found = held()
        return None if found is None else found(*args, **named)

    return call


def every(seconds: float, end: threading.Event, method: Callable[..., bool | None], name: str, *args: Any) -> threading.Thread:
    """A thread that calls a method every so many seconds, until `end` is set, it returns False, or its object is gone."""
    held = WeakMethod(method)

    def run() -> None:
        while not end.wait(seconds):
            found = held()
            if found is None or found(*args) is False:
                return
            found = None  # nothing is held while it waits

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
