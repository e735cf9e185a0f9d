"""Curves of the effects on the console, measured in the background when an effect was changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..desk import Desk
from . import state

PAUSE_S = 0.15  # an effect that is being moved is measured so often
Tell = Callable[[dict[str, Any]], None]


class CurveMeter:
    """Measures the curves of effects that were changed, on a thread of its own.

    Args:
        desk: whose effects.
        tell: called with the message of each curve.
    """

    def __init__(self, desk: Desk, tell: Tell) -> None:
        self._desk, self._tell = desk, tell
        self._wanted: set[str] = set()
        self._known: dict[str, dict[str, Any]] = {}
        self._news, self._end = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="twinrack-curves", daemon=True).start()

    def ask(self, address: str) -> None:
        """An effect was changed, or one of its groups."""
        head, slash, below = address.rpartition("/")
        effect = head + slash + below.partition(".")[0]
        if effect.rpartition("/")[2]:
            self._wanted.add(effect)
            self._news.set()

    def tell_all(self, tell: Tell | None) -> None:
        """Tell somebody what is known; without `tell`, measure everything anew for all."""
        for effect in state.effect_addresses(self._desk):
            if tell is not None and effect in self._known:
                tell({"type": "curve", "effect": effect, **self._known[effect]})
            else:
                self.ask(effect + ".")

    def _run(self) -> None:
        while not self._end.is_set():
            self._news.wait()
            self._news.clear()
            while self._wanted and not self._end.is_set():
                effect = self._wanted.pop()
                head, slash, below = effect.rpartition("/")
                try:
                    copy = self._desk.line(head if slash else None).rack[below].copy()
                    measured = state.curve(copy, self._desk.stream.sample_rate)
                except (ValueError, KeyError, RuntimeError):
                    continue  # it is gone by now
                self._known[effect] = measured
                self._tell({"type": "curve", "effect": effect, **measured})
            self._end.wait(PAUSE_S)

    def close(self) -> None:
        self._end.set()
        self._news.set()
