"""Scales of hearing, as they are published; frequencies in Hz, numbers or tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def _tensor(hz: Tensor | float) -> Tensor:
    return hz if isinstance(hz, Tensor) else torch.tensor(float(hz), dtype=torch.float64)


def bark(hz: Tensor | float) -> Tensor:
    """Critical-band rate in Bark (H. Traunmüller, Analytical expressions for the tonotopic sensory scale, JASA 88, 1990).

    Within 0.05 Bark of Zwicker's table from 0.2 to 6.7 kHz, with his corrections below 2 and above 20.1 Bark.
    """
    f = _tensor(hz)
    z = 26.81 * f / (1960.0 + f) - 0.53
    low, high = z + 0.15 * (2.0 - z), z + 0.22 * (z - 20.1)
    return torch.where(z < 2.0, low, torch.where(z > 20.1, high, z))


def critical_bandwidth_hz(hz: Tensor | float) -> Tensor:
    """Width of the critical band about a frequency (E. Zwicker, E. Terhardt, JASA 68, 1980): 25 + 75 (1 + 1.4 f²)^0.69, f in
    kHz."""
    return 25.0 + 75.0 * (1.0 + 1.4 * (_tensor(hz) / 1000.0) ** 2) ** 0.69


def erb_hz(hz: Tensor | float) -> Tensor:
    """Equivalent rectangular bandwidth of an auditory filter (B. R. Glasberg, B. C. J. Moore, Hearing Research 47, 1990)."""
    return 24.7 * (4.37 * _tensor(hz) / 1000.0 + 1.0)


def erb_rate(hz: Tensor | float) -> Tensor:
    """Number of such bandwidths below a frequency (Glasberg and Moore, 1990): 21.4 log10(1 + 0.00437 f)."""
    return 21.4 * torch.log10(1.0 + 0.00437 * _tensor(hz))


def threshold_in_quiet_db(hz: Tensor | float) -> Tensor:
    """Level in dB SPL below which a tone is not heard (E. Terhardt, Calculating virtual pitch, Hearing Research 1, 1979)."""
    f = _tensor(hz).clamp(min=20.0) / 1000.0
    return 3.64 * f**-0.8 - 6.5 * torch.exp(-0.6 * (f - 3.3) ** 2) + 1e-3 * f**4
