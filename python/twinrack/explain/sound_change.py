"""The difference of two sounds as one hears it: in just-noticeable differences (JND), critical bands, loudness, masking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..audio import Audio
from ..measure.distances import Distances, distances
from ..measure.loudness import loudness
from ..perceptual import CriticalBands, Masking, Noticeable

BANDS_SHOWN = 3
HEARD_BAND_DB = 0.5
HEARD_JNDS = 1.0
SHORTEST_FRAMES = 1024


def hertz_text(hz: float) -> str:
    """A frequency as one speaks of it: "50 Hz", "340 Hz", "1.4 kHz", "14 kHz"."""
    return f"{hz / 1000.0:.2g} kHz" if hz >= 995.0 else f"{float(f'{hz:.2g}'):g} Hz"


@dataclass(frozen=True)
class SoundDifference:
    """The difference of two racks on one sound; the second against the first.

    Attributes:
        distances: of the second's output from the first's.
        loudness_lu: by how much the second is louder.
        bands_db: (centre of a critical band in Hz, level of the second over the first in dB) for every band.
        jnds: just-noticeable differences where they differ most, at `at_s` seconds about `at_hz`.
        audible_db: by how much the difference stands above what the first one masks, mean over bands and time.
    """

    distances: Distances
    loudness_lu: float
    bands_db: tuple[tuple[float, float], ...]
    jnds: float
    at_s: float
    at_hz: float
    audible_db: float

    def sentences(self) -> list[str]:
        """The same in words."""
        if self.jnds < HEARD_JNDS:
            return [f"nobody is likely to hear the difference: {self.jnds:.2g} JND at most ({self.distances.error_db:.0f} dB)"]
        lines = [
            f"heard as {self.jnds:.2g} JND where it differs most, at {self.at_s:.1f} s about {hertz_text(self.at_hz)}; "
            f"{self.audible_db:.1f} dB above masking on average",
            f"loudness {self.loudness_lu:+.1f} LU",
        ]
        moved = sorted((b for b in self.bands_db if abs(b[1]) >= HEARD_BAND_DB), key=lambda b: -abs(b[1]))[:BANDS_SHOWN]
        if moved:
            lines.append("most in these bands: " + ", ".join(f"{hertz_text(hz)} {db:+.1f} dB" for hz, db in sorted(moved)))
        return lines


def sound_difference(a: Audio, b: Audio, sample_rate: float) -> SoundDifference:
    """The second sound against the first, (channels, frames) both."""
    short = SHORTEST_FRAMES - a.shape[1]
    if short > 0:  # the windows of the distances
        a, b = (np.pad(sound, ((0, 0), (0, short))) for sound in (a, b))
    hearing, bands = Noticeable(sample_rate), CriticalBands(sample_rate)
    with torch.no_grad():
        x, y = (torch.from_numpy(sound)[None] for sound in (a, b))
        jnds = hearing(y, x)[0].abs().amax(0)
        powers = [bands(sound)[0].double().sum((0, 2)) for sound in (x, y)]
        audible = float(Masking(sample_rate)(y, x))
    band, frame = np.unravel_index(int(jnds.argmax()), jnds.shape)
    loudest = float(powers[0].max())
    levels = 10.0 * torch.log10((powers[1] + 1e-9 * loudest + 1e-15) / (powers[0] + 1e-9 * loudest + 1e-15))
    measured = [max(float(loudness(sound, sample_rate).integrated), -120.0) for sound in (a, b)]
    return SoundDifference(
        distances([(b, a)], sample_rate),
        measured[1] - measured[0],
        tuple((float(hz), float(db)) for hz, db in zip(bands.centres_hz, levels, strict=True)),
        float(jnds.max()),
        float((frame + 1) * hearing.hop_s),
        float(bands.centres_hz[band]),
        audible,
    )
