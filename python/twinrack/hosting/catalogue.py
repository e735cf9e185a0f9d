"""The plugins of this machine: all of them, or one by its address or a part of its name."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..checks import brief
from ..system.disk import atomic
from .child import HostProcess, PluginError, program
from .description import Description, description

SHOWN = 8
VERSION = 1  # of the stored list


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


def plugins(fresh: bool = False) -> list[Listed]:
    """All LV2 plugins of this machine by name, instruments too. Their descriptions are read, none is loaded.

    The list is stored in the user's cache folder, and read anew once a bundle was added, changed or removed.

    Args:
        fresh: read all descriptions anew.

    Raises:
        PluginError: this installation has no host.
    """
    program()
    state = _state_of_folders()
    if fresh or (listed := _stored(state)) is None:
        with HostProcess("the list of plugins") as host:
            declared = host.json("list")
        listed = [
            Listed(
                p["uri"], p["name"] or p["uri"], p["author"], p["class"], p["bundle"].rstrip("/"), p["inputs"], p["outputs"],
                tuple(p["missing"]),
            )
            for p in declared
        ]  # fmt: skip
        listed.sort(key=lambda p: (p.name.lower(), p.uri))
        _store(state, listed)
    return listed


def _folders() -> list[Path]:
    """The folders in which LV2 bundles are looked for."""
    given = os.environ.get("LV2_PATH")
    if given:
        return [Path(f).expanduser() for f in given.split(":") if f]
    fixed = ("/usr/lib/lv2", "/usr/local/lib/lv2", f"/usr/lib/{platform.machine()}-linux-gnu/lv2")
    return [Path.home() / ".lv2", *map(Path, fixed)]


def _state_of_folders() -> str:
    """A hash of names and times of all bundles."""
    digest = hashlib.sha256(f"{VERSION} {program()} {Path(program()).stat().st_mtime_ns}".encode())
    for folder in _folders():
        digest.update(f"\n{folder}".encode())
        for bundle in sorted(folder.glob("*")):
            with suppress(OSError):
                digest.update(f"\n{bundle.name} {(bundle / 'manifest.ttl').stat().st_mtime_ns}".encode())
    return digest.hexdigest()


def _path() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "twinrack", "lv2-plugins.json")


def _stored(state: str) -> list[Listed] | None:
    """The stored list; None where there is none of this state."""
    try:
        data = json.loads(_path().read_text(encoding="utf-8"))
        if data["state"] != state:
            return None
        return [Listed(**{**p, "missing": tuple(p["missing"])}) for p in data["plugins"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _store(state: str, listed: list[Listed]) -> None:
    with suppress(OSError):  # without it, the list is read anew
        _path().parent.mkdir(parents=True, exist_ok=True)
        with atomic(_path()) as temporary:
            temporary.write_text(json.dumps({"state": state, "plugins": [asdict(p) for p in listed]}), encoding="utf-8")


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
