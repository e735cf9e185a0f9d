"""Values over time as the engine has them: one a tick of 32 frames, held or on a straight line within the tick."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _engine

TICK_FRAMES: int = _engine.TICK_FRAMES


def together(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors brought to one shape."""
    broadcast: tuple[Tensor, ...] = torch.broadcast_tensors(*tensors)  # type: ignore[no-untyped-call]
    return broadcast


def numbers_in(t: Tensor) -> Tensor:
    """A tensor whose numbers can be looked at: itself, or, under `torch.vmap` and `torch.func`, what lies below."""
    t = t.detach()
    while torch._C._functorch.is_functorch_wrapped_tensor(t):
        t = torch._C._functorch.get_unwrapped(t)
    return t


def tick_count(frames: int) -> int:
    return -(-frames // TICK_FRAMES)


def ramp(c: Tensor, frames: int) -> Tensor:
    """From one value a tick to one a frame, on a straight line from the previous tick's value.

    Args:
        c: (rows, ticks, …); with one tick it is a constant.
        frames: how many.

    Returns:
        (rows, frames, …), or (rows, 1, …) for a constant. The first tick has nothing before it, so it is constant; the
        last frame of a tick has arrived at the tick's value.
    """
    if c.shape[1] == 1:
        return c
    before = torch.cat([c[:, :1], c[:, :-1]], dim=1)
    position = torch.arange(1, TICK_FRAMES + 1, dtype=c.dtype, device=c.device) / TICK_FRAMES
    position = position.reshape(1, 1, TICK_FRAMES, *[1] * (c.dim() - 2))
    line = before.unsqueeze(2) + (c - before).unsqueeze(2) * position
    return line.flatten(1, 2)[:, :frames]


def hold(c: Tensor, frames: int) -> Tensor:
    """From one value a tick to one a frame, held: (rows, ticks, …) to (rows, frames, …), or (rows, 1, …)."""
    return c if c.shape[1] == 1 else c.repeat_interleave(TICK_FRAMES, dim=1)[:, :frames]


def delay(x: Tensor, frames: int) -> Tensor:
    """`x` (…, time) later by whole frames, as long as before; silence comes in."""
    if frames == 0:
        return x
    remaining = x[..., : max(x.shape[-1] - frames, 0)]
    return torch.nn.functional.pad(remaining, (x.shape[-1] - remaining.shape[-1], 0))
