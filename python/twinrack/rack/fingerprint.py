"""A hash of a rack: its structure, values and resources."""

from __future__ import annotations

import hashlib

import numpy as np

from .external_effect import ExternalEffect
from .rack import Rack
from .tree import shape_of


def fingerprint(rack: Rack) -> str:
    """SHA-256 of structure, values, and what its effects are given."""
    arrays = [r.to_patch() for effect in rack.addresses().values() for r in effect.resources.values()]
    parts = [repr(shape_of(rack.root)), repr(rack.values()), *(f"{entry}" for entry, _ in arrays)]
    parts += [effect.identity() for effect in rack.addresses().values() if isinstance(effect, ExternalEffect)]
    digest = hashlib.sha256("\n".join(parts).encode())
    for _, array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
