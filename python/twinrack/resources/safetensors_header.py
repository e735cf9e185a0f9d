"""The header of a safetensors file, checked before any array is read: it must fit the file, and what racks can use."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .. import _engine
from ..audio import MAX_RATE
from ..checks import brief, is_integer
from ..system.disk import cannot_read, special_kind
from .network import MOST_WEIGHTS
from .response import LONGEST_S

LARGEST_HEADER = 16 << 20  # bytes
LARGEST_ARRAY = int(8 * max(MOST_WEIGHTS, LONGEST_S * MAX_RATE * _engine.MAX_CHANNELS))  # bytes that an effect can use
LARGEST_REST = 64 << 20  # bytes of what no effect uses, such as the history of a fit
LARGEST_ARRAYS = 2 << 30  # bytes of all
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip


def check_header(path: Path, used: Collection[str]) -> None:
    """Refuse a safetensors file whose header does not fit it, or that holds more than a rack can use.

    Args:
        used: names of the arrays that effects are given.

    Raises:
        FileNotFoundError, PermissionError, ValueError: one sentence with the path.
    """
    try:
        size = path.stat().st_size
        if kind := special_kind(path):
            raise ValueError(f"{path} is {kind}; give a regular safetensors file")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, LARGEST_HEADER):
                raise ValueError(f"{path} is not a safetensors file: its header does not fit its size of {size} bytes")
            head = file.read(length)
    except OSError as error:
        raise cannot_read(path, "safetensors file", error) from None
    try:
        entries: Any = json.loads(head.decode("utf-8"))
        entries.pop("__metadata__", None)
        sizes = {name: _size(entry) for name, entry in entries.items()}
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        raise ValueError(f"{path} is not a safetensors file: its header cannot be understood") from None
    if sum(sizes.values()) != size - 8 - length:
        raise ValueError(
            f"{path} holds {size - 8 - length} bytes of arrays where its header tells of {brief(sum(sizes.values()))}; "
            "copy it again"
        )
    for name, count in sizes.items():
        if name in used and count > LARGEST_ARRAY:
            raise ValueError(f"{path}: array {brief(name)} has {count >> 20} MB; effects use at most {LARGEST_ARRAY >> 20} MB")
    rest = sum(count for name, count in sizes.items() if name not in used)
    if rest > LARGEST_REST:
        raise ValueError(f"{path} holds {rest >> 20} MB that no effect uses; at most {LARGEST_REST >> 20} MB are read")


def _size(entry: dict[str, Any]) -> int:
    """Bytes of an array by its form, which must be what its place has."""
    first, end = entry["data_offsets"]
    if not all(is_integer(n) and n >= 0 for n in [*entry["shape"], first, end]):
        raise ValueError
    count: int = math.prod(entry["shape"]) * _BYTES[entry["dtype"]]
    if end - first != count:
        raise ValueError
    return count
