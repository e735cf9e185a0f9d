"""The power that falls into each critical band, over time."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..audio import check_rate
from .scales import bark, erb_hz, erb_rate

FULL_SCALE_DB_SPL = 100.0  # of a sine that reaches 0 dBFS, as one listens to music loudly
FLOOR = 1e-12


class CriticalBands(nn.Module):
    """Power in critical bands, from short-time spectra.

    Args:
        sample_rate: Hz.
        scale: "bark": bands of one Bark with edges at whole Bark (Zwicker's 24); "erb": gammatone filters of fourth order, half
            an ERB apart (R. Patterson et al., 1987; M. Slaney, Apple TR 35, 1993), as power over frequency
            (1 + ((f - fc) / (1.019 ERB))²)^-4.
        window_ms: of a spectrum; half of it from one to the next.

    Attributes:
        centres_hz: of the bands.
    """

    bank: Tensor
    centres_hz: Tensor
    window: Tensor

    def __init__(self, sample_rate: float, scale: Literal["bark", "erb"] = "bark", window_ms: float = 40.0) -> None:
        super().__init__()
        self.sample_rate = check_rate(sample_rate)
        self.size = max(64, 2 * round(window_ms * 1e-3 * self.sample_rate / 2))
        hertz = torch.fft.rfftfreq(self.size, 1.0 / self.sample_rate, dtype=torch.float64)
        if scale == "bark":
            z = bark(hertz)
            count = min(24, math.floor(float(bark(self.sample_rate / 2.0))))
            bank = torch.stack([((z >= i) & (z < i + 1)).double() for i in range(count)])
            bank[0] += (z < 0).double()  # what lies below the scale's beginning
            centres = torch.stack([(hertz * row).sum() / row.sum().clamp(min=1.0) for row in bank])
        elif scale == "erb":
            steps = torch.arange(4.0, 2.0 * float(erb_rate(0.45 * self.sample_rate)), dtype=torch.float64) / 2.0
            centres = (10.0 ** (steps / 21.4) - 1.0) / 0.00437
            width = 1.019 * erb_hz(centres)[:, None]
            bank = (1.0 + ((hertz - centres[:, None]) / width) ** 2) ** -4
        else:
            raise ValueError(f"scale = {scale!r} is neither 'bark' nor 'erb'")
        used = bank.sum(1) > 0
        # A sine of amplitude 1 has power 1/2; a Hann window spreads it over bins whose powers add up to this.
        window = np.hanning(self.size + 1)[:-1]
        self.register_buffer("bank", bank[used])
        self.register_buffer("centres_hz", centres[used])
        self.register_buffer("window", torch.from_numpy(window))
        self.unit = 2.0 / (self.size * float(np.sum(window**2)))

    def spectra(self, x: Tensor) -> Tensor:
        """Power spectra (…, bins, frames), so scaled that their sum over the bins is the mean square of the sound."""
        if x.shape[-1] < self.size:
            x = nn.functional.pad(x, (0, self.size - x.shape[-1]))
        flat = x.reshape(-1, x.shape[-1])
        spectrum = torch.stft(
            flat, self.size, self.size // 2, window=self.window.to(x), center=False, return_complex=True
        )  # fmt: skip
        return (spectrum.abs().square() * self.unit).reshape(*x.shape[:-1], *spectrum.shape[-2:])

    def forward(self, x: Tensor) -> Tensor:
        """Power (batch, channels, bands, frames) of x (batch, channels, time); a sine of amplitude 1 has 1/2."""
        return torch.einsum("bi,...if->...bf", self.bank.to(x), self.spectra(x))


def level_db_spl(power: Tensor, full_scale_db_spl: float = FULL_SCALE_DB_SPL) -> Tensor:
    """Sound pressure level of a power, where a sine of amplitude 1 has `full_scale_db_spl`."""
    return 10.0 * torch.log10(2.0 * power + FLOOR) + full_scale_db_spl
