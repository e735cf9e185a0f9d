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
    "envelope": "dB", **{m.name: m.unit for m in MEASURES}, "ViSQOL": "MOS below 5",
}  # fmt: skip
VISQOL_RATE = 48000


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
    return {name: round(value, 6) for name, value in (values | _visqol(y, reference, rate)).items()}


def _visqol(y: Audio, reference: Audio, rate: float) -> dict[str, float]:
    """The opinion score that ViSQOL predicts (M. Chinen et al., QoMEX 2020), below 5; nothing without its package."""
    try:
        from visqol import VisqolApi
    except ImportError:
        return {}
    import soxr

    mono = [x.mean(0) if rate == VISQOL_RATE else soxr.resample(x.mean(0), rate, VISQOL_RATE) for x in (reference, y)]
    api = VisqolApi()
    api.create(mode="audio")
    model, degraded = (m.astype(np.float64) for m in mono)
    result = api.measure_from_arrays(model, degraded, sample_rate=VISQOL_RATE)
    return {"ViSQOL": 5.0 - float(result.moslqo)}
