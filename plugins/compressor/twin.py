"""The twin of `compressor.h` (Giannoulis, Massberg, Reiss, JAES 60(6), 2012):

key -> low cut -> combine channels -> [RMS] -> [follower on the level] -> dB -> curve -> [follower on the gain] -> gain
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from twinrack.card import Value
from twinrack.twins.curves import delay, hold, ramp, together
from twinrack.twins.filter_design import BUTTERWORTH_Q, design_svf
from twinrack.twins.gain_curve import LEAST_KNEE_DB, amplitude, decibels, reduction_db, root
from twinrack.twins.recursions import feedback_compressor, follower, svf_cascade
from twinrack.twins.reference import combine_channels
from twinrack.twins.values import Context, Values

CHANNEL_MODES = ("maximum", "mean", "power_mean")
OFF_HZ = 10.001  # at or below, the low cut of the sidechain is off


def latency(values: Mapping[str, Value], sample_rate: float) -> int:
    return 0 if values["topology"] == "feedback" else _frames_ahead(float(values["lookahead_ms"]), sample_rate)


def _frames_ahead(lookahead_ms: float, sample_rate: float) -> int:
    return int(float(np.float32(lookahead_ms)) * 1e-3 * sample_rate + 0.5)  # as the engine, which keeps float32


def _pole(time_ms: Tensor, sample_rate: float) -> Tensor:
    """1 - exp(-1 / (time constant × sample rate))"""
    return -torch.expm1(-1.0 / (time_ms * 1e-3 * sample_rate))


def _low_cut(v: Values, sample_rate: float) -> Tensor:
    """Coefficients of the sidechain's low cut; g = 0 holds the filter's state in ticks in which it is off."""
    q = torch.full_like(v.sidechain_low_cut_hz, BUTTERWORTH_Q)
    cut = design_svf("low_cut", False, v.sidechain_low_cut_hz, torch.zeros_like(q), q, sample_rate)
    on = (v.sidechain_low_cut_hz > OFF_HZ).unsqueeze(-1)
    return torch.cat([torch.where(on, cut[..., :1], torch.zeros_like(cut[..., :1])), cut[..., 1:]], -1)


def _makeup(v: Values, threshold: Tensor, slope: Tensor, knee: Tensor) -> Tensor:
    if not v.auto_makeup:
        makeup: Tensor = v.makeup_db
        return makeup
    return v.makeup_db + 0.5 * reduction_db(torch.zeros_like(threshold), threshold, slope, knee, v.range_db)


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    slope, knee = 1.0 - 1.0 / v.ratio, v.knee_db.clamp(min=LEAST_KNEE_DB)
    makeup = _makeup(v, v.threshold_db, slope, knee)
    if v.topology == "feedback":
        return _feedback(x, v, at, slope, knee, makeup)

    def frames(t: Tensor) -> Tensor:  # rows, 1, frames
        return ramp(t.to(x.dtype), at.frames).unsqueeze(1)

    heard = x if key is None else key
    cut_on = v.sidechain_low_cut_hz > OFF_HZ
    if bool(cut_on.any()):
        cut = svf_cascade(heard, _low_cut(v, at.sample_rate).unsqueeze(2), at.path)
        heard = cut if bool(cut_on.all()) else torch.where(hold(cut_on, at.frames).unsqueeze(1), cut, heard)
    level = combine_channels(heard, CHANNEL_MODES.index(v.channel_mode))
    if bool((v.link_percent != 100.0).any()) or v.link_percent.requires_grad:
        own = heard[:, [min(c, heard.shape[1] - 1) for c in range(at.channels)]].abs()
        link = frames(v.link_percent / 100.0)
        level = (1.0 - link) * own + link * level
    if v.detector == "rms":
        average = _pole(v.rms_window_ms, at.sample_rate)
        level = root(follower(level * level, torch.stack([average, average], -1), False, at.path))
    times = _pole(torch.stack(together(v.attack_ms, v.release_ms), -1), at.sample_rate)
    decoupled = v.envelope == "decoupled"
    if v.ballistics == "level":
        level = follower(level, times, decoupled, at.path)
    reduction = reduction_db(decibels(level), frames(v.threshold_db), frames(slope), frames(knee), frames(v.range_db))
    if v.ballistics == "gain":
        reduction = follower(reduction, times, decoupled, at.path)
    mix = frames(v.mix)
    gain = 1.0 - mix + mix * amplitude(frames(makeup) - reduction)
    return delay(x, _frames_ahead(float(v.lookahead_ms), at.sample_rate)) * gain


def _feedback(x: Tensor, v: Values, at: Context, slope: Tensor, knee: Tensor, makeup: Tensor) -> Tensor:
    cut = _low_cut(v, at.sample_rate)
    held = [v.attack_ms, v.release_ms, v.rms_window_ms]
    settings = [v.threshold_db, slope, knee, v.range_db, v.link_percent / 100.0, cut[..., 0], cut[..., 1]]
    settings += [_pole(time, at.sample_rate) for time in held]
    choices = [
        int(bool((v.sidechain_low_cut_hz > OFF_HZ).any())),
        int(v.detector == "rms"),
        int(v.ballistics == "level"),
        int(v.envelope == "decoupled"),
        CHANNEL_MODES.index(v.channel_mode),
    ]
    reduced = feedback_compressor(x, torch.stack(together(*settings), -1), choices, at.path)
    mix, level = (ramp(t.to(x.dtype), at.frames).unsqueeze(1) for t in (v.mix, makeup))
    return (1.0 - mix) * x + mix * amplitude(level) * reduced
