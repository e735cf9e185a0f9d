"""The base of presets that are made of several effects."""

from __future__ import annotations

import tomllib
from abc import ABC, abstractmethod
from importlib.resources import files
from typing import Any

from .tree import Parallel


class ReadyMade(ABC):
    """A setting of what several effects make together; `name` and `text` say which and what for."""

    name: str
    text: str

    @abstractmethod
    def make(self) -> Parallel:
        """A new one."""

    @property
    def values(self) -> dict[str, Any]:
        """Those that are not at their defaults, by the addresses that they have in a rack of their own."""
        from .rack import Rack

        effects = Rack([self.make()]).addresses()
        return {f"{a}.{n}": v for a, e in effects.items() for n, v in e.values().items() if v != e.default(n)}


def read_settings(kind: str) -> dict[str, dict[str, Any]]:
    """The fields of each preset of a kind, by name, from the file beside this module."""
    return tomllib.loads(files("twinrack.rack").joinpath(f"{kind}.toml").read_text(encoding="utf-8"))
