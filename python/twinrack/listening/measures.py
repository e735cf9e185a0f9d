"""The project's measures of each sound of a test against its reference, to be compared with what people say."""

from __future__ import annotations

import numpy as np

from ..audio import Audio
from ..measure.distances import distances
from ..measure.drift import figures
from ..train.losses import Mel
from ..validation.measures import MEASURES
from .stimuli import REFERENCE, Prepared

# The smaller, the nearer, in all of them.
UNITS = {
    "error": "dB", "STFT": "", "level in 100 ms": "dB", "mel": "dB / 20", "third octaves": "dB", "out of phase": "",
    "envelope": "dB", **{m.name: m.unit for m in MEASURES},
}  # fmt: skip


def measures_of(item: Prepared, rate: float) -> dict[str, dict[str, float]]:
    """Every measure of every condition against the reference; nothing where there is none."""
    if REFERENCE not in item.given:
        return {}
    reference = _played(item, REFERENCE)
    return {name: _of(_played(item, name), reference, rate) for name in item.given if name != REFERENCE}


def _played(item: Prepared, name: str) -> Audio:
    return np.asarray(item.given[name] * np.float32(10 ** (item.gained_db[name] / 20)), np.float32)


def _of(y: Audio, reference: Audio, rate: float) -> dict[str, float]:
    import torch

    d = distances([(y, reference)], rate)
    f = figures([(y, reference)], rate)
    with torch.no_grad():
        mel = float(Mel()(torch.from_numpy(y)[None], torch.from_numpy(reference)[None], rate))
    values = {
        "error": d.error_db, "STFT": d.stft, "level in 100 ms": d.level_db, "mel": mel, "third octaves": f["spectrum"],
        "out of phase": 1.0 - f["phase"], "envelope": f["envelope"],
        **{m.name: m.of(y, reference, rate) for m in MEASURES},
    }  # fmt: skip
    return {name: round(value, 6) for name, value in values.items()}
