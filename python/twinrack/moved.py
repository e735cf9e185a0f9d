"""Import paths from before modules stood in folders: `twinrack.tree` is `twinrack.rack.tree`, the same module object."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "addresses": "rack.addresses",
    "architectures": "resources.architectures",
    "batch": "render.batch",
    "card": "rack.card",
    "card_schema": "build.card_schema",
    "codegen": "build.codegen",
    "demo": "cli.demo",
    "describe": "rack.describe",
    "disk": "system.disk",
    "effect": "rack.effect",
    "explain.curves": "measure.curves",
    "explain.measures": "measure.impulse",
    "fingerprint": "rack.fingerprint",
    "forking": "system.forking",
    "idle": "rack.idle",
    "interrupt": "system.interrupt",
    "level": "render.level",
    "loudness": "measure.loudness",
    "memory": "system.memory",
    "nam": "resources.nam",
    "names": "system.names",
    "network": "resources.network",
    "patch": "rack.patch",
    "pipes": "render.pipes",
    "python_effect": "rack.python_effect",
    "renderer": "rack.renderer",
    "resource": "resources.resource",
    "response": "resources.response",
    "safetensors_header": "resources.safetensors_header",
    "session.crew": "session.scheduler",
    "session.gestures": "stage.gestures",
    "session.work": "session.sinks",
    "signatures": "rack.signatures",
    "train.distances": "measure.distances",
    "train.drift": "measure.drift",
    "train.levels": "train.initial_mix",
    "train.trajectory": "measure.gain_over_time",
    "tree": "rack.tree",
    "words": "checks",
}


class _Moved(MetaPathFinder, Loader):
    """Finds a module by its former name and hands out the one that stands in a folder now."""

    def __init__(self) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, former = name.partition(".")
        return ModuleSpec(name, self) if package == "twinrack" and former in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(f"twinrack.{MOVED[spec.name.partition('.')[2]]}")
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing runs again; the import system has put the former name into the module, which goes back to its own."""
        former = module.__spec__
        if former is not None:
            module.__spec__ = self._specs.pop(former.name)


def install() -> None:
    """Let former names be imported."""
    sys.meta_path.append(_Moved())
