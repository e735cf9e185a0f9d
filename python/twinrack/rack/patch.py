"""Patches: a rack as a readable JSON file, with where its values came from; arrays are in a safetensors file beside it.

Saving writes a temporary file and renames it, so a patch is complete or missing. Loading checks everything (form, versions,
names, ranges, hashes) before an effect is created; what is wrong is one sentence that names the file and the field.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from ..checks import brief, is_integer, visible
from ..files.audio_file import FORMATS
from ..resources.safetensors_header import LARGEST_ARRAYS, check_header
from ..resources.types import TYPES
from ..system import disk
from ..system.disk import atomic
from ..system.names import beside
from ..version import __version__
from .card import Card, find_card
from .effect import CLASSES, Effect, place_of, unknown
from .external_effect import ExternalEffect
from .python_effect import PythonEffect
from .rack import Rack
from .trail import KEY as TRAIL
from .trail import after_loading, brought_up, state_of
from .tree import Bands, Chain, MidSide, Parallel, Split

FORMAT = "twinrack.rack"
VERSION = 1
# From a version of the patch format to the next: takes and returns the JSON object.
Migration = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: dict[int, Migration] = {}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ResourceEntry(_Strict):
    """An impulse response or a network: which of the arrays beside the patch, its sample rate in Hz, and of a network what it
    consists of (checked when it is made; see `network`)."""

    array: str
    sample_rate: float | None
    source: str = ""
    architecture: dict[str, Any] | None = None


class EffectEntry(_Strict):
    """One effect: its card's id and version (today's where it is left out), and its values in user units; unused group items
    (bands) are left out."""

    effect: str
    version: str | None = Field(default=None, pattern=r"^\d+\.\d+\.\d+$")
    name: str | None = None
    bypass: bool = False
    key: str | None = None
    values: dict[str, float | bool | str] = Field(default_factory=dict)
    resources: dict[str, ResourceEntry] = Field(default_factory=dict)


class PluginEntry(_Strict):
    """Another maker's plugin: its address, its values in the units that it declares, and what else it keeps, as text."""

    plugin: str = Field(min_length=1, max_length=2000)
    format: Literal["lv2", "clap", "vst3"] = "lv2"
    label: str = ""
    block_frames: int | None = None
    synchronous: bool = False
    bpm: float = 120.0
    name: str | None = None
    bypass: bool = False
    key: str | None = None
    values: dict[str, float | bool | str] = Field(default_factory=dict)
    state: str = ""
    midi: list[Annotated[tuple[float, str], Field(strict=False)]] = Field(default_factory=list)


class ChainEntry(_Strict):
    """Effects one after the other."""

    chain: list[Entry]

    def children(self) -> list[Entry]:
        return self.chain


class ParallelEntry(_Strict):
    """Branches that hear the same input and are added."""

    parallel: Annotated[list[ChainEntry], Field(min_length=1)]

    def children(self) -> list[Entry]:
        return [*self.parallel]


class BandsEntry(_Strict):
    """Branches for the bands of a crossover, the lowest first, which are added."""

    bands: Annotated[list[ChainEntry], Field(min_length=2)]
    crossover: EffectEntry

    def children(self) -> list[Entry]:
        return [self.crossover, *self.bands]


class MidSideEntry(_Strict):
    """A branch for what left and right share, and one for in what they differ, which are added."""

    mid: ChainEntry
    side: ChainEntry
    levels: EffectEntry

    def children(self) -> list[Entry]:
        return [self.levels, self.mid, self.side]


ENTRY_KINDS = ("chain", "parallel", "bands", "mid", "plugin")  # of entries, by their first field; others are effects


def _kind(data: object) -> str:
    """The kind of entry that is meant."""
    for kind in ENTRY_KINDS:
        if kind in data if isinstance(data, dict) else hasattr(data, kind):
            return kind
    return "effect"


Entry = Annotated[
    Annotated[EffectEntry, Tag("effect")]
    | Annotated[PluginEntry, Tag("plugin")]
    | Annotated[ChainEntry, Tag("chain")]
    | Annotated[ParallelEntry, Tag("parallel")]
    | Annotated[BandsEntry, Tag("bands")]
    | Annotated[MidSideEntry, Tag("mid")],
    Discriminator(_kind),
]


class ArraysEntry(_Strict):
    """A safetensors file beside the patch, and the SHA-256 of its bytes."""

    file: str = Field(pattern=r"^[^/\\\x00-\x1f]+\.safetensors$", max_length=255)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Provenance(BaseModel):
    """Where the values came from. More may stand here; what is named has this form."""

    model_config = ConfigDict(extra="allow", strict=True)

    made_by: str = ""
    date: str = ""
    recordings: list[dict[str, Any]] = Field(default_factory=list)
    held_out: dict[str, dict[str, float]] = Field(default_factory=dict)
    not_determined: list[str] = Field(default_factory=list)
    outside_expected: list[str] = Field(default_factory=list)
    reviews: list[Any] = Field(default_factory=list)


class Patch(_Strict):
    """The whole file."""

    format: Literal["twinrack.rack"]
    version: int = VERSION
    name: str = ""
    written_by: str = ""
    rack: list[Entry]
    provenance: Provenance | None = None
    arrays: ArraysEntry | None = None


PARTS = (Patch, EffectEntry, PluginEntry, ChainEntry, ParallelEntry, BandsEntry, MidSideEntry, ArraysEntry, ResourceEntry)


def schema() -> dict[str, Any]:
    """The JSON Schema of the patch file."""
    return Patch.model_json_schema()


def _array_name(address: str, resource: str) -> str:
    return f"{address}.{resource}"


def _entry(item: Effect | Chain | Parallel) -> dict[str, Any]:
    if isinstance(item, Chain):
        return {"chain": [_entry(child) for child in item.items]}
    if isinstance(item, Split):
        item.check()
    if isinstance(item, Bands):
        return {"bands": [_entry(band) for band in item.branches], "crossover": _entry(item.crossover)}
    if isinstance(item, MidSide):
        return {"mid": _entry(item.mid), "side": _entry(item.side), "levels": _entry(item.levels)}
    if isinstance(item, Parallel):
        return {"parallel": [_entry(branch) for branch in item.branches]}
    if isinstance(item, PythonEffect):
        raise ValueError(f"{place_of(item)} is a Python function, which has no place in a patch; remove it before saving")
    if isinstance(item, ExternalEffect):
        from ..hosting.effect import Plugin, to_patch

        assert isinstance(item, Plugin)
        return to_patch(item) | _labels(item)
    unused = item.unused()
    entry: dict[str, Any] = {"effect": item.card.id, "version": item.card.version, **_labels(item)}
    entry["values"] = {a: v for a, v in item.values().items() if a not in unused}
    if item.resources:
        entry["resources"] = {
            id: {"array": _array_name(place_of(item), id), **r.to_patch()[0]} for id, r in item.resources.items()
        }
    return entry


def _labels(item: Effect) -> dict[str, Any]:
    labels = {"name": item.name, "bypass": item.bypass or None, "key": item.key}
    return {label: value for label, value in labels.items() if value is not None}


def to_json(rack: Rack) -> dict[str, Any]:
    """The patch as a JSON object, without arrays."""
    data: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "name": rack.name,
        "written_by": f"twinrack {__version__}",
    }
    data["rack"] = [_entry(item) for item in rack.effects]
    if rack.provenance:
        data["provenance"] = rack.provenance
    return data


def save(rack: Rack, path: str | os.PathLike[str], by: str = "Python") -> None:
    """Write the patch, and its arrays beside it under a name that carries their hash. What is new in it goes into its trail.

    Args:
        by: what changed it, for the trail.

    Raises:
        OSError: the folder is missing, read-only or full; names the path.
    """
    path = disk.path_of(path)
    target = disk.target_of(path)[0]
    with atomic(path) as temporary:  # first, so that arrays are not written for a patch that cannot be
        data = with_arrays(rack, target, path.name.removesuffix(".json").removesuffix(".rack"), by)
        temporary.write_bytes(disk.json_bytes(data, path, "patch"))
    rack.provenance, rack.saved_state = {**rack.provenance, TRAIL: data["provenance"][TRAIL]}, state_of(rack)


def with_arrays(rack: Rack, path: Path, stem: str, by: str = "") -> dict[str, Any]:
    """The patch as a JSON object that is to stand in the file `path`; its arrays are written beside that, under a name that
    begins with `stem`.

    Args:
        by: what changed it, for its trail; without, only a trail that the rack has already goes on.
    """
    data, content = to_json(rack), b""
    arrays = dict(rack.arrays)
    for address, effect in rack.addresses().items():
        arrays.update({_array_name(address, id): resource.to_patch()[1] for id, resource in effect.resources.items()})
    if arrays:
        from safetensors.numpy import save as to_bytes

        content = to_bytes({name: np.ascontiguousarray(a) for name, a in arrays.items()})
        digest = hashlib.sha256(content).hexdigest()
        data["arrays"] = {"file": f"{stem}.{digest[:12]}.safetensors", "sha256": digest}
    # what could not be written, or not be read again, is found before anything is written
    written = disk.json_bytes(data, path, "patch", None)
    try:
        Patch.model_validate_json(written)
    except ValidationError as error:
        raise ValueError(f"{path} cannot hold this rack: {first_complaint(error)}") from None
    if by or rack.provenance.get(TRAIL):
        entries = brought_up(rack, json.loads(written), by or "a session")
        last = {"arrays": data.pop("arrays")} if "arrays" in data else {}
        data = {**data, "provenance": {**data.get("provenance", {}), TRAIL: entries}, **last}
    if content:
        with atomic(path.with_name(data["arrays"]["file"])) as temporary:
            temporary.write_bytes(content)
    return data


def load(path: str | os.PathLike[str]) -> Rack:
    """Read a patch.

    Raises:
        FileNotFoundError: the patch or its arrays are missing.
        ValueError: not a patch, of a newer version, an unknown effect or parameter, a value out of range, a wrong hash.
    """
    path = disk.path_of(path)
    return from_json(read_json(path), path)


def of_today(
    data: dict[str, Any], path: Path, what: str, form: str, newest: int, migrations: Mapping[int, Migration]
) -> dict[str, Any]:
    """A file's JSON object in the form of today, after its migrations.

    Raises:
        ValueError: it is of another format, or of a newer version.
    """
    if data.get("format") != form:
        raise ValueError(f"{path} is not a twinrack {what}: its format is {brief(data.get('format'))}, not {form!r}")
    version = data.get("version", newest)  # a file written by hand may leave it out
    if not is_integer(version) or version < 1:
        raise ValueError(f"{path}: version is {brief(version)}; an integer from 1 to {newest} was expected")
    if version > newest:
        raise ValueError(
            f"{path} is {what} version {brief(version)}, written by a newer twinrack "
            f"({visible(str(data.get('written_by', 'unknown'))[:60], lines=False)}); "
            f"this one reads up to {newest}: upgrade twinrack"
        )
    while version < newest:
        data = migrations[version](data)
        version += 1
    return data


def from_json(data: dict[str, Any], path: Path) -> Rack:
    """A rack from a patch's JSON object, which stands in the file `path`; its arrays lie beside that. Raises as `load`."""
    data = of_today(data, path, "patch", FORMAT, VERSION, MIGRATIONS)
    try:
        patch = Patch.model_validate(data)
    except ValidationError as error:
        raise ValueError(f"{path}: {first_complaint(error, *PARTS)}") from None
    arrays: dict[str, npt.NDArray[Any]] = {}
    if patch.arrays is not None:
        needed = any(True for entry in patch.rack for _ in _resources(entry))
        try:
            arrays = _read_arrays(path, patch)
        except FileNotFoundError as error:
            if needed:
                raise
            warnings.warn(f"{error}; it only holds the history of the fit, so the rack is as it was", stacklevel=2)
    try:
        rack = Rack(
            [_item(entry, f"rack[{i}]", arrays) for i, entry in enumerate(patch.rack)], name=patch.name or name_of(path)
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
    rack.provenance = after_loading(data, data.get("provenance") or {})
    rack.saved_state = state_of(rack)
    used = {r.array for entry in patch.rack for r in _resources(entry)}
    rack.arrays = {name: array for name, array in arrays.items() if name not in used}
    return rack


def _resources(entry: Entry) -> Iterator[ResourceEntry]:
    if isinstance(entry, EffectEntry):
        yield from entry.resources.values()
    for child in [] if isinstance(entry, EffectEntry | PluginEntry) else entry.children():
        yield from _resources(child)


def read_json(path: Path, what: str = "patch") -> dict[str, Any]:
    """A patch's or session's JSON object. Raises as `disk.read_json`, and ValueError for JSON that is not an object."""
    try:
        data = disk.read_json(path, what)
    except ValueError:
        if path.suffix.lower() not in FORMATS or not path.is_file():
            raise
        ending = "session" if what == "session" else "rack"
        raise ValueError(f"{path} is an audio file, not valid JSON; give a {what}: *.{ending}.json") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} is not a twinrack {what}: it holds a JSON {type(data).__name__}, not an object")
    return data


def name_of(path: Path) -> str:
    """A patch's name where it has none: that of its file, without endings."""
    return path.name.removesuffix(".json").removesuffix(".rack").removesuffix(".session")


KINDS = {
    "string": "text", "str": "text", "float": "a number", "int": "an integer", "bool": "true or false", "list": "a list […]",
    "dict": "an object {…}", "model": "an object {…}", "none": "null", "finite": "a finite number",
}  # fmt: skip


def _shown(given: object) -> str:
    text = json.dumps(given, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _kind_of(complaint: str) -> str:
    """The kind of value that was expected, from the library's name of the complaint, such as "float_type"."""
    return KINDS.get(complaint.partition("_")[0], "something else")


def _complaint(complaint: Any, names: Sequence[str]) -> str:
    """The error in a field as part of a sentence, without the words of the library that checked it."""
    kind, shown, context = complaint["type"], _shown(complaint.get("input")), complaint.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        near = get_close_matches(str(complaint["loc"][-1]), names, 1)
        return f"is not known here; {f'did you mean {near[0]!r}?' if near else 'leave it out'}"
    if kind == "literal_error":
        return f"is {shown}; {context['expected']} was expected"
    if kind == "string_pattern_mismatch":
        forms = {"safetensors": "the name of a .safetensors file", "0-9a-f": "a SHA-256", "d+": "a version such as 1.0.0"}
        return (
            f"is {shown}; {next((w for piece, w in forms.items() if piece in context['pattern']), 'other text')} was expected"
        )
    if kind in ("too_short", "string_too_short", "too_long", "string_too_long"):
        unit = "characters" if kind.startswith("string") else "entries"
        least, most = context.get("min_length"), context.get("max_length")
        short = kind.endswith("short")
        return f"has too {'few' if short else 'many'} {unit}; at {'least' if short else 'most'} {least if short else most}"
    if kind == "finite_number":
        return f"is {shown}; a finite number was expected"
    return f"is {shown}; {_kind_of(kind)} was expected"


WAY = re.compile(r"float|int|str|bool|none|constrained-\w+|.*[\[(].*")  # the library's names for the ways to write an entry


def first_complaint(error: ValidationError, *models: type[BaseModel]) -> str:
    """The first thing that is wrong with a file, as a sentence: the field, what it holds, what is right.

    Args:
        models: of the file's parts, for the nearest name of a field that is not known.
    """
    complaints = error.errors()
    complaint = complaints[0]
    where = complaint["loc"]
    if len(where) > 1 and isinstance(where[-1], str) and WAY.fullmatch(where[-1]):  # it may be written in several ways
        where = where[:-1]
        kinds = [_kind_of(c["type"]) for c in complaints if c["loc"][:-1] == where]
        words = f"is {_shown(complaint['input'])}; {' or '.join(dict.fromkeys(kinds))} was expected"
    else:
        words = _complaint(complaint, [name for model in models for name in model.model_fields])
    place, parent = "", None
    for part in where:
        if isinstance(parent, int) and part in (*ENTRY_KINDS, "effect"):
            parent = None  # the kind of entry, not a field
            continue
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
        parent = part
    return visible(f"{(place or 'it')[:120]} {words[:160]}", lines=False)


def _item(
    entry: EffectEntry | PluginEntry | ChainEntry | ParallelEntry | BandsEntry | MidSideEntry,
    place: str,
    arrays: dict[str, npt.NDArray[Any]],
) -> Effect | Chain | Parallel:
    if isinstance(entry, ChainEntry):
        return Chain([_item(child, f"{place}.chain[{i}]", arrays) for i, child in enumerate(entry.chain)])
    if isinstance(entry, ParallelEntry):
        branches = [_item(child, f"{place}.parallel[{i}]", arrays) for i, child in enumerate(entry.parallel)]
        return Parallel(branches)
    if isinstance(entry, BandsEntry | MidSideEntry):
        return _split(entry, place, arrays)
    if isinstance(entry, PluginEntry):
        from ..hosting.effect import from_patch

        arguments: dict[str, Any] = {"name": entry.name, "bypass": entry.bypass, "key": entry.key}
        arguments |= {"block_frames": entry.block_frames, "synchronous": entry.synchronous}
        arguments |= {"bpm": entry.bpm, "midi": entry.midi}
        try:
            return from_patch(entry.plugin, entry.label, arguments, entry.values, entry.state)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{place}: {error}") from None
    try:
        card = find_card(entry.effect)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    values = _migrated(card, entry, place)
    resources, types = {}, {r["id"]: r["type"] for r in card.resources}
    for id, r in entry.resources.items():
        if id not in types:
            raise ValueError(f"{place}: {card.id} takes no {brief(id)}")
        if r.array not in arrays:
            raise ValueError(f"{place}: resources.{id}: there is no array {brief(r.array)} beside the patch")
        try:
            resources[id] = TYPES[types[id]].from_patch(r.model_dump(exclude={"array"}), arrays[r.array])
        except ValueError as error:
            raise ValueError(f"{place}: resources.{id}: {error}") from None
    effect = CLASSES[card.id](name=entry.name, bypass=entry.bypass, key=entry.key, **resources)
    for address, value in values.items():
        p = card.addresses.get(address)
        if p is None:
            raise ValueError(f"{place}: {unknown(address, list(card.addresses), card.id)}")
        right = {"choice": str, "switch": bool}.get(p.kind, float)
        if not isinstance(value, right) or (right is float and isinstance(value, bool)):
            wanted = {"choice": "a text", "switch": "true or false"}.get(p.kind, "a number")
            raise ValueError(f"{place}: {card.id}.{address} is {brief(value)}; {wanted} was expected ({p.range_text()})")
        try:
            effect.set(address, value)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
    return effect


def _split(entry: BandsEntry | MidSideEntry, place: str, arrays: dict[str, npt.NDArray[Any]]) -> Bands | MidSide:
    """A Bands or MidSide of a patch.

    Raises:
        ValueError: another effect splits than it should, or for another number of branches.
    """

    def effect(name: str, of: EffectEntry) -> Effect:
        splitter = _item(of, f"{place}.{name}", arrays)
        assert isinstance(splitter, Effect)
        return splitter

    if isinstance(entry, MidSideEntry):
        mid, side = (_item(getattr(entry, name), f"{place}.{name}", arrays) for name in ("mid", "side"))
        levels = effect("levels", entry.levels)
        return _placed(place, lambda: MidSide(mid, side, levels=levels))
    bands = [_item(child, f"{place}.bands[{i}]", arrays) for i, child in enumerate(entry.bands)]
    crossover = effect("crossover", entry.crossover)
    return _placed(place, lambda: Bands(bands, crossover=crossover))


def _placed(place: str, make: Callable[[], Bands | MidSide]) -> Bands | MidSide:
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from None


def _migrated(card: Card, entry: EffectEntry, place: str) -> dict[str, Any]:
    """The entry's values for the card of today; an effect's `migrate.py` brings those of an older major version up."""
    ours, theirs = (tuple(map(int, text.split("."))) for text in (card.version, entry.version or card.version))
    if theirs[0] > ours[0]:
        raise ValueError(f"{place}: {card.id} {entry.version} is newer than this twinrack's {card.version}; upgrade twinrack")
    values: dict[str, Any] = dict(entry.values)
    if theirs[0] == ours[0]:
        return values
    try:
        module = import_module(f"twinrack.plugins.{card.id}.migrate")
    except ModuleNotFoundError:
        raise ValueError(
            f"{place}: {card.id} {entry.version} is older than this twinrack's {card.version}, whose parameters differ, and "
            "no migration is known; set it up anew or render with the older twinrack"
        ) from None
    migrated: dict[str, Any] = module.migrate(values, theirs)
    return migrated


def _read_arrays(path: Path, patch: Patch) -> dict[str, npt.NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    assert patch.arrays is not None
    entry, used = patch.arrays, {r.array for item in patch.rack for r in _resources(item)}
    arrays_path = beside(path, entry.file)
    try:
        check_header(arrays_path, used)
        content = disk.read_whole(arrays_path, "safetensors file", LARGEST_ARRAYS)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} needs {entry.file} beside it, which is missing; copy both together") from None
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ValueError(f"{path}: arrays.sha256 does not fit {entry.file}: the file was changed or belongs to another patch")
    try:
        arrays: dict[str, npt.NDArray[Any]] = from_bytes(content)
    except SafetensorError as error:
        raise ValueError(f"{arrays_path} is not a safetensors file: {error}") from None
    return arrays
