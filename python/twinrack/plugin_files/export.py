"""Export a rack as a plugin, and read the rack in one back."""

from __future__ import annotations

import os
import platform
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from .. import _engine
from ..checks import brief, check_integer, visible
from ..rack.card import CARDS
from ..rack.patch import load
from ..rack.presets import effect_presets
from ..rack.rack import Rack, as_rack
from ..system import disk
from ..system.disk import atomic, scratch, shown
from .bounce import bounced
from .flat import check_flat, flatten, main_rate, slug, unpack
from .lv2 import write_bundle
from .parameters import HostParameter

Format = Literal["lv2", "clap", "vst3"]
LIBRARY = "twinrack_plugin.so"
FLAT = {"lv2": Path("rack.flat"), "vst3": Path("Contents/Resources/rack.flat")}  # in the folder of a plugin
TRAILER = b"TWINRACK"
LONGEST_NAME = 100


@dataclass(frozen=True)
class Export:
    """A plugin that was written.

    Attributes:
        path: the file, or of LV2 the folder.
        id: by which hosts know it.
        parameters: addresses of the values that a host may move.
        sample_rates: in Hz; empty for any from 8 to 384 kHz.
        latency_frames: at 48 kHz, or at the first of its rates.
        notes: what is not as in Python, a sentence each.
    """

    path: Path
    id: str
    parameters: tuple[str, ...]
    sample_rates: tuple[float, ...]
    latency_frames: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.path}: {len(self.parameters)} parameters, latency {self.latency_frames} frames, id {self.id}"]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def export(
    rack: Rack,
    path: str | os.PathLike[str],
    *,
    format: Format | None = None,
    name: str | None = None,
    id: str | None = None,
    channels: int = 2,
    presets: Mapping[str, Rack] | None = None,
    bounce: bool = False,
) -> Export:
    """Write a rack as a plugin that other programs load: no Python is needed to play it.

    Args:
        rack: it is not changed. Its values are the plugin's defaults.
        path: the file `vocal.clap`, or the folder `vocal.lv2` or `vocal.vst3`. What is there is replaced, once the new one is
            complete.
        format: "lv2", "clap" or "vst3"; the path's ending when not given.
        name: that hosts show; the rack's name when not given.
        id: by which hosts know it, an address such as "urn:example:vocal"; of the name when not given. Projects look for a
            plugin by it.
        channels: in and out, and of every sidechain.
        presets: racks of the same structure by name; where none are given, a rack of one effect has those of its effect.
        bounce: Python effects go as their impulse responses, where they are linear and do not change with time.

    Raises:
        ValueError: an effect is a Python function, a preset is of another structure, or the path has another ending.
        OSError: the folder is missing, read-only or full.
    """
    rack, path = as_rack(rack), disk.path_of(path)
    chosen = format or path.suffix[1:].lower()
    if chosen not in get_args(Format):
        raise ValueError(f"a plugin is a .clap file, or a .lv2 or .vst3 folder, not {shown(path)}; or say format='clap'")
    channels = check_integer(channels, "channels", 1, _engine.MAX_CHANNELS)
    shown_name = _checked_name(name if name is not None else rack.name or path.stem)
    own_id = _checked_id(id if id is not None else f"urn:twinrack:{slug(shown_name)}")
    library = _library()
    rack, bounce_notes = bounced(rack, channels) if bounce else (rack, [])
    flat, parameters, notes = flatten(rack, channels, own_id, shown_name)
    given = _own_presets(rack, parameters) if presets is None else presets
    values = {_checked_name(n): _preset_values(n, rack, other, parameters) for n, other in given.items()}
    flat.presets = [_flat_preset(n, v) for n, v in values.items()]
    written = flat.to_bytes()
    check_flat(written, rack)
    if chosen == "clap":
        _write_clap(path, library, written)
    elif chosen == "vst3":
        _write_folder(path, lambda folder: _write_vst3(folder, path.stem, library, written))
    else:
        _write_folder(path, lambda folder: write_bundle(folder, library, rack, flat, written, parameters, values))
    any_rate = not any(e.resources for e in rack.addresses().values())
    return Export(
        path,
        own_id,
        tuple(p.address for p in parameters),
        () if any_rate else tuple(flat.rates),
        _engine.Player(flat, main_rate(flat.rates)).latency,
        (*bounce_notes, *notes),
    )


def read_plugin(path: str | os.PathLike[str]) -> Rack:
    """The rack in a plugin that `export` wrote.

    Raises:
        ValueError: it is none of those; names the path.
        OSError: it is missing or cannot be read.
    """
    path = disk.path_of(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no plugin {shown(path)}")
    try:
        if path.is_dir():
            flat_file = _flat_file(path)
            if flat_file is None:
                raise ValueError("it has no rack in it")
            flat = _engine.FlatRack.from_bytes(flat_file.read_bytes())
        else:
            flat = _engine.FlatRack.from_bytes(_appended(path.read_bytes()))
        with scratch() as folder:
            return load(unpack(flat.patch, folder))
    except ValueError as error:
        raise ValueError(f"{shown(path)} is not a plugin that twinrack exported: {error}") from None


def _library() -> Path:
    path = Path(_engine.__file__).with_name(LIBRARY)
    if not path.is_file():
        raise FileNotFoundError(f"the plugin library {LIBRARY} is not part of this installation; install twinrack again")
    return path


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not name.strip() or visible(name) != name or len(name) > LONGEST_NAME:
        raise ValueError(f"a plugin needs a name of 1 to {LONGEST_NAME} printable characters, not {brief(name)}")
    return name


def _checked_id(id: str) -> str:
    if not isinstance(id, str) or ":" not in id or any(c.isspace() or c in '<>"{}|\\^`' or not c.isascii() for c in id):
        raise ValueError(f"id {brief(id)} is not an address such as 'urn:example:vocal' or 'https://example.org/vocal'")
    return id


def _own_presets(rack: Rack, parameters: list[HostParameter]) -> dict[str, Rack]:
    """The presets of the only effect of a rack, but those that a plugin cannot take up while it plays."""
    effects = list(rack.addresses().items())
    if len(effects) != 1 or effects[0][1].card.id not in CARDS:
        return {}
    address, effect = effects[0]
    moved = {p.address for p in parameters}
    given = {}
    for name, preset in effect_presets(effect.card.id).items():
        fixed = [below for below in effect.card.addresses if f"{address}.{below}" not in moved]
        if all(preset.full()[below] == effect.get(below) for below in fixed):
            given[name] = rack.copy()
            preset.apply(given[name][address])
    return given


def _preset_values(name: str, rack: Rack, other: Rack, parameters: list[HostParameter]) -> list[float]:
    mine, theirs = rack.addresses(), as_rack(other).addresses()
    if [(a, e.card.id) for a, e in mine.items()] != [(a, e.card.id) for a, e in theirs.items()]:
        raise ValueError(f"preset {name!r} has other effects than the rack; a preset has the same with other values")
    moved = {p.address for p in parameters}
    for address, effect in theirs.items():
        for below in effect.card.addresses:
            place = f"{address}.{below}"
            if place not in moved and effect.get(below) != mine[address].get(below):
                raise ValueError(f"preset {name!r} has another {place}, which a plugin cannot move; make it equal")
    return [p.parameter.to_engine(as_rack(other).get(p.address)) for p in parameters]


def _flat_preset(name: str, values: list[float]) -> _engine.FlatPreset:
    preset = _engine.FlatPreset()
    preset.name, preset.values = name, values
    return preset


def _write_clap(path: Path, library: Path, flat: bytes) -> None:
    with atomic(path) as beside:
        beside.write_bytes(library.read_bytes() + flat + struct.pack("<Q", len(flat)) + TRAILER)
    path.chmod(0o755)


def _write_vst3(folder: Path, stem: str, library: Path, flat: bytes) -> None:
    binary = folder / "Contents" / f"{platform.machine()}-linux" / f"{stem}.so"
    binary.parent.mkdir(parents=True)
    shutil.copyfile(library, binary)
    binary.chmod(0o755)
    (folder / FLAT["vst3"]).parent.mkdir()
    (folder / FLAT["vst3"]).write_bytes(flat)


def _flat_file(folder: Path) -> Path | None:
    """The flat rack in the folder of a plugin; None where there is none."""
    return next((folder / place for place in FLAT.values() if (folder / place).is_file()), None)


def _write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Let a plugin's folder be written beside its place, then put it there; a plugin of ours that is there is replaced."""
    if path.exists() and not (path.is_dir() and (_flat_file(path) is not None or not any(path.iterdir()))):
        raise ValueError(f"{shown(path)} is there and is not a plugin of twinrack; choose another name")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {shown(path.parent)} to write {shown(path.name)} to; create it first")
    try:
        with scratch(path.parent) as folder:
            new, old = folder / "new", folder / "old"
            new.mkdir()
            write(new)
            if path.exists():
                path.rename(old)
            try:
                new.rename(path)
            except BaseException:
                if old.exists():
                    old.rename(path)
                raise
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise (error if error.errno is None else disk.cannot_write(path, error)) from None


def _appended(data: bytes) -> bytes:
    """The flat rack after the end of a library."""
    end = len(data) - 8 - len(TRAILER)
    if end < 0 or data[end + 8 :] != TRAILER:
        raise ValueError("it has no rack in it")
    (size,) = struct.unpack("<Q", data[end : end + 8])
    if size > end:
        raise ValueError("it is damaged")
    return data[end - size : end]
