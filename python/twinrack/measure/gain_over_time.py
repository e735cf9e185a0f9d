"""Gain over time in dB: what defines a compressor, gate or limiter, of a model against its target.

Waveforms hardly tell dynamics processors apart, as most of a recording is the dry sound in both (Evaluating Dynamic Range
Compressor Models Using Control-Voltage Measurements: an Approach and Dataset, arXiv 2606.18573, 2026). The gain is taken from
the sounds alone, as the level out less the level in, so it is known of a processor that shows no meter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..rack.rack import Rack
from .window_levels import window_levels_db

WINDOW_S = 0.010
AUDIBLE_DB = -60.0

Numbers = npt.NDArray[np.float64]


def gain_trajectory(dry: Audio, wet: Audio, sample_rate: float, window_s: float = WINDOW_S) -> tuple[Numbers, Numbers]:
    """The gain from dry to wet in dB over time.

    Args:
        dry, wet: (channels, frames) of the same length, aligned.
        sample_rate: Hz.
        window_s: that a level is measured in.

    Returns:
        The middle of each window in seconds, and the level of wet over that of dry; NaN where dry is below -60 dBFS.
    """
    size = max(1, round(window_s * sample_rate))
    before = window_levels_db(dry, size)
    gain = np.where(before > AUDIBLE_DB, window_levels_db(wet, size) - before, np.nan)
    times = (np.arange(before.size, dtype=np.float64) + 0.5) * size / sample_rate
    return times, gain


def trajectory_error_db(pieces: Sequence[tuple[Audio, Audio, Audio]], sample_rate: float) -> float:
    """Root mean square difference in dB between two gains, over pieces of (dry, result, target); NaN where dry is silent."""
    gaps = []
    for dry, result, target in pieces:
        ours, theirs = (gain_trajectory(dry, x, sample_rate)[1] for x in (result, target))
        gap = ours - theirs
        gaps.append(gap[np.isfinite(gap)])
    together = np.concatenate(gaps) if gaps else np.zeros(0)
    return float(np.sqrt(np.mean(together**2))) if together.size else float("nan")


def moves_gain(rack: Rack) -> bool:
    """Whether an effect whose gain follows the sound is in the rack, such as a compressor."""
    return any(e.card.category == "dynamics" for e in rack.addresses().values())
