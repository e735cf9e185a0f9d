"""How many just-noticeable differences lie between two sounds that go together in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..audio import Audio
from .bands import FULL_SCALE_DB_SPL, CriticalBands
from .masking import quiet_power, spreading

LONG_DB, SHORT_DB = 1.0, 2.0  # of excitation level: over LONG_S, and in a single window
LONG_S = 0.2
SHORTEST_S, LONGEST_S = 0.008, 0.030  # of the decay of excitation, at high frequencies and at 100 Hz


class Noticeable(nn.Module):
    """Differences of excitation level, in just-noticeable differences (JND).

    A change is noticed where it alters the level of excitation by 1 dB in any critical band (E. Zwicker, H. Fastl,
    Psychoacoustics, 7.2). That holds for what lasts 200 ms; a single window of 40 ms must change by 2 dB (M. Florentine, Level
    discrimination of tones as a function of duration, JASA 79, 1986). Excitation is spread over the bands (see
    `masking.spreading_db`) and outlasts the sound as in ITU-R BS.1387 (time constants of 8 ms, 30 ms at 100 Hz); what stands
    at the threshold in quiet or below hardly counts. Each channel is heard by itself. Phase, delay and direction are not
    in it.

    Args:
        sample_rate: Hz.
        full_scale_db_spl: sound pressure level at which a sine of 0 dBFS is heard.

    Attributes:
        hop_s: from one frame of a result to the next, in seconds.
    """

    spread: Tensor
    quiet: Tensor
    decay: Tensor

    def __init__(self, sample_rate: float, full_scale_db_spl: float = FULL_SCALE_DB_SPL) -> None:
        super().__init__()
        self.bands = CriticalBands(sample_rate, "bark")
        self.hop_s = 0.5 * self.bands.size / self.bands.sample_rate
        centres = self.bands.centres_hz
        self.register_buffer("spread", spreading(centres))
        self.register_buffer("quiet", quiet_power(centres, full_scale_db_spl))
        times = SHORTEST_S + 100.0 / centres.clamp(min=50.0) * (LONGEST_S - SHORTEST_S)
        self.register_buffer("decay", torch.exp(-self.hop_s / times))

    def excitation(self, x: Tensor) -> Tensor:
        """Power of excitation (batch, channels, bands, frames), the threshold in quiet added, of x (batch, channels, time)."""
        power = torch.einsum("ij,...jf->...if", self.spread.to(x), self.bands(x)).double()
        share = self.decay.to(power)
        after = power[..., 0]
        frames = [after]
        for frame in power.unbind(-1)[1:]:
            after = share * after + (1.0 - share) * frame
            frames.append(torch.maximum(after, frame))
        return torch.stack(frames, -1) + self.quiet.to(power)[:, None]

    def forward(self, y: Tensor, target: Tensor) -> Tensor:
        """JNDs (batch, channels, bands, frames) by which y stands above target, or below it (negative), in each band and frame;
        both (batch, channels, time)."""
        return self.between(self.excitation(y), self.excitation(target))

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """The same from excitations."""
        short = 10.0 * torch.log10(a / b) / SHORT_DB
        count = min(round(LONG_S / self.hop_s), a.shape[-1])
        means = [nn.functional.avg_pool1d(e.flatten(0, -2)[:, None], count, 1).reshape(*e.shape[:-1], -1) for e in (a, b)]
        long = 10.0 * torch.log10(means[0] / means[1]) / LONG_DB
        first = (count - 1) // 2
        long = nn.functional.pad(long.flatten(0, -2), (first, count - 1 - first), mode="replicate").reshape(short.shape)
        return torch.where(long.abs() > short.abs(), long, short)

    def most(self, y: Tensor, target: Tensor) -> Tensor:
        """JNDs in the band and at the time where they differ most, (batch,); below 1 nobody is likely to hear a difference."""
        return self.forward(y, target).abs().amax((1, 2, 3))


def jnds_between(y: Audio, target: Audio, sample_rate: float) -> float:
    """Just-noticeable differences between two sounds, (channels, frames), where they differ most (see `Noticeable`)."""
    with torch.no_grad():
        a, b = (torch.from_numpy(x)[None] for x in (y, target))
        return float(Noticeable(sample_rate).most(a, b))
