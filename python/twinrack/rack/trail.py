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

from ..checks import brief
from ..system import disk
from ..version import __version__
from .card import Value
from .rack import Rack

KINDS = ("made", "fitted", "edited", "validated", "reviewed", "rendered", "exported")
MOST_CHANGES = 64  # that an entry lists
BY_HAND = "hand: the file was changed outside twinrack"
KEY = "trail"  # in the provenance


def digest(data: Any) -> str:
    """SHA-256 of JSON data, whatever the order of its names."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
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


def trail_of(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries in a patch's JSON object, oldest first; none where it has no trail."""
    provenance = data.get("provenance")
    entries = provenance.get(KEY) if isinstance(provenance, Mapping) else None
    return [dict(e) for e in entries] if isinstance(entries, list) and all(isinstance(e, dict) for e in entries) else []


def entry_hash(entry: Mapping[str, Any]) -> str:
    """The hash that an entry must have."""
    return digest({k: v for k, v in entry.items() if k not in ("hash", "signatures")})


def added(
    entries: Sequence[Mapping[str, Any]],
    what: str,
    by: str,
    content: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The trail with one more entry.

    Args:
        what: one of KINDS.
        by: who or what did it.
        content: see `content_of`.
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
        "cards": cards_in(content.get("rack")),
        "details": dict(details or {}),
        "content": digest(content),
        "before": entries[-1]["hash"] if entries else None,
    }
    return [*map(dict, entries), {**entry, "hash": entry_hash(entry)}]


def cards_in(rack: Any) -> dict[str, str]:
    """The versions of all cards in a patch's rack."""
    if isinstance(rack, Mapping):
        if "effect" in rack:
            return {str(rack["effect"]): str(rack.get("version"))}
        rack = rack.get("chain") or rack.get("parallel") or []
    return dict(sorted(item for child in rack or [] for item in cards_in(child).items())) if isinstance(rack, list) else {}


def brought_up(rack: Rack, data: Mapping[str, Any], by: str) -> list[dict[str, Any]]:
    """The trail of a rack that is about to be saved as `data`: with an entry for what is new in it.

    Args:
        rack: its `saved_values` are those of the last entry.
        data: the patch, plain JSON.
        by: what changed it.
    """
    entries, content = trail_of(data), content_of(data)
    if entries and entries[-1].get("content") == digest(content):
        return entries
    provenance = content.get("provenance") or {}
    fit = _fit_details(provenance)
    if fit and not any(e.get("details", {}).get("fit") == fit["fit"] for e in entries):
        return added(entries, "fitted", by, content, fit)
    if not entries:
        return added(entries, "made", by, content)
    return added(entries, "edited", by, content, _changes(rack.saved_values, rack.values()))


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


def _changes(before: Mapping[str, Value] | None, after: Mapping[str, Value]) -> dict[str, Any]:
    """The values that differ; empty where it is not known what they were."""
    if before is None:
        return {}
    moved = {a: [before.get(a), v] for a, v in after.items() if before.get(a) != v}
    moved |= {a: [v, None] for a, v in before.items() if a not in after}
    listed = dict(list(moved.items())[:MOST_CHANGES])
    return {"values": listed, **({"more": len(moved) - len(listed)} if len(moved) > len(listed) else {})}


def after_loading(data: Mapping[str, Any], provenance: dict[str, Any]) -> dict[str, Any]:
    """The provenance of a loaded patch: where the file was changed outside twinrack, with an entry that says so."""
    entries = trail_of(data)
    if not entries or entries[-1].get("content") == digest(content_of(data)):
        return provenance
    return {**provenance, KEY: added(entries, "edited", BY_HAND, content_of(data))}


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
        return Verified((*faults, "the patch has no trail"), ())
    faults += _faults_of_links(entries)
    if entries[-1].get("content") != digest(content_of(data)):
        faults.append("what the patch says was changed after the last entry of its trail")
    faults += _faults_of_arrays(path, data)
    return Verified(tuple(faults), tuple(entries))


def _faults_of_links(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    faults, before = [], None
    for number, entry in enumerate(entries, start=1):
        if entry.get("number") != number:
            faults.append(f"entry {number} has the number {brief(entry.get('number'))}: entries were removed or moved")
        if entry.get("hash") != entry_hash(entry):
            faults.append(f"entry {number} ({brief(entry.get('what'))}) was changed")
        if entry.get("before") != before:
            faults.append(f"entry {number} does not follow entry {number - 1}: one of them was changed, removed or moved")
        before = entry.get("hash")
    return faults


def _faults_of_arrays(path: Path, data: Mapping[str, Any]) -> list[str]:
    arrays = data.get("arrays")
    if not arrays:
        return []
    try:
        content = (path.parent / Path(str(arrays["file"])).name).read_bytes()
    except (OSError, KeyError, TypeError, ValueError):
        return ["its arrays are missing: copy the .safetensors file beside the patch"]
    wanted = arrays.get("sha256") if isinstance(arrays, Mapping) else None
    return [] if hashlib.sha256(content).hexdigest() == wanted else ["its arrays were changed"]


def describe(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line or more for each entry, as a person reads it."""
    lines = []
    for e in entries:
        signatures = [s for s in e.get("signatures") or [] if isinstance(s, Mapping)]
        signed = ", ".join(f"signed by {s.get('name')}" for s in signatures) or "unsigned"
        lines.append(f"{e.get('number')}. {e.get('what')} {e.get('date')} by {e.get('by')} ({signed})")
        details = e.get("details") or {}
        if details.get("recordings"):
            lines += [f"     from {r.get('name')}" for r in details["recordings"]]
        for name, d in (details.get("held_out") or {}).items():
            lines.append(f"     held out, {name}: {d.get('error_db')} dB")
        lines += [f"     {a}: {old} -> {new}" for a, (old, new) in (details.get("values") or {}).items()]
        if details.get("more"):
            lines.append(f"     and {details['more']} more values")
        if details.get("note"):
            lines.append(f"     {details['note']}")
        lines.append(f"     {e.get('software')}; hash {str(e.get('hash'))[:16]}…")
    return lines
