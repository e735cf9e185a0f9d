"""Masking: the threshold below which an error beside a sound is inaudible."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .bands import FLOOR, FULL_SCALE_DB_SPL, CriticalBands
from .scales import bark, threshold_in_quiet_db


def spreading_db(distance_bark: Tensor) -> Tensor:
    """How excitation spreads, in dB over Bark above (positive) or below the masker (M. R. Schroeder, B. S. Atal, J. L. Hall,
    Optimizing digital speech coders by exploiting masking properties of the human ear, JASA 66, 1979)."""
    d = distance_bark + 0.474
    return 15.81 + 7.5 * d - 17.5 * torch.sqrt(1.0 + d * d)


def spreading(centres_hz: Tensor) -> Tensor:
    """Power that excitation has in each band (rows) from a unit of power in each band (columns)."""
    z = bark(centres_hz)
    return 10.0 ** (spreading_db(z[:, None] - z[None, :]) / 10.0)


def quiet_power(centres_hz: Tensor, full_scale_db_spl: float) -> Tensor:
    """Power at the threshold in quiet in each band; a sine of amplitude 1, heard at `full_scale_db_spl`, has 1/2."""
    return 0.5 * 10.0 ** ((threshold_in_quiet_db(centres_hz) - full_scale_db_spl) / 10.0)


class Masking(nn.Module):
    """Masking threshold and audible error (J. D. Johnston, Transform coding of audio signals using perceptual noise criteria,
    IEEE JSAC 6, 1988), in bands of one Bark.

    Excitation is spread over the bands, lowered by an offset between that for a tone that masks noise (14.5 + z dB, z in Bark)
    and for noise that masks a tone (5.5 dB), after the flatness of the spectrum, and never below the threshold in quiet.

    Args:
        sample_rate: Hz.
        full_scale_db_spl: sound pressure level at which a sine of 0 dBFS is heard.
    """

    spread: Tensor
    z: Tensor
    quiet: Tensor

    def __init__(self, sample_rate: float, full_scale_db_spl: float = FULL_SCALE_DB_SPL) -> None:
        super().__init__()
        self.bands = CriticalBands(sample_rate, "bark")
        self.full_scale_db_spl = full_scale_db_spl
        centres = self.bands.centres_hz
        spread = spreading(centres)
        self.register_buffer("spread", spread / spread.sum(1, keepdim=True))
        self.register_buffer("z", bark(centres))
        self.register_buffer("quiet", quiet_power(centres, full_scale_db_spl))

    def tonality(self, spectra: Tensor) -> Tensor:
        """From 0 (noise) to 1 (tones) by frame, from the spectral flatness over -60 dB (Johnston, 1988)."""
        power = spectra + FLOOR
        flatness = 10.0 * (torch.log10(power).mean(-2) - torch.log10(power.mean(-2)))
        return (flatness / -60.0).clamp(0.0, 1.0)

    def threshold(self, x: Tensor) -> Tensor:
        """Masked power (batch, channels, bands, frames) beside x (batch, channels, time); a sine of amplitude 1 has 1/2."""
        spectra = self.bands.spectra(x)
        bank, spread, z, quiet = (t.to(x) for t in (self.bands.bank, self.spread, self.z, self.quiet))
        power = torch.einsum("bi,...if->...bf", bank, spectra)
        excitation = torch.einsum("ij,...jf->...if", spread, power)
        tonal = self.tonality(spectra).unsqueeze(-2)
        offset = tonal * (14.5 + z[:, None]) + (1.0 - tonal) * 5.5
        return torch.maximum(excitation * 10.0 ** (-offset / 10.0), quiet[:, None])

    def noise_to_mask_db(self, y: Tensor, target: Tensor) -> Tensor:
        """Level of the error above what the target masks, (batch, channels, bands, frames) in dB; above 0 it may be heard
        (K. Brandenburg, T. Sporer, NMR and masking flag, AES 11th Conf., 1992)."""
        error = self.bands(y - target)
        return 10.0 * torch.log10((error + FLOOR) / self.threshold(target))

    def forward(self, y: Tensor, target: Tensor) -> Tensor:
        """Audible error: by how many dB the error stands above the threshold, on average over bands and frames; 0 where nothing
        is heard."""
        return self.noise_to_mask_db(y, target).clamp(min=0.0).mean()
