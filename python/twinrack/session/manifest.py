"""Manifests of renderings: hashes of recordings, channels and results, versions and settings, written beside the mix."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files.hashing import digest
from ..system.disk import atomic, json_bytes, path_of, read_json
from ..system.names import below, writable
from .fingerprint import Fingerprints, engine_identity
from .session import Session

FORMAT, VERSION = "twinrack.manifest", 1


def write_manifest(
    path: Path, session: Session, hashes: Fingerprints, more: Mapping[str, Any], files: Iterable[Path], stems: Iterable[Path]
) -> Path:
    """Write a manifest.

    Args:
        hashes: of the session's channels, as they were rendered.
        more: further entries: date, settings, result, notes.
        files, stems: what was written.
    """
    session_entry = {
        "name": session.name, "file": None if session.path is None else session.path.name,
        "sha256": digest(session.path) if session.path is not None and session.path.exists() else None,
        "sample_rate": session.sample_rate,
    }  # fmt: skip
    data = {
        "format": FORMAT, "version": VERSION, "engine": engine_identity(), "session": session_entry,
        "recordings": recordings_of(session),
        "channels": {n: {"before_fader": hashes.before[n], "after_fader": key} for n, key in hashes.after.items()},
        "files": {_beside(p, path): digest(p) for p in files},
        "stems": {_beside(p, path): digest(p) for p in stems},
        **more,
    }  # fmt: skip
    with atomic(path) as beside:
        beside.write_bytes(json_bytes(data, path, "manifest"))
    return path


def _beside(path: Path, manifest: Path) -> str:
    """How a file is called from a manifest's folder."""
    return Path(os.path.relpath(path.resolve(), manifest.parent.resolve())).as_posix()


def recordings_of(session: Session) -> dict[str, str]:
    """Hashes of a session's recordings, by name; by whole path where they lie elsewhere and names are the same."""
    base = None if session.path is None else session.path.parent.resolve()
    recordings: dict[str, str] = {}
    for path in dict.fromkeys(c.path.resolve() for channel in session for c in channel.clips if c.path is not None):
        inside = base is not None and path.is_relative_to(base)
        name = path.relative_to(base).as_posix() if inside and base is not None else path.name
        recordings[path.as_posix() if name in recordings else name] = digest(path)
    return recordings


def finite(value: float) -> float | None:
    """A number as JSON may hold it."""
    return value if math.isfinite(value) else None


def verify(path: str | os.PathLike[str], session: Session | None = None) -> list[str]:
    """Compare a manifest with the present files.

    Args:
        path: of the manifest.
        session: also compare the recordings and channels.

    Returns:
        What differs, a sentence each; nothing when all is as it was.

    Raises:
        FileNotFoundError, ValueError: the manifest is missing or broken.
    """
    path = path_of(path)
    data = read_json(path, "manifest")
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
        raise ValueError(f"{path} is not a manifest of this twinrack")
    parts = {"files": str, "stems": str, "recordings": str, "channels": dict}
    for part, kind in parts.items():
        entries = data.get(part)
        if not isinstance(entries, dict) or not all(isinstance(v, kind) for v in entries.values()):
            raise ValueError(f"{path}: {part} is missing or broken")
    differences = []
    for name, expected in {**data["files"], **data["stems"]}.items():
        file = below(path.parent, name)
        if not file.is_file():
            differences.append(f"{name} is not there")
        elif digest(file) != expected:
            differences.append(f"{name} was changed")
    if session is not None:
        hashes = Fingerprints(session)
        differences += _differences(
            "recording", data["recordings"], {writable(n): h for n, h in recordings_of(session).items()}
        )
        channels = {name: str(entry.get("after_fader")) for name, entry in data["channels"].items()}
        differences += _differences("channel", channels, hashes.after)
    return differences


def _differences(what: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names: Sequence[str] = [*before, *(n for n in after if n not in before)]
    words = {(True, False): "is gone", (False, True): "is new", (True, True): "was changed"}
    return [f"{what} {n} {words[n in before, n in after]}" for n in names if before.get(n) != after.get(n)]
