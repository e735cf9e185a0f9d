"""The recursions without a loop over frames, for devices that do many things at once: what `reference` computes, in whole
blocks and parallel scans.

- A linear recursion is a scan: two steps after each other are one step (G. E. Blelloch, Prefix sums and their applications,
  1990), so log2 of the length in turns suffices.
- A follower chooses between two linear steps by comparing with its own past. The choices are guessed, the scan gives levels,
  these give better choices, and so on until none changes; every turn makes at least one more frame final, and usually
  thousands. The gradient is that of the choices, as in `reference`.
- A delay in a loop allows blocks as long as the delay.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from .curves import TICK_FRAMES, hold, ramp
from .reference import LINES, PAIRS, entrance, hadamard

TURNS = 200  # after so many a follower's choices flicker between numbers that are equal but for rounding


def scan(a: Tensor, b: Tensor) -> Tensor:
    """s[n] = a[n] s[n-1] + b[n] from s = 0, along the last axis; a may have one frame for all."""
    step, frames = 1, b.shape[-1]
    while step < frames:
        b = b + a * F.pad(b[..., :-step], (step, 0))
        a = a * a if a.shape[-1] == 1 else a * F.pad(a[..., :-step], (step, 0))
        step *= 2
    return b


def scan_pairs(a: Tensor, b: Tensor) -> Tensor:
    """The same for states of two numbers: a (…, time or 1, 2, 2), b (…, time, 2)."""
    step, frames = 1, b.shape[-2]
    while step < frames:
        b = b + (a @ F.pad(b[..., :-step, :], (0, 0, step, 0)).unsqueeze(-1)).squeeze(-1)
        a = a @ a if a.shape[-3] == 1 else a @ F.pad(a[..., :-step, :, :], (0, 0, 0, 0, step, 0))
        step *= 2
    return b


def svf(x: Tensor, c: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """One filter on x (…, time), c (…, time or 1, 5), from the state `before` (…, 2); also the last state."""
    g, k, m0, m1, m2 = c.unbind(-1)
    damping = g + k
    step = 2.0 * g / (1.0 + g * damping)
    a = torch.stack([torch.stack([1.0 - step * damping, -step], -1), torch.stack([step, 1.0 - step * g], -1)], -2)
    b = torch.stack([step * x, step * g * x], -1)
    first = (a[..., 0, :, :] @ before.unsqueeze(-1)).squeeze(-1)
    b = torch.cat([b[..., :1, :] + first.unsqueeze(-2), b[..., 1:, :]], -2)
    after = scan_pairs(a, b)
    states = torch.cat([before.expand(*after.shape[:-2], 2).unsqueeze(-2), after], -2)
    sums = states[..., :-1, :] + states[..., 1:, :]
    return m0 * x + 0.5 * m1 * sums[..., 0] + 0.5 * m2 * sums[..., 1], states[..., -1, :]


def svf_cascade(x: Tensor, c: Tensor) -> Tensor:
    moving = ramp(c, x.shape[-1]).unsqueeze(1)  # rows, 1, frames, sections, 5
    for section in range(c.shape[2]):
        x, _ = svf(x, moving[..., section, :], x.new_zeros(*x.shape[:2], 2))
    return x


def follower(x: Tensor, c: Tensor, options: list[int]) -> Tensor:
    rise, fall = hold(c, x.shape[-1]).unsqueeze(1).unbind(-1)
    rise, fall = rise.expand(-1, -1, x.shape[-1]), fall.expand(-1, -1, x.shape[-1])
    if options[0] == 0:
        return branching(x, rise, fall)
    if options[0] == 2:
        smoothed, kept = scan(1.0 - rise, rise * x), 1.0 - fall
        return held_up(smoothed, kept, fall * held_up(smoothed, kept, torch.zeros_like(x)))
    peak = branching(x, torch.ones_like(rise), fall)
    return scan(1.0 - rise, rise * peak)


def branching(x: Tensor, rise: Tensor, fall: Tensor) -> Tensor:
    """One pole that changes its coefficient with the direction."""
    with torch.no_grad():
        up = x > 0.0
        for _ in range(TURNS):
            share = torch.where(up, rise, fall)
            level = scan(1.0 - share, share * x)
            again = x > F.pad(level[..., :-1], (1, 0))
            if torch.equal(again, up):
                break
            up = again
    share = torch.where(up, rise, fall)
    return scan(1.0 - share, share * x)


def held_up(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """y[n] = max(x[n], a[n] y[n-1] + b[n]) from y = 0, guessed and corrected like a follower's choices."""
    with torch.no_grad():
        up = x > b
        for _ in range(TURNS):
            y = scan(torch.where(up, 0.0, a), torch.where(up, x, b))
            again = x > a * F.pad(y[..., :-1], (1, 0)) + b
            if torch.equal(again, up):
                break
            up = again
    return scan(torch.where(up, 0.0, a), torch.where(up, x, b))


def allpass(x: Tensor, gain: Tensor, delay: list[int]) -> Tensor:
    moving = ramp(gain, x.shape[-1]).expand(-1, x.shape[-1])
    return torch.stack([_one_allpass(x[:, c], moving, d) for c, d in enumerate(delay)], 1)


def _one_allpass(x: Tensor, g: Tensor, delay: int) -> Tensor:
    delayed = x.new_zeros(x.shape[0], delay)
    out = []
    for start in range(0, x.shape[-1], delay):
        now = x[:, start : start + delay]
        length = now.shape[-1]
        share, before = g[:, start : start + length], delayed[:, :length]
        v = now + share * before
        out.append(before - share * v)
        delayed = v
    return torch.cat(out, -1)


def feedback_network(x: Tensor, shelf: Tensor, turns: Tensor, lines: list[int]) -> Tensor:
    frames, channels, batch = x.shape[-1], x.shape[1], x.shape[0]
    moving = ramp(shelf, frames).transpose(-1, -2).permute(0, 3, 1, 2, 4)  # rows, 16, frames or 1, 2, 5
    if turns.shape[1] > 1:
        at = torch.arange(frames, device=x.device)
        tick, share = at // TICK_FRAMES, ((at % TICK_FRAMES + 1).to(x.dtype) / TICK_FRAMES).reshape(1, -1, 1, 1)
        turns = turns[:, tick] + (turns[:, tick + 1] - turns[:, tick]) * share
    cosine, sine = turns.permute(2, 0, 3, 1)  # rows, 8, frames or 1 each
    entering = entrance(channels, x)[:, None] * x[:, [i % channels for i in range(LINES)]]
    states = [x.new_zeros(batch, LINES, 2) for _ in range(2)]
    block, longest = min(lines), max(lines)
    memory = x.new_zeros(batch, LINES, longest)
    out = []
    for start in range(0, frames, block):
        end = min(start + block, frames)
        length = end - start
        y = torch.stack([memory[:, i, longest - d : longest - d + length] for i, d in enumerate(lines)], 1)
        for i in range(2):
            now = moving[:, :, :, i] if moving.shape[2] == 1 else moving[:, :, start:end, i]
            y, states[i] = svf(y, now, states[i])
        turn = [t if t.shape[-1] == 1 else t[..., start:end] for t in (cosine, sine)]
        a, b = y[:, :PAIRS], y[:, PAIRS:]
        y = torch.cat([turn[0] * a - turn[1] * b, turn[1] * a + turn[0] * b], 1)
        y = hadamard(y.transpose(1, 2)).transpose(1, 2)
        out.append(y[:, :channels])
        memory = torch.cat([memory, y + entering[..., start:end]], -1)[..., -longest:]
    return torch.cat(out, -1)


def gate_open(above_upper: Tensor, above_lower: Tensor, hold: Tensor) -> Tensor:
    """Guessed and corrected like a follower's choices."""
    frames = above_upper.shape[-1]
    at = torch.arange(frames, device=above_upper.device)
    is_open = above_upper
    for _ in range(frames + 1):
        above = torch.where(F.pad(is_open[..., :-1], (1, 0)), above_lower, above_upper)
        last = torch.where(above, at, -1).cummax(-1).values
        held = at - last <= hold.unsqueeze(1)
        broken = torch.where(~above & ~held, at, -2).cummax(-1).values
        again = above | ((last >= 0) & (broken < last))
        if torch.equal(again, is_open):
            break
        is_open = again
    return is_open
