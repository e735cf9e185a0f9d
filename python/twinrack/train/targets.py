"""Targets of `match`: how a sound should be, where there is no recording of it.

    tr.match(rack, "voice.wav", target=tr.targets.Spectrum("reference.wav") + tr.targets.Loudness(-16.0))

Each is a term of a loss that looks at the rack's sound (or at the rack) alone, and says how far away it is in its own unit
(`gap`), which stands in the result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import as_planar, check_rate
from ..checks import brief, is_number
from ..files.audio_file import read_audio
from ..perceptual.masking import Masking
from .losses import FLOOR, SoundTerm, ValueTerm, loudness_contour, third_octaves

if TYPE_CHECKING:
    from .losses import Twin

Reference = str | os.PathLike[str] | tuple[npt.ArrayLike, float]


def _read(reference: Reference) -> tuple[Tensor, float]:
    if isinstance(reference, str | os.PathLike):
        x, rate = read_audio(reference)
        return torch.from_numpy(np.ascontiguousarray(x)), float(rate)
    samples, given = reference
    return torch.from_numpy(as_planar(samples, "the reference")[0].copy()), check_rate(given)


class Target(SoundTerm):
    """A term that looks at the rack's sound alone. `unit` is that of `gap`; the loss is the gap over `scale`."""

    unit, scale = "", 1.0

    def gap(self, y: Tensor, rate: float) -> Tensor:
        raise NotImplementedError

    def __call__(self, y: Tensor, target: Tensor, rate: float) -> Tensor:
        return self.gap(y, rate) / self.scale


class Spectrum(Target):
    """The long-term spectrum of a reference, whatever its level: mean difference in dB over third octaves.

    Args:
        reference: a file, or (samples, sample_rate); of any content and length.
        low_hz, high_hz: the range that is compared.
    """

    name, unit, scale = "reach spectrum", "dB", 10.0
    FFT = 8192

    def __init__(self, reference: Reference, low_hz: float = 50.0, high_hz: float = 16000.0) -> None:
        x, self.rate = _read(reference)
        self.low_hz, self.high_hz = low_hz, min(high_hz, 0.45 * self.rate)
        self.levels = self._levels(x[None].double(), self.rate).mean(0)

    def _levels(self, x: Tensor, rate: float) -> Tensor:
        """(batch, bands) in dB, their mean taken away."""
        mono = x.mean(1)
        size = min(self.FFT, mono.shape[-1])
        window = torch.hann_window(size, dtype=x.dtype, device=x.device)
        power = torch.stft(mono, size, size // 2, window=window, return_complex=True).abs().square().mean(-1)
        bands = third_octaves(size, rate, self.low_hz, min(self.high_hz, 0.45 * rate)).to(x)
        db = 10.0 * torch.log10(power @ bands.T + FLOOR)
        return db - db.mean(-1, keepdim=True)

    def gap(self, y: Tensor, rate: float) -> Tensor:
        ours = self._levels(y, rate)
        if ours.shape[-1] != self.levels.shape[-1]:
            raise ValueError(
                f"the reference has {self.rate:g} Hz and the sound {rate:g} Hz, so their bands differ; lower high_hz below "
                f"{0.45 * min(rate, self.rate):g}, or resample one"
            )
        return (ours - self.levels.to(ours)).abs().mean()


class LoudnessTarget(Target):
    """A loudness (ITU-R BS.1770-4, momentary, gated 20 LU below the mean), or a contour over time. Users call it `Loudness`.

    Args:
        lufs: one number, or one for every point of `seconds`.
        seconds: where in the sound the numbers hold; straight lines between them.
    """

    name, unit, scale = "reach loudness", "LU", 10.0

    def __init__(self, lufs: float | Sequence[float], seconds: Sequence[float] | None = None) -> None:
        self.lufs = np.atleast_1d(np.asarray(lufs, np.float64))
        self.seconds = None if seconds is None else np.asarray(seconds, np.float64)
        if not np.isfinite(self.lufs).all() or (self.lufs > 0).any():
            raise ValueError(f"lufs = {brief(lufs)}; give loudness in LUFS, below 0")
        if self.lufs.size != (1 if self.seconds is None else self.seconds.size):
            raise ValueError(f"lufs has {self.lufs.size} numbers; give as many seconds, or one number")

    def gap(self, y: Tensor, rate: float) -> Tensor:
        contour = loudness_contour(y, rate)
        if self.seconds is None:
            power = 10.0 ** (contour / 10.0)
            mean = 10.0 * torch.log10(power.mean(-1, keepdim=True))
            inside = contour > torch.maximum(mean.detach() - 20.0, torch.full_like(mean, -70.0))
            gated = (power * inside).sum(-1) / inside.sum(-1).clamp(min=1)
            return (10.0 * torch.log10(gated + FLOOR) - float(self.lufs[0])).abs().mean()
        at = (np.arange(contour.shape[-1]) + 2.0) * 0.1  # the middle of each window
        wanted = torch.from_numpy(np.interp(at, self.seconds, self.lufs)).to(contour)
        audible = contour > -70.0
        return ((contour - wanted) * audible).abs().sum() / audible.sum().clamp(min=1)


Loudness = LoudnessTarget  # `tr.targets.Loudness`


class Dynamics(Target):
    """How far the loudness moves: the distance between its tenth and 95th percentile, in windows of 0.4 s that are within 20 LU
    of the mean (as EBU Tech 3342 measures a range, in shorter windows).

    Args:
        wanted: in LU, or a reference with the wanted range: a file, or (samples, sample_rate).
    """

    name, unit, scale = "reach dynamics", "LU", 10.0

    def __init__(self, wanted: float | Reference) -> None:
        if is_number(wanted):
            self.range_lu = float(wanted)
            if not 0.0 <= self.range_lu <= 60.0:
                raise ValueError(f"a range of {self.range_lu:g} LU is outside 0 to 60")
        else:
            x, rate = _read(wanted)
            self.range_lu = float(self._range(x[None].double(), rate).mean())

    def _range(self, y: Tensor, rate: float) -> Tensor:
        ranges = []
        for contour in loudness_contour(y, rate):
            mean = 10.0 * torch.log10((10.0 ** (contour / 10.0)).mean())
            inside = contour[contour > torch.clamp(mean.detach() - 20.0, min=-70.0)]
            if inside.numel() < 2:
                ranges.append(contour.sum() * 0.0)
                continue
            low, high = torch.quantile(inside, torch.tensor([0.1, 0.95], dtype=inside.dtype))
            ranges.append(high - low)
        return torch.stack(ranges)

    def gap(self, y: Tensor, rate: float) -> Tensor:
        return (self._range(y, rate) - self.range_lu).abs().mean()


class Heard(ValueTerm):
    """A masking budget, of a session: a channel is to stand out from what all others together hide, in its own critical bands
    (J. D. Johnston, IEEE JSAC 6, 1988; see `perceptual.Masking`).

    Args:
        channel: its name.
        by_db: how far above the masking threshold, on average over time and the bands in which it is within 30 dB of its
            loudest one.
    """

    unit = "dB"

    def __init__(self, channel: str, by_db: float = 3.0) -> None:
        self.channel, self.by_db = channel, float(by_db)
        self.name = f"reach heard {channel}"
        self._masking: Masking | None = None

    def gap(self, twin: Twin) -> Tensor:
        """How much is missing, in dB."""
        sounds = getattr(twin, "heard", {})
        if self.channel not in sounds:
            raise ValueError(f"there is no channel {brief(self.channel)} to be heard; this target is for sessions, in fit_mix")
        if self._masking is None or self._masking.bands.sample_rate != twin.sample_rate:
            self._masking = Masking(twin.sample_rate)
        mine, mix = sounds[self.channel], sounds["master"]
        power = self._masking.bands(mine).sum(1)
        hidden = self._masking.threshold(mix - mine).sum(1)
        loud = power.detach() > power.detach().amax((1, 2), keepdim=True) * 1e-3
        margin = 10.0 * torch.log10((power + FLOOR) / (hidden + FLOOR))
        missing = (self.by_db - margin).clamp(min=0.0) * loud
        mean: Tensor = missing.sum() / loud.sum().clamp(min=1)
        return mean

    def __call__(self, twin: Twin, addresses: Sequence[str]) -> Tensor:
        return (self.gap(twin) / 10.0).float()


class Width(Target):
    """How wide a stereo sound is: the level of the side (L - R) over the middle (L + R), in dB; 0 dB is very wide, -20 narrow.

    Args:
        side_db: the wanted level.
    """

    name, unit, scale = "reach width", "dB", 10.0

    def __init__(self, side_db: float) -> None:
        self.side_db = float(side_db)

    def gap(self, y: Tensor, rate: float) -> Tensor:
        if y.shape[1] != 2:
            raise ValueError(f"a width needs two channels, the sound has {y.shape[1]}")
        middle, side = (y[:, 0] + y[:, 1]).square().mean(-1), (y[:, 0] - y[:, 1]).square().mean(-1)
        ratio = 10.0 * torch.log10((side + FLOOR) / (middle + FLOOR))
        return (ratio - self.side_db).abs().mean()


class Decay(ValueTerm):
    """Decay times of the rack's own impulse response: seconds for 60 dB, in octave bands (ISO 3382, T30 by a straight line
    through its Schroeder curve from -5 to -35 dB).

    Args:
        seconds: by the centre of the band in Hz: {250: 1.8, 1000: 1.5, 4000: 0.9}.
    """

    name, unit = "reach decay", "%"

    def __init__(self, seconds: Mapping[float, float]) -> None:
        self.seconds = {float(hz): float(s) for hz, s in seconds.items()}
        if not self.seconds or any(not 0.05 <= s <= 20.0 or not hz > 0 for hz, s in self.seconds.items()):
            raise ValueError(f"seconds = {dict(seconds)!r}; give decay times from 0.05 to 20 s by frequency in Hz")

    def times(self, twin: Twin) -> Tensor:
        """The decay times now, in the order of `seconds`."""
        longest = max(self.seconds.values())
        frames = int(twin.sample_rate * (0.3 + 1.2 * longest))
        channels = 2
        impulse = torch.zeros(1, channels, frames)
        impulse[..., 0] = 1.0
        h = twin(impulse)[0].double().mean(0)
        spectrum = torch.fft.rfft(h, 2 * frames)
        hertz = torch.fft.rfftfreq(2 * frames, 1.0 / twin.sample_rate, dtype=torch.float64)
        times = []
        for centre in self.seconds:
            place = torch.log2(hertz.clamp(min=1e-3) / centre)
            band = torch.where(place.abs() < 0.5, torch.cos(np.pi * place / 2.0).square(), torch.zeros_like(place))
            energy = torch.fft.irfft(spectrum * band, 2 * frames)[:frames].square()
            left = energy.flip(0).cumsum(0).flip(0)
            db = 10.0 * torch.log10(left / left[0] + 1e-12)
            inside = (db.detach() < -5.0) & (db.detach() > -35.0)
            time = torch.arange(frames, dtype=torch.float64)[inside] / twin.sample_rate
            level = db[inside]
            if level.numel() < 16:  # no tail yet
                times.append(torch.zeros((), dtype=torch.float64) + 0.0 * left[0])
                continue
            centred = time - time.mean()
            slope = (centred * level).sum() / (centred * centred).sum()
            times.append(-60.0 / slope)
        return torch.stack(times)

    def gap(self, twin: Twin) -> Tensor:
        """The mean difference in per cent."""
        wanted = torch.tensor(list(self.seconds.values()), dtype=torch.float64)
        return 100.0 * (self.times(twin) / wanted - 1.0).abs().mean()

    def __call__(self, twin: Twin, addresses: Sequence[str]) -> Tensor:
        wanted = torch.tensor(list(self.seconds.values()), dtype=torch.float64)
        return torch.log(self.times(twin).clamp(min=1e-3) / wanted).abs().mean()
