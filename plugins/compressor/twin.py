"""The twin of `compressor.h` (Giannoulis, Massberg, Reiss, JAES 60(6), 2012):

key -> low cut -> combine channels -> [RMS] -> [follower on the level or power] -> dB -> curve -> [follower on the gain] -> gain
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from twinrack.plugins.compressor.recursion import compressor_gain, feedback_compressor

from twinrack.audio import whole_frames
from twinrack.rack.card import Value
from twinrack.twins.curves import delay, numbers_in, ramp, together
from twinrack.twins.dynamics import CHANNEL_MODES, linked_level, moving_rms, one_pole_coefficient, sidechain_cut, through_cut
from twinrack.twins.gain_curve import LEAST_KNEE_DB, amplitude, reduction_db
from twinrack.twins.values import Context, Values

FOLLOWED = ("gain", "level", "power")
KINDS = ("branching", "decoupled", "two_stage")


def latency(values: Mapping[str, Value], sample_rate: float) -> int:
    return 0 if values["topology"] == "feedback" else whole_frames(float(values["lookahead_ms"]), sample_rate)


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

    detector_input = through_cut(x if key is None else key, "low_cut", v.sidechain_low_cut_hz, at)
    level = linked_level(detector_input, v, at)
    if v.detector == "moving_rms":
        level = moving_rms(level, v.rms_window_ms, at)
    window = v.rms_window_ms if v.detector == "rms" else v.rms_window_ms.detach()
    coefficients = [one_pole_coefficient(time, at.sample_rate) for time in (v.attack_ms, v.release_ms, window)]
    settings = torch.stack(together(v.threshold_db, slope, knee, v.range_db, makeup, v.mix, *coefficients), -1)
    choices = [int(v.detector == "rms"), FOLLOWED.index(v.ballistics), KINDS.index(v.envelope)]
    gain = compressor_gain(level, settings, choices, at.path)
    return delay(x, whole_frames(float(v.lookahead_ms), at.sample_rate)) * gain


def _feedback(x: Tensor, v: Values, at: Context, slope: Tensor, knee: Tensor, makeup: Tensor) -> Tensor:
    cut, on = sidechain_cut("low_cut", v.sidechain_low_cut_hz, at.sample_rate)
    held = [v.attack_ms, v.release_ms, v.rms_window_ms]
    settings = [v.threshold_db, slope, knee, v.range_db, v.link_percent / 100.0, cut[..., 0], cut[..., 1]]
    settings += [one_pole_coefficient(time, at.sample_rate) for time in held]
    choices = [
        int(bool(numbers_in(on).any())),
        int(v.detector != "peak"),
        FOLLOWED.index(v.ballistics),
        KINDS.index(v.envelope),
        CHANNEL_MODES.index(v.channel_mode),
    ]
    reduced = feedback_compressor(x, torch.stack(together(*settings), -1), choices, at.path)
    mix, level = (ramp(t.to(x.dtype), at.frames).unsqueeze(1) for t in (v.mix, makeup))
    return (1.0 - mix) * x + mix * amplitude(level) * reduced
