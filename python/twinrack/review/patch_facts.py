"""The facts of a patch that documents are made from: what the patch and its trail say, and what people wrote beside them."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..rack.effect import Effect
from ..rack.patch import load, read_json
from ..rack.rack import Rack
from ..rack.trail import trail_of, verify

WRITTEN = {  # what only people can say, by its key in the file of facts
    "provider": "who provides the rack, with an address",
    "version": "version of the rack",
    "licence": "under which licence it may be used",
    "purpose": "what it is for",
    "users": "who uses it",
    "not_for": "what it must not be used for",
    "instructions": "instructions for those who use it",
    "interface": "how people meet it: live, offline, in a workstation",
    "hardware": "on what it is meant to run",
    "forms": "in which forms it is given to others",
    "data_origin": "where the recordings come from, and who agreed to their use",
    "oversight": "who watches over it, and how it is switched off or overruled",
    "risks": "foreseeable risks, and what is done about them",
    "security": "how it is kept from being tampered with",
    "changes": "changes that are planned, and what happens then",
    "monitoring": "how its work is followed once it is in use",
    "standards": "standards that were applied",
    "declaration": "the declaration of conformity, where there is one",
}


@dataclass(frozen=True, eq=False)
class PatchFacts:
    """All that is known of a patch.

    Attributes:
        path: of the patch; `sha256` of its bytes.
        rack: loaded.
        provenance: of the patch, without the trail; of a fit its recordings, settings and distances.
        trail: entries, oldest first; `faults` are changes behind its back.
        written: by the keys of WRITTEN, what people say; keys that are missing are not known.
    """

    path: Path
    sha256: str
    rack: Rack
    provenance: Mapping[str, Any]
    trail: tuple[Mapping[str, Any], ...]
    faults: tuple[str, ...]
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def effects(self) -> dict[str, Effect]:
        return self.rack.addresses()

    @property
    def networks(self) -> list[tuple[str, str, int]]:
        """Networks: address, description and number of weights."""
        return [
            (f"{address}.{name}", repr(resource), int(resource.weights.size))
            for address, effect in self.effects.items()
            for name, resource in effect.resources.items()
            if hasattr(resource, "weights")
        ]

    @property
    def is_fitted(self) -> bool:
        return bool(self.provenance.get("held_out"))

    @property
    def recordings(self) -> list[Mapping[str, Any]]:
        """The recordings of the fit: name, seconds, hashes."""
        return [r for r in self.provenance.get("recordings") or [] if isinstance(r, Mapping)]

    def entries(self, what: str) -> list[Mapping[str, Any]]:
        """The entries of the trail of one kind."""
        return [e for e in self.trail if e.get("what") == what]

    @property
    def validation(self) -> Mapping[str, Any] | None:
        """The figures of the last validation; None where there was none since the patch last changed."""
        last = None
        for entry in self.trail:
            if entry.get("what") in ("made", "fitted", "edited"):
                last = None
            elif entry.get("what") == "validated" and isinstance(entry["details"].get("claims"), int):
                last = entry["details"]
        return last


def patch_facts(path: Path, written: Path | None = None) -> PatchFacts:
    """The facts of a patch.

    Args:
        path: of the patch.
        written: TOML file with the keys of WRITTEN and texts.

    Raises:
        FileNotFoundError, ValueError: one sentence.
    """
    rack = load(path)
    data = read_json(path)
    provenance = {k: v for k, v in (rack.provenance or {}).items() if k != "trail"}
    texts = {} if written is None else _read(written)
    return PatchFacts(
        path, hashlib.sha256(path.read_bytes()).hexdigest(), rack, provenance, tuple(trail_of(data)), verify(path).faults, texts
    )


def _read(path: Path) -> dict[str, str]:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    for key, text in given.items():
        if key not in WRITTEN:
            raise ValueError(f"{path} has the key {key!r}; there are {', '.join(WRITTEN)}")
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f'{path}: {key} must be a text; write: {key} = "…"')
    return {key: text.strip() for key, text in given.items()}
