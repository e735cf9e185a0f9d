"""The twin of `gate.h`:

key -> cuts -> combine channels -> [RMS] -> [attack, release] -> open or closed (hysteresis, hold) -> curve in dB ->
[attack, release] -> gain

Open or closed is decided in steps and has no gradient; threshold, ratio and range get theirs from the line below the
threshold, and at the threshold itself that of the side that was taken.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twinrack.audio import whole_frames
from twinrack.rack.card import Value
from twinrack.twins.curves import delay, hold, ramp, together
from twinrack.twins.dynamics import averaged, linked_level, one_pole_coefficient, through_cut
from twinrack.twins.gain_curve import FLOOR_AMPLITUDE, amplitude, decibels, root
from twinrack.twins.recursions import follower, gate_open
from twinrack.twins.values import Context, Values

FLOOR_DB = -140.0
TINY = 1e-6


def latency(values: Mapping[str, Value], sample_rate: float) -> int:
    return whole_frames(float(values["lookahead_ms"]), sample_rate)


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    def frames(t: Tensor) -> Tensor:  # rows, 1, frames
        return ramp(t.to(x.dtype), at.frames).unsqueeze(1)

    detector_input = through_cut(x if key is None else key, "low_cut", v.sidechain_low_cut_hz, at)
    detector_input = through_cut(detector_input, "high_cut", v.sidechain_high_cut_hz, at)
    level = averaged(linked_level(detector_input, v, at), v, at)
    if v.ballistics != "gain":
        times = one_pole_coefficient(torch.stack(together(v.attack_ms, v.release_ms), -1), at.sample_rate)
        power = v.ballistics == "power"
        level = root(follower(level * level, times, False, at.path)) if power else follower(level, times, False, at.path)
    open_above = v.threshold_db + 0.5 * v.knee_db
    upper = frames(10.0 ** (open_above / 20.0))
    with torch.no_grad():
        lower = frames(10.0 ** ((open_above - v.hysteresis_db) / 20.0))
        held = torch.floor(v.hold_ms * 1e-3 * at.sample_rate + 0.5).to(torch.int64)
        is_open = gate_open(level >= upper, level >= lower, hold(held, at.frames), at.path)
    slope, deepest, smoothness = v.ratio - 1.0, v.range_db, v.smoothness_percent / 100.0
    below = decibels(upper / level.clamp(min=FLOOR_AMPLITUDE)).clamp(min=0.0)
    closed = closing_db(below, frames(slope), frames(deepest), frames(v.knee_db), frames(smoothness))
    reduction = torch.where(is_open, torch.zeros_like(closed), closed)
    if v.ballistics == "gain":
        # It begins closed: the follower starts at 0, and every step of it is the same a constant higher.
        start = closing_db(open_above - FLOOR_DB, slope, deepest, v.knee_db, smoothness)[:, :1].to(x.dtype).unsqueeze(1)
        times = one_pole_coefficient(torch.stack(together(v.release_ms, v.attack_ms), -1), at.sample_rate)
        reduction = start + follower(reduction - start, times, False, at.path)
    return delay(x, whole_frames(float(v.lookahead_ms), at.sample_rate)) * amplitude(-reduction)


def closing_db(below_db: Tensor, slope: Tensor, range_db: Tensor, knee_db: Tensor, smoothness: Tensor) -> Tensor:
    """The gain reduction in dB, so many dB (0 or more) below the level at which the gate is open; as closing_curve-inl.h."""
    in_knee = torch.minimum(below_db, knee_db)
    part = torch.where(knee_db > TINY, in_knee / (2.0 * knee_db).clamp(min=TINY), 0.5)  # so the slope at 0 is right, too
    bent = below_db - in_knee * (1.0 - part)
    line = torch.minimum(slope * bent, range_db)
    share = line / range_db.clamp(min=TINY)
    return line + smoothness * line * (share * (3.0 - 2.0 * share) - 1.0)
