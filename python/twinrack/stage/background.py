"""Background threads and callbacks that hold their object weakly, so that it ends once nobody else holds it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Calls a method while its object exists; afterwards it does nothing and returns None."""
    reference = WeakMethod(method)

    def call(*args: Any, **named: Any) -> Any:
        bound = reference()
        return None if bound is None else bound(*args, **named)

    return call


def every(seconds: float, end: threading.Event, method: Callable[..., bool | None], name: str, *args: Any) -> threading.Thread:
    """Start a thread that calls a method every `seconds`, until `end` is set, it returns False, or its object is gone."""
    reference = WeakMethod(method)

    def run() -> None:
        while not end.wait(seconds):
            bound = reference()
            if bound is None or bound(*args) is False:
                return
            bound = None  # nothing is held while it waits

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
