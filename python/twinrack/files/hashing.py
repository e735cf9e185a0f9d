"""SHA-256 of audio and of files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ..system.disk import shown


def hash_audio(x: np.ndarray[Any, Any]) -> str:
    """SHA-256 of audio as (channels, frames) float32 samples: the same for a file and the array read from it."""
    return hashlib.sha256(np.ascontiguousarray(x, dtype="<f4").tobytes()).hexdigest()


_digests: dict[tuple[str, int, int], str] = {}


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes; remembered while its size and time stay.

    Raises:
        FileNotFoundError: it is not there.
    """
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {shown(path)}") from None
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    if key not in _digests:
        with path.open("rb") as file:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]
