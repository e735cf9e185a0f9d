"""The low-frequency oscillator of `cpp/dsp/modulation/lfo-inl.h`: its phase is the sum of its rate, which holds for a tick."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .curves import TICK_FRAMES, delay, hold, numbers_in, ramp, tick_count, together
from .reference import cubic_weights
from .values import Context, Values

EDGE_S = 0.002  # that a jump of saw or square takes


def phase(rate_hz: Tensor, at: Context, per_tick: bool = False) -> Tensor:
    """Turns since the stream's start: rates (rows, ticks), in Hz, give (rows, frames), float64, or, `per_tick`, those at the
    end of each tick, (rows, ticks)."""
    ticks = tick_count(at.frames)
    per_frame = (rate_hz.double() / at.sample_rate).expand(-1, ticks)
    passed = torch.cumsum(TICK_FRAMES * per_frame, 1)
    before = TICK_FRAMES * per_frame[:, :1] * at.first_tick
    if per_tick:
        return passed + before
    start = torch.cat([torch.zeros_like(passed[:, :1]), passed[:, :-1]], 1) + before
    frames = torch.arange(TICK_FRAMES, dtype=torch.float64, device=rate_hz.device)
    return (start.unsqueeze(2) + per_frame.unsqueeze(2) * frames).flatten(1, 2)[:, : at.frames]


def wave(name: str, turns: Tensor, rate_hz: Tensor) -> Tensor:
    """A wave, -1 to 1: sine, triangle, saw, square or random.

    Args:
        turns: (rows, frames), float64.
        rate_hz: (rows, ticks); the jumps of saw and square take 2 ms, at most a quarter of a turn.
    """
    if name == "sine":
        return torch.sin(2.0 * math.pi * turns)
    if name in ("triangle", "square"):
        triangle = 1.0 - 4.0 * (_part(turns + 0.25) - 0.5).abs()
        if name == "triangle":
            return triangle
        return (triangle * (0.5 / _edge(rate_hz, turns))).clamp(-1.0, 1.0)
    if name == "saw":
        u, rise = _part(turns), 1.0 - _edge(rate_hz, turns)
        return torch.minimum(u * (2.0 / rise) - 1.0, 1.0 - (u - rise) * (2.0 / (1.0 - rise)))
    if name != "random":
        raise ValueError(f"there is no wave {name!r}; there are sine, triangle, saw, square and random")
    turn = turns.detach().floor()
    before, after = number(turn.long()), number(turn.long() + 1)
    u = turns - turn
    return before + u * u * (3.0 - 2.0 * u) * (after - before)


def number(turn: Tensor) -> Tensor:
    """The number in -1 to 1 that the random wave has at the beginning of a turn: a hash of its count (int64)."""
    h = ((turn & 0xFFFFFFFF) * 0x9E3779B1) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    h = h ^ (h >> 16)
    return h.double() / 2147483648.0 - 1.0


def _part(turns: Tensor) -> Tensor:
    return turns - turns.detach().floor()


def _edge(rate_hz: Tensor, turns: Tensor) -> Tensor:
    edge = (EDGE_S * rate_hz.double()).clamp(max=0.25)
    return edge if edge.shape[1] in (1, turns.shape[1]) else hold(edge, turns.shape[1])


NOTE_BEATS = {
    "free": 0.0, "4_bars": 16.0, "2_bars": 8.0, "1_bar": 4.0, "1_2": 2.0, "1_4_dotted": 1.5, "1_4": 1.0,
    "1_4_triplet": 2.0 / 3.0, "1_8_dotted": 0.75, "1_8": 0.5, "1_8_triplet": 1.0 / 3.0, "1_16": 0.25,
}  # fmt: skip


def rate_of(v: Values) -> Tensor:
    """The rate in Hz, (rows, ticks), of an effect that may be in time: with `rate_hz`, `sync` and `tempo_bpm`."""
    rate: Tensor = v.rate_hz if v.sync == "free" else v.tempo_bpm / (60.0 * NOTE_BEATS[v.sync])
    return rate


def oscillator(
    v: Values,
    at: Context,
    channels: int,
    ahead: float = 0.0,
    free: bool = False,
    per_tick: bool = False,
    rate_hz: Tensor | None = None,
) -> Tensor:
    """The wave of each channel, (rows, channels, frames), -1 to 1, float64, of an effect with the values `rate_hz`, `sync`,
    `tempo_bpm`, `start_deg` and, where it has them, `wave` and `stereo_deg`; so many turns ahead. `free` of the tempo;
    `per_tick`: at the end of each tick, (rows, channels, ticks). `rate_hz` instead of the values' own."""
    if rate_hz is None:
        rate_hz = v.rate_hz if free else rate_of(v)
    stereo_deg, shape = getattr(v, "stereo_deg", None), getattr(v, "wave", "sine")

    def moving(t: Tensor) -> Tensor:
        return t.double() if per_tick else ramp(t.double(), at.frames)

    turns = phase(rate_hz, at, per_tick) + moving(v.start_deg / 360.0) + ahead
    even = wave(shape, turns, rate_hz)
    if stereo_deg is None or channels == 1:
        return even.unsqueeze(1).expand(-1, channels, -1)
    odd = wave(shape, turns + moving(stereo_deg / 360.0), rate_hz)
    even, odd = together(even, odd)
    return torch.stack([odd if c % 2 else even for c in range(channels)], 1)


def delayed(x: Tensor, frames: Tensor) -> Tensor:
    """x (batch, channels, time) later by a number of frames, at least 1, that may be another one for every frame and channel.

    Args:
        frames: (rows, channels or 1, time or 1), float64; between whole ones by third-order Lagrange interpolation.
    """
    whole = frames.detach().floor()
    weights = cubic_weights((frames - whole).to(x.dtype))
    newest = whole.long() - 1
    if newest.numel() == 1:
        return sum((w * delay(x, int(newest) + i) for i, w in enumerate(weights)), torch.zeros_like(x))
    y = torch.zeros_like(x)
    for i, weight in enumerate(weights):
        source = torch.arange(x.shape[-1], device=x.device) - newest - i
        index = source.clamp(min=0).expand(*x.shape)
        y = y + weight * (source >= 0) * x.gather(2, index)
    return y


GLIDE_TICKS = 32  # over which the speed of a gliding delay changes


def gliding(target: Tensor, most: float) -> Tensor:
    """Delays in frames, (rows, ticks), that go to their target by at most so many frames in each tick, and of which the mean
    over 32 ticks is taken."""
    if target.shape[1] == 1:
        return target
    limited = target
    if bool((numbers_in(target).diff(dim=1).abs() > most).any()):
        now, out = target[:, 0], [target[:, 0]]
        for next_target in target.unbind(1)[1:]:
            now = now + (next_target - now).clamp(-most, most)
            out.append(now)
        limited = torch.stack(out, 1)
    before = limited[:, :1].expand(-1, GLIDE_TICKS - 1)
    return torch.nn.functional.avg_pool1d(torch.cat([before, limited], 1).unsqueeze(1), GLIDE_TICKS, stride=1)[:, 0]
