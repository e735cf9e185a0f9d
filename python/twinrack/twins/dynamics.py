"""The common parts of the dynamics effects: detector input, channel linking, RMS averaging and time constants."""

from __future__ import annotations

import torch
from torch import Tensor

from ..audio import HIGH_CUT_OFF_HZ, LOW_CUT_OFF_HZ
from .curves import hold, numbers_in, ramp
from .filter_design import BUTTERWORTH_Q, design_svf
from .gain_curve import root
from .recursions import follower, svf_cascade
from .reference import combine_channels
from .values import Context, Values

CHANNEL_MODES = ("maximum", "mean", "power_mean", "magnitude_mean")


def one_pole_coefficient(time_ms: Tensor, sample_rate: float) -> Tensor:
    """1 - exp(-1 / (time constant × sample rate)), for a time constant in ms."""
    return -torch.expm1(-1.0 / (time_ms * 1e-3 * sample_rate))


def sidechain_cut(shape: str, frequency_hz: Tensor, sample_rate: float) -> tuple[Tensor, Tensor]:
    """Coefficients (rows, ticks, 5) of a sidechain's cut, and in which ticks it is on; off, g = 0 holds its state."""
    on = frequency_hz > LOW_CUT_OFF_HZ if shape == "low_cut" else frequency_hz < HIGH_CUT_OFF_HZ
    q = torch.full_like(frequency_hz, BUTTERWORTH_Q)
    cut = design_svf(shape, False, frequency_hz, torch.zeros_like(q), q, sample_rate)
    held = torch.where(on.unsqueeze(-1), cut[..., :1], torch.zeros_like(cut[..., :1]))
    return torch.cat([held, cut[..., 1:]], -1), on


def through_cut(detector_input: Tensor, shape: str, frequency_hz: Tensor, at: Context) -> Tensor:
    """The detector's input after a cut of the sidechain, unfiltered in ticks in which the cut is off."""
    coefficients, on = sidechain_cut(shape, frequency_hz, at.sample_rate)
    if not bool(numbers_in(on).any()):
        return detector_input
    cut = svf_cascade(detector_input, coefficients.unsqueeze(2), at.path)
    return cut if bool(numbers_in(on).all()) else torch.where(hold(on, at.frames).unsqueeze(1), cut, detector_input)


def linked_level(detector_input: Tensor, v: Values, at: Context) -> Tensor:
    """The rectified level of each detector: (batch, 1, time) where all channels share one, else (batch, channels, time)."""
    level = combine_channels(detector_input, CHANNEL_MODES.index(v.channel_mode))
    if bool(numbers_in(v.link_percent != 100.0).any()) or v.link_percent.requires_grad:
        own = detector_input[:, [min(c, detector_input.shape[1] - 1) for c in range(at.channels)]].abs()
        link = ramp((v.link_percent / 100.0).to(detector_input.dtype), at.frames).unsqueeze(1)
        level = (1.0 - link) * own + link * level
    return level


UNIT = 2.0**38  # a moving RMS sums multiples of its inverse
LOUDEST_POWER = 64.0  # that a moving RMS tells from louder ones: 18 dB above full scale


def moving_rms(level: Tensor, window_ms: Tensor, at: Context) -> Tensor:
    """The root of the mean power over the last `window_ms`, in which all frames count alike; at least one frame.

    Args:
        level: (batch, detectors, time), rectified.
        window_ms: (rows, ticks), held within a tick. A frame that lies in it partly counts partly.
    """
    power = (level * level).clamp(max=LOUDEST_POWER)
    frames = hold((window_ms.to(torch.float64) * 1e-3 * at.sample_rate).clamp(min=1.0), at.frames)
    whole = frames.detach().floor().long()
    end = torch.arange(1, at.frames + 1, device=level.device)
    sums = torch.nn.functional.pad(power.to(torch.float64).cumsum(-1), (1, 0))
    oldest = (end - whole).clamp(min=0).expand(level.shape[0], -1).unsqueeze(1).expand(-1, level.shape[1], -1)
    partly = sums.gather(-1, oldest) - sums.gather(-1, (oldest - 1).clamp(min=0))
    sum_in_window = sums[..., 1:] - sums.gather(-1, oldest) + (frames - whole).unsqueeze(1) * partly
    if level.dtype == torch.float32:
        # To the last bit what `moving_power.h` sums, for a gate opens or not by the last bit.
        with torch.no_grad():
            fixed = torch.nn.functional.pad((power.double() * UNIT).long().cumsum(-1), (1, 0))
            last = torch.nn.functional.pad(power.double(), (1, 0)).gather(-1, oldest) * (oldest > 0)
            exact = (fixed[..., 1:] - fixed.gather(-1, oldest)).double() / UNIT + (frames - whole).unsqueeze(1) * last
        sum_in_window = sum_in_window + (exact - sum_in_window).detach()
        return root((sum_in_window * (1.0 / frames.unsqueeze(1))).to(level.dtype))
    return root((sum_in_window / frames.unsqueeze(1)).to(level.dtype))


def averaged(level: Tensor, v: Values, at: Context) -> Tensor:
    """The level as the chosen detector has it: itself, or the root of its averaged power."""
    if v.detector == "peak":
        return level
    if v.detector == "moving_rms":
        return moving_rms(level, v.rms_window_ms, at)
    average = one_pole_coefficient(v.rms_window_ms, at.sample_rate)
    return root(follower(level * level, torch.stack([average, average], -1), False, at.path))
