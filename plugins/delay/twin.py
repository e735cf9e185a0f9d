"""The twin of `delay.h`: a line with feedback through cuts and a saturation, whose sides may feed each other.

in -> x input -> ping-pong -> delay loop -> ducking -> mix -> out
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twinrack.twins.curves import TICK_FRAMES, numbers_in, ramp, together
from twinrack.twins.dynamics import one_pole_coefficient
from twinrack.twins.gain_curve import amplitude
from twinrack.twins.modulation import NOTE_BEATS, gliding, oscillator
from twinrack.twins.recursions import delay_loop, follower
from twinrack.twins.values import Context, Values

SHORTEST = 2.01  # frames
LONGEST_S = 10.0
SATURATION_SCALE = 4.0
ATTACK_MS, RELEASE_MS = 5.0, 300.0  # of the ducking
HALF_DUCKED = 10.0 ** (-30.0 / 20.0)


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    def frames(t: Tensor) -> Tensor:  # rows, 1, frames
        return ramp(t.to(x.dtype), at.frames).unsqueeze(1)

    if v.freeze or not v.input:  # nothing comes in, and nothing is there yet
        return (1.0 - frames(v.mix)) * x
    cross = torch.ones_like(v.cross) if v.mode == "ping_pong" else v.cross
    settings = [
        v.feedback, cross, one_pole(v.low_cut_hz, at.sample_rate), one_pole(v.high_cut_hz, at.sample_rate),
        SATURATION_SCALE * v.saturation, torch.ones_like(v.feedback),
    ]  # fmt: skip
    into = routed(x) if v.mode == "ping_pong" else x
    wet = delay_loop(into, torch.stack(together(*settings), -1), delays(v, at), at.path)
    if v.ducking_db.requires_grad or bool(numbers_in(v.ducking_db != 0).any()):
        wet = wet * amplitude(-frames(v.ducking_db) * loudness(x, at))
    mix = frames(v.mix)
    return (1.0 - mix) * x + mix * wet


def delays(v: Values, at: Context) -> Tensor:
    """The delay of each channel and frame, (rows, channels, time), in frames."""
    set_s = v.time_ms * 1e-3 if v.sync == "free" else 60.0 * NOTE_BEATS[v.sync] / v.tempo_bpm
    set_s = set_s.clamp(max=LONGEST_S)
    sides = together(set_s, (set_s * v.right_percent / 100.0).clamp(max=LONGEST_S))
    sides = tuple(side * at.sample_rate for side in sides)
    even, odd = (ramp(gliding(side.clamp(min=SHORTEST), TICK_FRAMES), at.frames) for side in sides)
    middle = torch.stack([odd if c % 2 else even for c in range(at.channels)], 1)
    if v.depth_ms.requires_grad or bool(numbers_in(v.depth_ms != 0).any()):
        depth = ramp(v.depth_ms * (1e-3 * at.sample_rate), at.frames).unsqueeze(1)
        middle = middle + depth * oscillator(v, at, at.channels, free=True)
    return middle.expand(-1, -1, at.frames).clamp(min=SHORTEST)


def one_pole(hertz: Tensor, sample_rate: float) -> Tensor:
    """The coefficient of a one-pole low-pass, 0 to 1."""
    return -torch.expm1(-2.0 * math.pi * hertz / sample_rate)


def routed(x: Tensor) -> Tensor:
    """Both of a pair on the even channel; one without a partner stays as it is."""
    columns = []
    for c in range(x.shape[1]):
        alone = c == x.shape[1] - 1 and c % 2 == 0
        columns.append(x[:, c] if alone else torch.zeros_like(x[:, c]) if c % 2 else 0.5 * (x[:, c] + x[:, c + 1]))
    return torch.stack(columns, 1)


def loudness(x: Tensor, at: Context) -> Tensor:
    """How loud the sound is, 0 to 1 with a half at -30 dBFS: (batch, 1, time)."""
    peak = x.abs().amax(1, keepdim=True)
    times = torch.tensor([ATTACK_MS, RELEASE_MS], dtype=torch.float64, device=x.device).reshape(1, 1, 2)
    level = follower(peak, one_pole_coefficient(times, at.sample_rate), False, at.path)
    return level / (level + HALF_DUCKED)
