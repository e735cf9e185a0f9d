"""The recursions that effects share, in plain torch, sample by sample: readable, on any device, the definition of the others.

The fast forms (`fast`) and the engine are held to these. Coefficients are (rows, ticks, …) with one row for all items or one
for each, and one tick for a constant or one for every 32 frames; unless it says "held", they move within a tick on a
straight line from the previous tick's (see `curves.ramp`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .curves import TICK_FRAMES, hold, ramp
from .gain_curve import root


def svf_step(s1: Tensor, s2: Tensor, c: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One frame of a trapezoidal state-variable filter (A. Simper 2013) in increments of its two states.

    Args:
        s1, s2: states; x: input.
        c: (…, 5): g > 0 (warped frequency), k > 0 (damping), and the mix m0, m1, m2 of input, band pass and low pass.

    Returns:
        The next states and the output.
    """
    g, k, m0, m1, m2 = c.unbind(-1)
    damping = g + k
    step = 2.0 * g / (1.0 + g * damping)
    u = x - s2
    next1 = s1 + step * (u - damping * s1)
    next2 = s2 + step * (g * u + s1)
    y = m0 * x + 0.5 * m1 * (s1 + next1) + 0.5 * m2 * (s2 + next2)
    return next1, next2, y


def svf_cascade(x: Tensor, c: Tensor) -> Tensor:
    """Filters in series on x (batch, channels, time); c: (rows, ticks, sections, 5)."""
    frames = x.shape[-1]
    moving = ramp(c, frames)
    for section in range(c.shape[2]):
        s1 = s2 = x.new_zeros(x.shape[:2])
        out = []
        for n in range(frames):
            now = moving[:, min(n, moving.shape[1] - 1), section].unsqueeze(1)
            s1, s2, y = svf_step(s1, s2, now, x[..., n])
            out.append(y)
        x = torch.stack(out, -1)
    return x


def follower_step(
    state: tuple[Tensor, Tensor, Tensor], rise: Tensor, fall: Tensor, x: Tensor, kind: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One frame of a level follower (Giannoulis et al. 2012, section 2.3); the state is (peak, level, smoothed).

    `rise` and `fall` are 1 - exp(-1 / (time constant × sample rate)).

    Args:
        kind: 0 branching: one pole that changes its coefficient with the direction. 1 decoupled: a peak that falls with the
            release, smoothed with the attack. 2 two stages (F. Adriaensen, zita-dc1): smoothed with the attack, and held up
            by a peak that falls to 0 with the release and by a level that follows this peak with the release.
    """
    peak, level, smoothed = state
    if kind == 1:
        peak = torch.maximum(x, peak + fall * (x - peak))
        return peak, level + rise * (peak - level), smoothed
    if kind == 2:
        smoothed = smoothed + rise * (x - smoothed)
        peak = torch.maximum(smoothed, peak - fall * peak)
        return peak, torch.maximum(smoothed, level + fall * (peak - level)), smoothed
    difference = x - level
    return peak, level + torch.where(difference > 0, rise, fall) * difference, smoothed


def follower(x: Tensor, c: Tensor, options: list[int]) -> Tensor:
    """Follow x (batch, channels, time); c: (rows, ticks, 2): rise and fall, held; options: kind (see `follower_step`)."""
    (kind,) = options
    moving = hold(c, x.shape[-1])
    zero = x.new_zeros(x.shape[:2])
    state = (zero, zero, zero)
    out = []
    for n in range(x.shape[-1]):
        rise, fall = moving[:, min(n, moving.shape[1] - 1)].unsqueeze(1).unbind(-1)
        state = follower_step(state, rise, fall, x[..., n], kind)
        out.append(state[1])
    return torch.stack(out, -1)


def allpass(x: Tensor, gain: Tensor, delay: list[int]) -> Tensor:
    """Schroeder's all-pass on x (batch, channels, time): v[n] = x[n] + g v[n-D], y[n] = v[n-D] - g v[n].

    Args:
        gain: (rows, ticks); delay: frames, one for each channel.
    """
    moving = ramp(gain, x.shape[-1])
    memory: list[Tensor] = []
    out = []
    for n in range(x.shape[-1]):
        g = moving[:, min(n, moving.shape[1] - 1)].unsqueeze(1)
        columns = [memory[n - d][:, c] if n >= d else torch.zeros_like(x[:, c, n]) for c, d in enumerate(delay)]
        delayed = torch.stack(columns, 1)
        v = x[..., n] + g * delayed
        out.append(delayed - g * v)
        memory.append(v)
    return torch.stack(out, -1)


def cubic_weights(f: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Third-order Lagrange interpolation for fractions 0 to 1 of a frame, newest frame first."""
    a, b = (f + 1.0) * (f - 1.0), f * (f - 2.0)
    return -b * (f - 1.0) / 6.0, a * (f - 2.0) / 2.0, -b * (f + 1.0) / 2.0, a * f / 6.0


def delay_loop(x: Tensor, settings: Tensor, whole: Tensor, fraction: Tensor) -> Tensor:
    """A delay with feedback on x (batch, channels, time), whose channels are in pairs that feed each other.

    Args:
        settings: (rows, ticks, 6): feedback, cross-feed, the coefficients of the low cut's and the high cut's one-pole
            low-passes, the saturation k of v / sqrt(1 + (k v)²), and how far the cuts are there.
        whole, fraction: (rows, channels, time), whose sum is the delay in frames, at least 2.
    """
    channels, frames = x.shape[1:]
    moving = ramp(settings, frames)
    nearest = whole.detach().round()
    rest = (whole - nearest) + fraction
    more = rest.detach().floor()
    weights = cubic_weights(rest - more)
    delays = (nearest + more).clamp(min=2.0).long()
    other = [min(c ^ 1, channels - 1) for c in range(channels)]
    silence = torch.zeros_like(x[..., 0])
    line: list[Tensor] = []
    high = low = silence
    out = []

    def past(frame: int, taken: list[list[int]]) -> Tensor:
        """A frame of the line for each row and channel, so many frames ago."""
        rows = [
            torch.stack([line[frame - d][:, c] if frame >= d else silence[:, c] for c, d in enumerate(row)], 1) for row in taken
        ]
        return rows[0] if len(rows) == 1 else torch.stack([r[i] for i, r in enumerate(rows)])

    for n in range(frames):
        feedback, cross, low_cut, high_cut, saturation, filtered = (
            moving[:, min(n, moving.shape[1] - 1)].unsqueeze(1).unbind(-1)
        )
        taken = delays[..., n].tolist()
        delayed = silence
        for i, weight in enumerate(weights):
            delayed = delayed + weight[..., n] * past(n, [[d - 1 + i for d in row] for row in taken])
        high = high + high_cut * (delayed - high)
        low = low + low_cut * (high - low)
        v = delayed + filtered * ((high - low) - delayed)
        y = v / torch.sqrt(1.0 + (saturation * v) ** 2)
        line.append(x[..., n] + feedback * (y + cross * (y[:, other] - y)))
        out.append(y)
    return torch.stack(out, -1)


LINES, PAIRS = 16, 8
_SIGNS = (1, 1, -1, 1, -1, -1, 1, -1, 1, -1, -1, 1, 1, -1, 1, 1)


def hadamard(x: Tensor) -> Tensor:
    """The orthonormal Hadamard matrix of order 16 on the last axis, by butterflies."""
    for stride in (8, 4, 2, 1):
        pairs = x.reshape(*x.shape[:-1], -1, 2, stride)
        a, b = pairs.unbind(-2)
        x = torch.stack([a + b, a - b], -2).flatten(-3)
    return x * 0.25


def entrance(channels: int, like: Tensor) -> Tensor:
    """How channel (i modulo channels) enters line i: (16,), energy 1 for each channel."""
    lines = [len(range(i % channels, LINES, channels)) for i in range(LINES)]
    return torch.tensor([s / n**0.5 for s, n in zip(_SIGNS, lines, strict=True)], dtype=like.dtype, device=like.device)


def feedback_network(x: Tensor, shelf: Tensor, turns: Tensor, lines: list[int]) -> Tensor:
    """A feedback delay network of sixteen lines (Jot and Chaigne 1991) with a slowly turning orthogonal matrix.

    Args:
        x: (batch, channels, time), at most 16 channels; channel c is heard at the entrance of line c.
        shelf: (rows, ticks, 2, 5, 16): g, k, m0, m1, m2 of the two shelves of every line.
        turns: (rows, knots, 2, 8): cosine and sine of the angle between line i and i + 8; one knot for a constant, or one
            at the start of each tick and at the end, with a straight line between knots.
        lines: 16 delays in frames.
    """
    frames, channels = x.shape[-1], x.shape[1]
    moving = ramp(shelf, frames).transpose(-1, -2)  # rows, frames, 2, 16, 5
    if turns.shape[1] > 1:
        at = torch.arange(frames, device=x.device)
        tick, share = at // TICK_FRAMES, ((at % TICK_FRAMES + 1).to(x.dtype) / TICK_FRAMES).reshape(1, -1, 1, 1)
        turning = turns[:, tick] + (turns[:, tick + 1] - turns[:, tick]) * share
    else:
        turning = turns
    enter = entrance(channels, x)
    batch = x.shape[0]
    states = [x.new_zeros(batch, LINES) for _ in range(4)]
    memory: list[Tensor] = []
    out = []
    for n in range(frames):
        columns = [memory[n - d][:, i] if n >= d else x.new_zeros(batch) for i, d in enumerate(lines)]
        y = torch.stack(columns, 1)
        now = moving[:, min(n, moving.shape[1] - 1)]
        states[0], states[1], y = svf_step(states[0], states[1], now[:, 0], y)
        states[2], states[3], y = svf_step(states[2], states[3], now[:, 1], y)
        cosine, sine = turning[:, min(n, turning.shape[1] - 1)].unbind(1)
        a, b = y[:, :PAIRS], y[:, PAIRS:]
        y = hadamard(torch.cat([cosine * a - sine * b, sine * a + cosine * b], 1))
        out.append(y[:, :channels])
        entering = x[:, [i % channels for i in range(LINES)], n]
        memory.append(y + enter * entering)
    return torch.stack(out, -1)


def combine_channels(x: Tensor, mode: int) -> Tensor:
    """All channels (axis 1) as one: 0 the largest magnitude, 1 the magnitude of the mean, 2 the root of the mean power, 3
    the mean of the magnitudes."""
    if x.shape[1] == 1 and mode < 2:
        return x.abs()
    if mode == 0:
        return x.abs().amax(1, keepdim=True)
    if mode == 1:
        return x.mean(1, keepdim=True).abs()
    if mode == 3:
        return x.abs().mean(1, keepdim=True)
    return root((x * x).mean(1, keepdim=True))


def gate_open(above_upper: Tensor, above_lower: Tensor, hold: Tensor) -> Tensor:
    """Where a gate is open: from where the level is at or above the upper threshold, while it is at or above the lower one,
    and for the hold time after.

    Args:
        above_upper, above_lower: bool, (batch, channels, time); hold: frames, (rows, time) or (rows, 1).
    """
    batch, channels, frames = above_upper.shape
    is_open = torch.zeros(batch, channels, dtype=torch.bool, device=above_upper.device)
    since = torch.zeros(batch, channels, dtype=torch.int64, device=above_upper.device)
    out = []
    for n in range(frames):
        above = torch.where(is_open, above_lower[..., n], above_upper[..., n])
        since = torch.where(above, 0, since + 1)
        is_open = above | (is_open & (since <= hold[:, min(n, hold.shape[1] - 1)].unsqueeze(1)))
        out.append(is_open)
    return torch.stack(out, -1) if out else above_upper
