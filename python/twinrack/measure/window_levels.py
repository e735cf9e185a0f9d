"""The level of a sound over time: the mean power of consecutive windows, over all channels, in dB."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def window_levels_db(x: npt.NDArray[np.floating], size: int, floor: float = 1e-12) -> npt.NDArray[np.float64]:
    """The level of each whole window in dBFS (mean square); a rest at the end is left out.

    Args:
        x: (channels, frames).
        size: frames of a window.
        floor: power that is added, so that silence has a level.
    """
    count = x.shape[1] // size
    power = (x[:, : count * size].astype(np.float64) ** 2).reshape(x.shape[0], count, size).mean((0, 2))
    return np.asarray(10.0 * np.log10(power + floor))
