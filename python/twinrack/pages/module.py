"""The engine's WebAssembly module, as pages carry it."""

from __future__ import annotations

import base64
import gzip
from functools import cache
from pathlib import Path

from .. import _engine

MODULE = "twinrack_web.wasm"


def has_module() -> bool:
    """Whether this installation can put the engine into pages."""
    return Path(_engine.__file__).with_name(MODULE).is_file()


@cache
def packed_module() -> str:
    """The module, compressed by gzip, in base64.

    Raises:
        FileNotFoundError: this installation has none.
    """
    path = Path(_engine.__file__).with_name(MODULE)
    if not path.is_file():
        raise FileNotFoundError(f"{MODULE} is not part of this installation; in the clone of twinrack: make web")
    return packed(path.read_bytes())


def packed(data: bytes) -> str:
    """Bytes as pages carry them: compressed by gzip, in base64; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()
