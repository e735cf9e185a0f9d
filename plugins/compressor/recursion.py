"""The compressor's recursions: its detector, and the loop through its own output."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from twinrack.twins import parallel, reference
from twinrack.twins.curves import hold, ramp
from twinrack.twins.gain_curve import amplitude, decibels, reduction_db, root
from twinrack.twins.recursions import Recursion, RecursionPath
from twinrack.twins.reference import combine_channels, follower_step, svf_step

Follow = Callable[[Tensor], Tensor]


def reduction(level: Tensor, curve: tuple[Tensor, ...], rms: bool, followed: int, average: Follow, follow: Follow) -> Tensor:
    """The reduction in dB that a detector makes of a level: of whole signals or of one frame, as `average` and `follow` do.

    Args:
        level: rectified.
        curve: threshold in dB, slope, knee in dB, range in dB.
        rms: on the root of the averaged power.
        followed: 0 the reduction, 1 the level, 2 its power.
    """
    if rms:
        level = root(average(level * level))
    if followed == 1:
        level = follow(level)
    if followed == 2:
        level = root(follow(level * level))
    curved = reduction_db(decibels(level), *curve)
    return follow(curved) if followed == 0 else curved


def _gain(follower: Callable[[Tensor, Tensor, list[int]], Tensor]) -> Callable[[Tensor, Tensor, list[int]], Tensor]:
    def gain(level: Tensor, settings: Tensor, options: list[int]) -> Tensor:
        rms, followed, kind = options
        *curve, makeup, mix = ramp(settings[..., :6], level.shape[-1]).unsqueeze(1).unbind(-1)
        times, averaging = settings[..., 6:8], settings[..., 8:9].expand(-1, -1, 2)

        def average(x: Tensor) -> Tensor:
            return follower(x, averaging, [0])

        def follow(x: Tensor) -> Tensor:
            return follower(x, times, [kind])

        reduced = reduction(level, tuple(curve), bool(rms), followed, average, follow)
        return 1.0 - mix + mix * amplitude(makeup - reduced)

    return gain


def _feedback(x: Tensor, settings: Tensor, options: list[int]) -> Tensor:
    low_cut, rms, followed, kind, mode = options
    frames = x.shape[-1]
    ramped, held = ramp(settings[..., :7], frames), hold(settings[..., 7:], frames)
    arrives = hold(settings[..., 5], frames)
    zero = x.new_zeros(x.shape[:2])
    output, s1, s2, averaged, state = zero, zero, zero, zero, (zero, zero, zero)
    out = []
    for n in range(frames):
        *curve, link, g, k = ramped[:, min(n, ramped.shape[1] - 1)].unsqueeze(1).unbind(-1)
        rise, fall, averaging = held[:, min(n, held.shape[1] - 1)].unsqueeze(1).unbind(-1)
        own = output
        if low_cut:
            one = torch.ones_like(g)
            s1, s2, cut = svf_step(s1, s2, torch.stack([g, k, one, -k, -one], -1), output)
            own = torch.where(arrives[:, min(n, arrives.shape[1] - 1)].unsqueeze(1) > 0, cut, output)

        def average(power: Tensor, averaging: Tensor = averaging) -> Tensor:
            nonlocal averaged
            averaged = averaged + averaging * (power - averaged)
            return averaged

        def follow(x: Tensor, rise: Tensor = rise, fall: Tensor = fall) -> Tensor:
            nonlocal state
            state = follower_step(state, rise, fall, x, kind)
            return state[1]

        level = (1.0 - link) * own.abs() + link * combine_channels(own, mode)
        reduced = reduction(level, tuple(curve), bool(rms), followed, average, follow)
        output = x[..., n] * amplitude(-reduced)
        out.append(output)
    return torch.stack(out, -1)


feed_forward = Recursion("compressor.feed_forward", _gain(reference.follower), _gain(parallel.follower))
# It compares in every frame with what it has just done, so there is no parallel form.
feedback = Recursion("compressor.feedback", _feedback)


def compressor_gain(level: Tensor, settings: Tensor, choices: list[int], path: RecursionPath = "auto") -> Tensor:
    """The gain of a compressor, from the rectified level of its detectors (batch, detectors, time).

    Args:
        settings: (rows, ticks, 9): threshold in dB, slope, knee in dB, range in dB, makeup in dB, mix; and, held, rise, fall
            and the averaging coefficient.
        choices: RMS (0 or 1); what is followed (0 reduction, 1 level, 2 power); how (see `reference.follower_step`).
    """
    return feed_forward(level, settings, options=choices, path=path)


def feedback_compressor(x: Tensor, settings: Tensor, choices: list[int], path: RecursionPath = "auto") -> Tensor:
    """A compressor whose detector measures its own last output; up to the reduced signal, before makeup and mix.

    Args:
        x: (batch, channels, time).
        settings: (rows, ticks, 10): threshold in dB, slope, knee in dB, range in dB, link, g and k of the low cut (g is 0 in
            ticks in which it is off); and, held, rise, fall and the averaging coefficient.
        choices: low cut on, RMS (0 or 1 each), what is followed and how (as in `compressor_gain`), channel mode (0 maximum,
            1 mean, 2 mean of powers, 3 mean of magnitudes).
    """
    return feedback(x, settings, options=choices, path=path)
