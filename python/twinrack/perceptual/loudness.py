"""How loud a sound is in each critical band: specific loudness in sone per Bark, and the loudness that it adds up to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .bands import FULL_SCALE_DB_SPL, CriticalBands, level_db_spl
from .masking import spreading
from .scales import threshold_in_quiet_db

EXPONENT = 0.23


class SpecificLoudness(nn.Module):
    """Specific loudness after E. Zwicker and H. Fastl (Psychoacoustics, eq. 8.7):

        N' = c (E_Q / E_0)^0.23 ((1/2 + E / (2 E_Q))^0.23 - 1)   sone per Bark

    with the excitation E in each Bark (power, spread to its neighbours), that at the threshold in quiet E_Q, and E_0 that of
    0 dB SPL. Channels are added as power. c is so chosen that a tone of 1 kHz and 40 dB SPL has 1 sone (0.08 in the book, whose
    excitation patterns are finer). The slopes of excitation do not depend on level here, so loud tones come out softer than
    Stevens' power law has them: 3.8 sone at 60 dB (4), 12.3 at 80 dB (16). It is no ISO 532 meter.

    Args:
        sample_rate: Hz.
        full_scale_db_spl: sound pressure level at which a sine of 0 dBFS is heard.
    """

    spread: Tensor
    quiet_db: Tensor

    def __init__(self, sample_rate: float, full_scale_db_spl: float = FULL_SCALE_DB_SPL) -> None:
        super().__init__()
        self.bands = CriticalBands(sample_rate, "bark")
        self.full_scale_db_spl = full_scale_db_spl
        self.register_buffer("spread", spreading(self.bands.centres_hz))
        self.register_buffer("quiet_db", threshold_in_quiet_db(self.bands.centres_hz))
        self.scale = 1.0
        time = torch.arange(int(0.5 * self.bands.sample_rate), dtype=torch.float64) / self.bands.sample_rate
        level = 10.0 ** ((40.0 - full_scale_db_spl) / 20.0)
        tone = level * torch.sin(2.0 * torch.pi * 1000.0 * time)
        self.scale = 1.0 / float(self.total(tone[None, None]).mean())

    def forward(self, x: Tensor) -> Tensor:
        """Specific loudness (batch, bands, frames) in sone per Bark, of x (batch, channels, time)."""
        power = self.bands(x).sum(1)
        spread, quiet = self.spread.to(x), self.quiet_db.to(x)
        excitation_db = level_db_spl(torch.einsum("ij,...jf->...if", spread, power), self.full_scale_db_spl)
        above = 10.0 ** ((excitation_db - quiet[:, None]) / 10.0)
        grown = (0.5 + 0.5 * above) ** EXPONENT - 1.0
        specific: Tensor = self.scale * 10.0 ** (EXPONENT * quiet[:, None] / 10.0) * grown.clamp(min=0.0)
        return specific

    def total(self, x: Tensor) -> Tensor:
        """Loudness (batch, frames) in sone: the sum over the bands, each one Bark wide."""
        return self.forward(x).sum(1)


def phon(sone: Tensor) -> Tensor:
    """Loudness level of a loudness from 1 sone on (ISO 532): 40 + 10 log2(sone)."""
    return 40.0 + 10.0 * torch.log2(sone)
