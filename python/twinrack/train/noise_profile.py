"""The level of a noise in the bands of a denoiser."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..audio import check_rate
from ..checks import count_nan, nan_in
from ..rack.effects import NoiseBand

LEAST_S = 0.1


def noise_profile(noise: npt.ArrayLike, sample_rate: float) -> list[NoiseBand]:
    """Measure a recording of noise alone, for a denoiser that is to take away this noise:
    `tr.Denoiser(noise="profile", bands=tr.noise_profile(room, 48000))`.

    Args:
        noise: (channels, frames) or (frames,), at least 0.1 s; its first 20 ms are left out, in which the filters begin.
        sample_rate: Hz.

    Returns:
        The 24 bands, whose `noise_db` is the mean power in each over all channels.

    Raises:
        ValueError: too short, of another shape, or NaN or infinity in it.
    """
    import torch

    from ..twins.auditory_bands import COUNT, band_powers
    from ..twins.values import Context

    rate = check_rate(sample_rate)
    x = np.atleast_2d(np.asarray(noise, np.float32))
    if x.ndim != 2:
        raise ValueError(f"the noise has shape {x.shape}; give (channels, frames)")
    if x.shape[1] < LEAST_S * rate:
        raise ValueError(f"the noise is shorter than {LEAST_S:g} s; record more of it")
    if not np.isfinite(x).all():
        raise ValueError(f"the noise has {nan_in(count_nan(x), 'sample')}; record it again")
    power = band_powers(torch.from_numpy(np.ascontiguousarray(x))[None], Context(rate, x.shape[0], x.shape[1]))[0]
    first = round(0.02 * rate / 32)
    level = 10.0 * np.log10(np.maximum(power[:, first:-1].mean(1).numpy(), 1e-12))
    return [NoiseBand(float(np.clip(db, -120.0, 0.0))) for db in [*level, *[-120.0] * (COUNT - len(level))]]
