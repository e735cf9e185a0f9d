"""The plugins of this machine: all of them, or one by its address, a part of its name, or the path of its file."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..checks import brief
from ..system.disk import atomic
from .child import HostProcess, PluginDiedError, PluginError, program
from .description import Description, description, format_of

SHOWN = 8
VERSION = 2  # of the stored list
SCAN_S = 60.0  # for all plugins of one file
ENDINGS = {".lv2": "lv2", ".clap": "clap", ".vst3": "vst3"}


@dataclass(frozen=True)
class Listed:
    """A plugin in the list.

    Attributes:
        uri, name, author, category: of the plugin.
        bundle: the folder or file that it is in.
        inputs, outputs: channels of sound.
        missing: features that it requires and no host here has.
        fault: a sentence on why it cannot be loaded; empty where it can.
    """

    uri: str
    name: str
    author: str
    category: str
    bundle: str
    inputs: int
    outputs: int
    missing: tuple[str, ...]
    fault: str = ""

    @property
    def format(self) -> str:
        """Its format: "lv2", "clap" or "vst3"."""
        return format_of(self.uri)

    @property
    def place(self) -> tuple[str, str, str]:
        """Format, bundle and address, as the host program takes them."""
        return self.format, self.bundle, self.uri

    @property
    def is_effect(self) -> bool:
        """Whether sound goes in and comes out."""
        return self.inputs > 0 and self.outputs > 0

    @property
    def problem(self) -> str:
        """A sentence on why it cannot be used; empty where it can."""
        if self.fault:
            return self.fault
        if self.missing:
            return f"it needs what no host here has: {', '.join(self.missing)}"
        return "" if self.is_effect else "it has no sound in, or none out"


def plugins(fresh: bool = False) -> list[Listed]:
    """All LV2, CLAP and VST3 plugins of this machine by name, instruments too.

    Of LV2 the descriptions are read. Files of CLAP and VST3 say what is in them only once they are loaded, each in a process of
    its own. The list is stored in the user's cache folder; what was added or changed since is read anew.

    Args:
        fresh: read all anew.

    Raises:
        PluginError: this installation has no host.
    """
    program()
    stored = {} if fresh else _stored()
    entries = {"lv2": _lv2(stored.get("lv2"))} | _files(stored)
    if entries != stored:
        _store(entries)
    listed: dict[str, Listed] = {}
    for p in (p for entry in entries.values() for p in entry["plugins"]):
        listed.setdefault(p["uri"], Listed(**{**p, "missing": tuple(p["missing"])}))  # the first folder that has it
    return sorted(listed.values(), key=lambda p: (p.name.lower(), p.uri))


def _lv2(stored: dict[str, Any] | None) -> dict[str, Any]:
    """The LV2 plugins, with the state of their folders."""
    state = _state_of_folders()
    if stored is not None and stored["state"] == state:
        return stored
    with HostProcess("the list of plugins") as host:
        return {"state": state, "plugins": [_entry(p) for p in host.json("list")]}


def _entry(declared: dict[str, Any]) -> dict[str, Any]:
    """An entry of the list from what the host program says."""
    p = declared
    return asdict(
        Listed(
            p["uri"], p["name"] or p["uri"], p["author"], p["class"], p["bundle"].rstrip("/"), p["inputs"], p["outputs"],
            tuple(p["missing"]), p["fault"],
        )
    ) | {"missing": p["missing"]}  # fmt: skip


def _files(stored: dict[str, Any]) -> dict[str, Any]:
    """The plugins of all CLAP and VST3 files, by path."""
    every = [p for ending in (".clap", ".vst3") for folder in _folders(ending) for p in _below(folder, ending)]
    paths = list(dict.fromkeys(map(str, every)))
    states = {path: _state_of_file(path) for path in paths}
    new = [p for p in paths if stored.get(p, {}).get("state") != states[p]]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        scanned = dict(zip(new, pool.map(_scan, new), strict=True))
    return {p: {"state": states[p], "plugins": scanned[p]} if p in scanned else stored[p] for p in paths}


def _below(folder: Path, ending: str) -> Iterable[Path]:
    """Files and bundles in a folder and those in it; not those within bundles."""
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() == ending:
            yield path
        elif path.is_dir():
            yield from (p for p in sorted(path.glob("*")) if p.suffix.lower() == ending)


def _scan(path: str) -> list[dict[str, Any]]:
    """The entries of all plugins in a file; one that says why where it cannot be read."""
    name, format = Path(path).name, ENDINGS[Path(path).suffix.lower()]
    try:
        with HostProcess(name) as host:
            declared = json.loads(host.request("scan", format, path, seconds=SCAN_S).decode(errors="replace"))
            return [_entry(p | {"bundle": path}) for p in declared]
    except (PluginError, PluginDiedError) as error:
        fault = str(error).removeprefix(f"{name}: ")
        unknown = {
            "uri": f"{format}:{path}",
            "name": name,
            "author": "",
            "class": "",
            "bundle": path,
            "inputs": 0,
            "outputs": 0,
        }
        return [_entry(unknown | {"missing": [], "fault": fault})]


def _state_of_file(path: str) -> str:
    """It changes with the file, or the library in the bundle, and with the host program."""
    with suppress(OSError):
        libraries = sorted(Path(path).glob("Contents/*/*.so")) if Path(path).is_dir() else [Path(path)]
        return " ".join(f"{p.stat().st_mtime_ns} {p.stat().st_size}" for p in [Path(program()), *libraries])
    return ""


def _folders(ending: str) -> list[Path]:
    """The folders in which plugins of a format are looked for: those of a variable such as LV2_PATH, or the usual ones."""
    given = os.environ.get(f"{ending[1:].upper()}_PATH")
    if given:
        return [Path(f).expanduser() for f in given.split(":") if f]
    name = ending[1:]
    fixed = (f"/usr/lib/{name}", f"/usr/local/lib/{name}", f"/usr/lib/{platform.machine()}-linux-gnu/{name}")
    return [Path.home() / ending, *map(Path, fixed)]


def _state_of_folders() -> str:
    """A hash of names and times of all LV2 bundles."""
    digest = hashlib.sha256(f"{program()} {Path(program()).stat().st_mtime_ns}".encode())
    for folder in _folders(".lv2"):
        digest.update(f"\n{folder}".encode())
        for bundle in sorted(folder.glob("*")):
            with suppress(OSError):
                digest.update(f"\n{bundle.name} {(bundle / 'manifest.ttl').stat().st_mtime_ns}".encode())
    return digest.hexdigest()


def _path() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "twinrack", "plugins.json")


def _stored() -> dict[str, Any]:
    """The stored list; empty where there is none."""
    try:
        data = json.loads(_path().read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            return {}
        for entry in data["entries"].values():
            assert isinstance(entry["state"], str)
            for p in entry["plugins"]:
                Listed(**p)
        return dict(data["entries"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError):
        return {}


def _store(entries: dict[str, Any]) -> None:
    with suppress(OSError):  # without it, the list is read anew
        _path().parent.mkdir(parents=True, exist_ok=True)
        with atomic(_path()) as temporary:
            temporary.write_text(json.dumps({"version": VERSION, "entries": entries}), encoding="utf-8")


def find(name: str) -> Listed:
    """One plugin by its address, its name, a part of either, whatever the case, or the path of its file.

    A part of a name that only LV2 plugins and others of the same name have is the LV2 one.

    Raises:
        PluginError: none fits, or several do; names them.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() in ENDINGS and path.exists():
        return _one(_in_file(path.absolute()), name)
    every, wanted = [*plugins(), *_by_path.values()], name.lower()
    for fits in (
        [p for p in every if p.uri == name],
        [p for p in every if p.name.lower() == wanted],
        [p for p in every if wanted in p.name.lower() or wanted in p.uri.lower()],
    ):
        if fits:
            return _one(fits, name)
    names = {p.name.lower(): p.name for p in every if not p.problem}
    near = get_close_matches(wanted, names, 1)
    hint = f"did you mean {names[near[0]]!r}? " if near else ""
    raise PluginError(
        f"no plugin fits {brief(name)}; {hint}`twinrack plugins list` shows all {sum(not p.problem for p in every)}"
    )


def by_address(uri: str) -> Listed | None:
    """The plugin with an address, which may come from a stranger's file: it is never taken for a path."""
    return next((p for p in [*plugins(), *_by_path.values()] if p.uri == uri), None)


def _one(fits: list[Listed], name: str) -> Listed:
    """The only one that fits; of one plugin in several formats the LV2 one, or else the CLAP one."""
    names = {p.name.lower() for p in fits}
    formats = [p.format for p in fits]
    if len(names) == 1 and len(set(formats)) == len(formats):
        return min(fits, key=lambda p: tuple(ENDINGS.values()).index(p.format))
    if not fits:
        raise PluginError(f"there is no plugin in {brief(name)}")
    shown = "; ".join(f"{p.name} ({p.uri})" for p in fits[:SHOWN])
    more = f"; and {len(fits) - SHOWN} more" if len(fits) > SHOWN else ""
    raise PluginError(f"{len(fits)} plugins fit {brief(name)}: {shown}{more}; give the address of one")


_by_path: dict[str, Listed] = {}  # those that were given by a path, by address


def _in_file(path: Path) -> list[Listed]:
    """The plugins in a file or bundle. From now on this program finds them by address too."""
    if ENDINGS[path.suffix.lower()] == "lv2":
        with HostProcess(path.name) as host:
            entries = [_entry(p) for p in host.json("scan", "lv2", path)]
    else:
        entries = _scan(str(path))
    listed = [Listed(**{**p, "missing": tuple(p["missing"])}) for p in entries]
    for p in listed:
        remember(p)
    return listed


def remember(plugin: Listed) -> None:
    """Let this program find a plugin by its address, wherever its file is."""
    if not plugin.fault and plugin.uri not in {p.uri for p in plugins()}:
        _by_path[plugin.uri] = plugin


def describe(plugin: Listed, sample_rate: float = 48000.0) -> Description:
    """The description of a plugin, as it declares itself. One of LV2 is not loaded for it."""
    with HostProcess(plugin.name) as host:
        return description(host.json("describe", *plugin.place), sample_rate)
