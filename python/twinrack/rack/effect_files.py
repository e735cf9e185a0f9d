"""Optional Python files in an effect's folder, such as `plugins/<id>/idle.py`."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..system import interrupt
from .card import Card


def effect_file(card: Card, name: str) -> ModuleType | None:
    """The module `plugins/<id>/<name>.py`; None where the effect has none."""
    path = f"twinrack.plugins.{card.id}.{name}"
    try:
        with interrupt.deferred():  # it may import torch, whose own C++ imports Python and ends the process when interrupted
            return import_module(path)
    except ModuleNotFoundError as error:
        if error.name not in (path, path.rpartition(".")[0]):
            raise
        return None
