"""The plugins of this machine: all of them, or one by its address or a part of its name."""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import brief
from .child import HostProcess, PluginError
from .description import Description, description

SHOWN = 8


@dataclass(frozen=True)
class Listed:
    """A plugin in the list.

    Attributes:
        uri, name, author, category: of the plugin.
        bundle: the folder that it is in.
        inputs, outputs: audio ports.
        missing: features that it requires and no host here has.
    """

    uri: str
    name: str
    author: str
    category: str
    bundle: str
    inputs: int
    outputs: int
    missing: tuple[str, ...]

    @property
    def is_effect(self) -> bool:
        """Whether sound goes in and comes out."""
        return self.inputs > 0 and self.outputs > 0

    @property
    def problem(self) -> str:
        """A sentence on why it cannot be used; empty where it can."""
        if self.missing:
            return f"it needs what no host here has: {', '.join(self.missing)}"
        return "" if self.is_effect else "it has no sound in, or none out"


def plugins() -> list[Listed]:
    """All LV2 plugins of this machine by name, instruments too. Their descriptions are read, none is loaded.

    Raises:
        PluginError: this installation has no host.
    """
    with HostProcess("the list of plugins") as host:
        declared = host.json("list")
    listed = [
        Listed(
            p["uri"], p["name"] or p["uri"], p["author"], p["class"], p["bundle"].rstrip("/"), p["inputs"], p["outputs"],
            tuple(p["missing"]),
        )
        for p in declared
    ]  # fmt: skip
    return sorted(listed, key=lambda p: (p.name.lower(), p.uri))


def find(name: str) -> Listed:
    """One plugin by its address, its name, or a part of either, whatever the case.

    Raises:
        PluginError: none fits, or several do; names them.
    """
    every, wanted = plugins(), name.lower()
    for fits in (
        [p for p in every if p.uri == name],
        [p for p in every if p.name.lower() == wanted],
        [p for p in every if wanted in p.name.lower() or wanted in p.uri.lower()],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            shown = "; ".join(f"{p.name} ({p.uri})" for p in fits[:SHOWN])
            more = f"; and {len(fits) - SHOWN} more" if len(fits) > SHOWN else ""
            raise PluginError(f"{len(fits)} plugins fit {brief(name)}: {shown}{more}; give the address of one")
    raise PluginError(f"no LV2 plugin fits {brief(name)}; `twinrack plugins list` shows all {len(every)}")


def describe(plugin: Listed, sample_rate: float = 48000.0) -> Description:
    """The description of a plugin, as it declares itself. It is not loaded."""
    with HostProcess(plugin.name) as host:
        return description(host.json("describe", plugin.bundle, plugin.uri), sample_rate)
