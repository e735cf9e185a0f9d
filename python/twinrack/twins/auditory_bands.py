"""Bands about as wide as those of hearing: the twin of `auditory_bands-inl.h`.

The frequencies lie equally far apart on the scale of equivalent rectangular bandwidths (Glasberg and Moore, 1990).
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ..perceptual.scales import erb_rate
from .curves import TICK_FRAMES, ramp, tick_count
from .filter_design import BUTTERWORTH_Q, design_svf
from .recursions import svf_cascade
from .values import Context

COUNT = 24
LOWEST_HZ, HIGHEST_HZ = 80.0, 16000.0
HIGHEST_EDGE = 0.4  # of the sample rate, where the last used band begins


def centre_hz(band: float) -> float:
    """Of the centre of a band, counted from 0; half a band further is its upper edge."""
    first, last = float(erb_rate(LOWEST_HZ)), float(erb_rate(HIGHEST_HZ))
    number = first + (last - first) * band / (COUNT - 1)
    return float((10.0 ** (number / 21.4) - 1.0) / 0.00437)


def used_bands(sample_rate: float) -> int:
    """The bands that a rate holds: those that begin below what it can show."""
    bands = 2
    while bands < COUNT and centre_hz(bands - 0.5) < HIGHEST_EDGE * sample_rate:
        bands += 1
    return bands


def _q(band: int) -> float:
    return centre_hz(band) / (centre_hz(band + 0.5) - centre_hz(band - 0.5))


def band_powers(x: Tensor, at: Context) -> Tensor:
    """The mean power of each tick in each band, over all channels.

    Args:
        x: (batch, channels, time).

    Returns:
        (batch, used bands, ticks) float64.
    """
    used, ticks = used_bands(at.sample_rate), tick_count(x.shape[-1])
    c = _band_filters(at.sample_rate).to(x.device).repeat(x.shape[0], 1, 1, 1)
    y = svf_cascade(x.repeat_interleave(used, 0).contiguous(), c, at.path)
    padded = torch.nn.functional.pad(y.double(), (0, ticks * TICK_FRAMES - y.shape[-1]))
    power = padded.reshape(*y.shape[:-1], ticks, TICK_FRAMES).square().sum(-1).mean(1) / TICK_FRAMES
    return power.reshape(x.shape[0], used, ticks)


def through_band_gains(x: Tensor, gain: Tensor, delay: int, at: Context) -> Tensor:
    """The sound with a gain in each band, by a filter of linear phase, later by `delay` frames.

    Args:
        x: (batch, channels, time).
        gain: amplitude at the end of each tick, (batch, used bands, ticks); it moves on straight lines.
    """
    taps = _band_taps(at.sample_rate, delay).to(x.device)
    size = 1 << (x.shape[-1] + 2 * delay).bit_length()
    spectrum, filters = torch.fft.rfft(x.double(), size), torch.fft.rfft(taps, size)
    moved = ramp(gain.transpose(1, 2).to(x.dtype), at.frames)
    total = torch.zeros_like(x)
    for band in range(taps.shape[0]):  # one after the other, for 24 long sounds at once are much
        y = torch.fft.irfft(spectrum * filters[band], size)[..., : x.shape[-1]].to(x.dtype)
        total = total + y * moved[..., band].unsqueeze(1)
    return total


def band_sections(sample_rate: float) -> list[tuple[str, float, float]]:
    """Shape, frequency in Hz and Q of the filter that listens to each band; there are two in series."""
    last = used_bands(sample_rate) - 1
    inner = [("band_pass", centre_hz(b), _q(b)) for b in range(1, last)]
    return [("high_cut", centre_hz(0.5), BUTTERWORTH_Q), *inner, ("low_cut", centre_hz(last - 0.5), BUTTERWORTH_Q)]


@functools.lru_cache(maxsize=16)
def _band_filters(sample_rate: float) -> Tensor:
    """Two of each in series, (bands, 1, 2, 5)."""
    rows = [_designed(section, sample_rate) for section in band_sections(sample_rate)]
    return torch.stack(rows)[:, None, None].repeat(1, 1, 2, 1)


@functools.lru_cache(maxsize=16)
def _band_taps(sample_rate: float, delay: int) -> Tensor:
    """The filter of each band, (bands, 2 delay + 1): triangles between the centres, which add up to 1, windowed by a raised
    cosine."""
    centres = torch.tensor([centre_hz(b) for b in range(used_bands(sample_rate))], dtype=torch.float64)
    n = torch.arange(delay + 1, dtype=torch.float64)
    w = 2.0 * math.pi * n / sample_rate
    edge = torch.cos(w * centres[:, None]) / (w * w).clamp(min=1e-30)
    edge[:, 0] = -0.5 * centres * centres
    slope = (edge[1:] - edge[:-1]) / (centres[1:] - centres[:-1])[:, None]
    nothing = torch.zeros_like(slope[:1])
    bands = torch.cat([nothing, slope]) - torch.cat([slope, nothing])
    bands[-1, 0] += 0.5 * sample_rate
    half = bands * (2.0 / sample_rate) * (0.5 + 0.5 * torch.cos(math.pi * n / (delay + 1)))
    return torch.cat([half[:, 1:].flip(1), half], 1)


def _designed(section: tuple[str, float, float], sample_rate: float) -> Tensor:
    shape, hz, q = section
    frequency, gain, quality = torch.tensor([hz, 0.0, q], dtype=torch.float64)
    return design_svf(shape, False, frequency, gain, quality, sample_rate)
