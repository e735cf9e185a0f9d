"""The trail of a patch: what happened to it, each entry with the hash of the one before, so that no change goes unseen.

An entry says what was done, when, by what, with which versions of code and cards, and holds the SHA-256 of all else that the
file says (`content`), of the entry before (`before`), and of itself (`hash`). `save` adds an entry where anything differs from
the last one. Entries can be signed (see `review.signing`); a signature stands beside the entry's hash and is no part of it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import brief, visible
from ..system import disk
from ..system.names import beside
from ..version import __version__
from .describe import order_text
from .rack import Rack

KINDS = ("made", "fitted", "edited", "validated", "listened", "reviewed", "rendered", "exported")
MOST_CHANGES = 64  # that an entry lists
BY_HAND = "hand: the file was changed outside twinrack"
KEY = "trail"  # in the provenance


def digest(data: Any) -> str:
    """SHA-256 of JSON data, its names in the order in which they stand."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def content_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """All that a patch says but its trail, and the name of its arrays' file, whose hash is in it."""
    content = dict(data)
    if isinstance(content.get("provenance"), dict):
        content["provenance"] = {k: v for k, v in content["provenance"].items() if k != KEY}
    if not content.get("provenance"):
        content.pop("provenance", None)
    if isinstance(content.get("arrays"), dict):
        content["arrays"] = {k: v for k, v in content["arrays"].items() if k != "file"}
    return content


TEXTS = ("what", "by", "date", "software", "hash")  # fields of an entry


def trail_of(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries in a patch's JSON object, oldest first; none where it has no trail, or none that can be read."""
    entries = _given(data)
    return [dict(e) for e in entries] if is_well_formed(entries) else []


def _given(data: Mapping[str, Any]) -> Any:
    provenance = data.get("provenance")
    return provenance.get(KEY) if isinstance(provenance, Mapping) else None


def is_well_formed(entries: Any) -> bool:
    """Whether something has the form of a trail."""
    return isinstance(entries, list) and all(
        isinstance(e, dict)
        and all(isinstance(e.get(name), str) for name in TEXTS)
        and isinstance(e.get("details"), dict)
        and all(isinstance(e.get(name), str | None) for name in ("content", "before"))
        and isinstance(e.get("signatures", []), list)
        and all(isinstance(s, dict) and all(isinstance(v, str) for v in s.values()) for s in e.get("signatures", []))
        for e in entries
    )


def entry_hash(entry: Mapping[str, Any]) -> str:
    """The hash that an entry must have."""
    return digest({k: v for k, v in entry.items() if k not in ("hash", "signatures")})


def added(
    entries: Sequence[Mapping[str, Any]],
    what: str,
    by: str,
    content: Mapping[str, Any] | None,
    details: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The trail with one more entry.

    Args:
        what: one of KINDS.
        by: who or what did it.
        content: see `content_of`; None where the patch was not written in this state.
        details: anything that JSON holds.
    """
    if what not in KINDS:
        raise ValueError(f"{brief(what)} is not a kind of entry; there are {', '.join(KINDS)}")
    entry: dict[str, Any] = {
        "number": len(entries) + 1,
        "what": what,
        "by": by,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": f"twinrack {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}",
        "cards": cards_in((content or {}).get("rack")),
        "details": json.loads(disk.json_bytes(dict(details or {}), Path("the trail"), "entry")),
        "content": None if content is None else digest(content),
        "before": entries[-1]["hash"] if entries else None,
    }
    if entries and entries[-1].get("signatures"):
        entry["signatures_before"] = digest(entries[-1]["signatures"])  # so that they cannot be taken away later
    return [*map(dict, entries), {**entry, "hash": entry_hash(entry)}]


def cards_in(rack: Any) -> dict[str, str]:
    """The versions of all cards in a patch's rack."""
    if isinstance(rack, Mapping):
        if "effect" in rack:
            return {str(rack["effect"]): str(rack.get("version"))}
        rack = list(rack.values())  # of a Chain, Parallel, Bands or MidSide
    return dict(sorted(item for child in rack for item in cards_in(child).items())) if isinstance(rack, list) else {}


def brought_up(rack: Rack, data: Mapping[str, Any], by: str) -> list[dict[str, Any]]:
    """The trail of a rack that is about to be saved as `data`: with an entry for what is new in it.

    Args:
        rack: its `saved_state` is that of the last entry, or of its fit.
        data: the patch, plain JSON.
        by: what changed it.
    """
    entries, content = trail_of(data), content_of(data)
    if entries and entries[-1].get("content") == digest(content):
        return entries
    if not entries and _given(data):
        return added([], "edited", BY_HAND, content, {"note": "the trail that stood here could not be read"})
    fit = _fit_details(content.get("provenance") or {})
    if fit and not any(e["details"].get("fit") == fit["fit"] for e in entries):
        since = _changes(rack)
        entries = added(entries, "fitted", by, None if since else content, fit)
        return added(entries, "edited", by, content, since) if since else entries
    if not entries:
        return added(entries, "made", by, content)
    return added(entries, "edited", by, content, _changes(rack))


def state_of(rack: Rack) -> dict[str, Any]:
    """All that an entry lists changes of: values, bypass, sidechains, resources (by hash) and the order of the effects."""
    effects = rack.addresses()
    state: dict[str, Any] = {"order": order_text(rack.root, {id(e): a for a, e in effects.items()})}
    for address, effect in effects.items():
        state[f"{address}.bypass"], state[f"{address}.key"] = effect.bypass, effect.key
        for name, resource in effect.resources.items():
            state[f"{address}.{name}"] = hashlib.sha256(np.ascontiguousarray(resource.to_patch()[1]).tobytes()).hexdigest()[:16]
    return state | rack.values()


def _fit_details(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of the fit that a provenance tells of: data, settings, result; empty where there was none."""
    if not provenance.get("held_out"):
        return {}
    identity = {name: provenance.get(name) for name in ("made_by", "date", "recordings", "settings", "held_out")}
    return {
        "fit": digest(identity),
        "made_by": provenance.get("made_by"),
        "date": provenance.get("date"),
        "recordings": [
            {name: r.get(name) for name in ("name", "dry_sha256", "wet_sha256")}
            for r in provenance.get("recordings") or []
            if isinstance(r, Mapping)
        ],
        "settings_sha256": digest(provenance.get("settings")),
        "held_out": provenance.get("held_out"),
    }


def _changes(rack: Rack) -> dict[str, Any]:
    """The values that differ since the last entry; empty where none does, or where it is not known what they were."""
    before, after = rack.saved_state, state_of(rack)
    if before is None:
        return {}
    moved = {a: [before.get(a), v] for a, v in after.items() if before.get(a) != v}
    moved |= {a: [v, None] for a, v in before.items() if a not in after}
    if not moved:
        return {}
    listed = dict(list(moved.items())[:MOST_CHANGES])
    return {"values": listed, **({"more": len(moved) - len(listed)} if len(moved) > len(listed) else {})}


def after_loading(data: Mapping[str, Any], provenance: dict[str, Any]) -> dict[str, Any]:
    """The provenance of a loaded patch: where the file was changed outside twinrack, with an entry that says so."""
    entries, content = trail_of(data), content_of(data)
    if not entries or entries[-1].get("content") == digest(content):
        return provenance
    return {**provenance, KEY: added(entries, "edited", BY_HAND, content)}


@dataclass(frozen=True)
class Verified:
    """Result of a verification: faults, which are changes behind the trail's back; and the entries."""

    faults: tuple[str, ...]
    entries: tuple[dict[str, Any], ...]

    @property
    def holds(self) -> bool:
        return not self.faults


def verify(path: Path) -> Verified:
    """Check a patch against its trail: every byte of the file, every link, the arrays beside it. Signatures are checked by
    `review.signing`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    raw = path.read_bytes()
    try:
        data = json.loads(raw.decode("utf-8"))
        written = disk.json_bytes(data, path, "patch")
    except (ValueError, RecursionError) as error:
        return Verified((f"the file is not valid JSON: {error}",), ())
    if not isinstance(data, dict):
        return Verified(("the file does not hold a patch",), ())
    faults = []
    if written != raw:
        place = next((i for i, (a, b) in enumerate(zip(raw, written, strict=False)) if a != b), min(len(raw), len(written)))
        faults.append(f"byte {place} is not as twinrack writes it")
    entries = trail_of(data)
    if not entries:
        return Verified((*faults, "its trail cannot be read" if _given(data) else "the patch has no trail"), ())
    faults += _faults_of_links(entries)
    if entries[-1].get("content") != digest(content_of(data)):
        faults.append("what the patch says was changed after the last entry of its trail")
    faults += _faults_of_arrays(path, data)
    return Verified(tuple(faults), tuple(entries))


def _faults_of_links(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    faults: list[str] = []
    before, signatures = None, None
    for number, entry in enumerate(entries, start=1):
        if entry.get("number") != number:
            faults.append(f"entry {number} has the number {brief(entry.get('number'))}: entries were removed or moved")
        if entry.get("hash") != entry_hash(entry):
            faults.append(f"entry {number} ({brief(entry.get('what'))}) was changed")
        if entry.get("before") != before:
            faults.append(f"entry {number} does not follow entry {number - 1}: one of them was changed, removed or moved")
        if entry.get("signatures_before") != signatures:
            faults.append(f"signatures of entry {number - 1} were changed or taken away")
        before = entry.get("hash")
        signatures = digest(entry["signatures"]) if entry.get("signatures") else None
    return faults


def _faults_of_arrays(path: Path, data: Mapping[str, Any]) -> list[str]:
    arrays = data.get("arrays")
    if not arrays:
        return []
    name = arrays.get("file") if isinstance(arrays, Mapping) else None
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        return [f"its arrays are in {brief(name)}, which is not the name of a .safetensors file beside it"]
    try:
        content = beside(path, name).read_bytes()
    except OSError:
        return ["its arrays are missing: copy the .safetensors file beside the patch"]
    return [] if hashlib.sha256(content).hexdigest() == arrays.get("sha256") else ["its arrays were changed"]


def describe(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line or more for each entry, as a person reads it; signatures are not checked here, and are said to be claims."""
    lines = []
    for e in entries:
        names = [_plain(s.get("name")) for s in e.get("signatures") or []]
        signed = f"claims the signature of {', '.join(names)}" if names else "unsigned"
        lines.append(f"{_plain(e.get('number'))}. {_plain(e['what'])} {_plain(e['date'])} by {_plain(e['by'])} ({signed})")
        details = e["details"]
        recordings = details.get("recordings")
        lines += [f"     from {_plain(r.get('name'))}" for r in recordings or [] if isinstance(r, Mapping)]
        held_out = details.get("held_out")
        for name, d in held_out.items() if isinstance(held_out, Mapping) else ():
            if isinstance(d, Mapping):
                lines.append(f"     held out, {_plain(name)}: {_plain(d.get('error_db'))} dB")
        values = details.get("values")
        for address, pair in values.items() if isinstance(values, Mapping) else ():
            if isinstance(pair, list) and len(pair) == 2:
                lines.append(f"     {_plain(address)}: {_plain(pair[0])} -> {_plain(pair[1])}")
        if details.get("more"):
            lines.append(f"     and {_plain(details['more'])} more values")
        files = details.get("files")
        for name, hash_ in files.items() if isinstance(files, Mapping) else ():
            lines.append(f"     {_plain(name)}, SHA-256 {_plain(hash_)[:16]}…")
        if isinstance(details.get("claims_failed"), list):
            lines.append(f"     {_plain(details.get('claims'))} claims, failed: {_listed(details['claims_failed'])}")
        failures = details.get("first_failures")
        for f in failures if isinstance(failures, list) else ():
            if isinstance(f, Mapping):
                figure = " ".join(_plain(f.get(name)) for name in ("measure", "value", "unit"))
                lines.append(
                    f"     fails at {_plain(f.get('rung'))}: {figure}, by {_plain(f.get('block') or 'no block alone')}"
                )
        if details.get("note"):
            lines.append(f"     {_plain(details['note'])}")
        lines.append(f"     {_plain(e['software'])}; hash {_plain(e['hash'])[:16]}…")
    return lines


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(_plain, values)) or "none"


def _plain(value: Any) -> str:
    """On one line, whatever is in it."""
    return visible(str(value), lines=False)
