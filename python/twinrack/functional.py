"""The recursions as functions, with torch's conventions: exact in the time domain, differentiable in everything.

Sounds are (…, time), float32 or float64; half precision is taken as float32 and given back as it came, also under
`torch.autocast`. On the CPU they run as C++ sweeps forwards and backwards, elsewhere in plain torch. They work under
`torch.vmap`, `torch.func` and `torch.compile`; second derivatives need `path="reference"`.

    import torch
    from twinrack.functional import sosfilt

    y = sosfilt(x, sos)  # as scipy.signal.sosfilt, with gradients for x and sos
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import must_be
from .twins import recursions
from .twins.curves import numbers_in, together
from .twins.dynamics import one_pole_coefficient
from .twins.precision import full_precision
from .twins.recursions import RecursionPath

__all__ = ["envelope_follower", "sosfilt", "svf_cascade"]


def _as_batch(x: Tensor, name: str) -> Tensor:
    if x.dim() == 0 or not x.dtype.is_floating_point:
        raise ValueError(f"{name} is {x.dtype} of shape {tuple(x.shape)}; give a float tensor (…, time)")
    return x.reshape(-1, 1, x.shape[-1]) if x.dim() < 3 else x.reshape(-1, *x.shape[-2:])


@full_precision()
def sosfilt(x: Tensor, sos: Tensor, path: RecursionPath = "auto") -> Tensor:
    """Filter along time with second-order sections in series; it begins at rest.

    Args:
        x: (…, time), or (batch, …, time).
        sos: (sections, 6) as scipy has them: b0, b1, b2, a0, a1, a2 of each; or (batch, sections, 6) with a series for each
            item of x's first dimension. Every section must be stable: its poles inside the unit circle.
        path: "fast", "parallel", "reference" or "auto" (fast where possible, else parallel).

    Returns:
        As x. Each section runs as a state-variable filter (A. Simper, 2013) with the same transfer function, which float32
        suits better than the direct form at low frequencies.

    Raises:
        ValueError: wrong shapes, or a section that is not stable (its number is named).
    """
    if sos.dim() not in (2, 3) or sos.shape[-1] != 6:
        raise ValueError(f"sos has shape {tuple(sos.shape)}; give (sections, 6) or (batch, sections, 6)")
    if sos.dim() == 3 and (x.dim() < 2 or x.shape[0] != sos.shape[0]):
        raise ValueError(f"sos is for a batch of {sos.shape[0]}, x has shape {tuple(x.shape)}")
    b, (a0, a1, a2) = sos[..., :3].double(), sos[..., 3:].double().unbind(-1)
    b0, b1, b2 = (b / a0.unsqueeze(-1)).unbind(-1)
    a1, a2 = a1 / a0, a2 / a0
    at_one, at_minus_one = 1.0 + a1 + a2, 1.0 - a1 + a2  # of the denominator, z = 1 and z = -1
    stable = numbers_in((at_one > 0) & (at_minus_one > 0) & (a2 < 1.0))
    if not bool(stable.all()):
        section = int((~stable).reshape(-1, stable.shape[-1]).any(0).nonzero()[0])
        raise ValueError(f"section {section} of sos is not stable: a pole lies on or outside the unit circle")
    g = torch.sqrt(at_one / at_minus_one)
    k = 2.0 * (1.0 - a2) / (at_minus_one * g)
    # The numerator at the same two points and in its first coefficient, as input, band pass and low pass.
    m0 = (b0 - b1 + b2) / at_minus_one
    m2 = (b0 + b1 + b2) / at_one - m0
    m1 = ((b0 - m0) * 4.0 / at_minus_one - m2 * g * g) / g
    c = torch.stack(together(g, k, m0, m1, m2), -1)
    c = c.unsqueeze(-3)  # ticks
    return svf_cascade(x, c if sos.dim() == 3 else c.unsqueeze(0), path)


@full_precision()
def svf_cascade(x: Tensor, c: Tensor, path: RecursionPath = "auto") -> Tensor:
    """Trapezoidal state-variable filters in series (A. Simper, 2013), stable for any g > 0 and k > 0, also while they move.

    Args:
        x: (…, time), or (batch, …, time).
        c: (rows, ticks, sections, 5): warped frequency g, damping k, and how much of the input, the band pass and the low pass
            come out. One row for all or one for each item of x's first dimension; one tick for filters that stay, or one for
            every 32 frames, with straight lines between them.
        path: "fast", "parallel", "reference" or "auto" (fast where possible, else parallel).

    Returns:
        As x.
    """
    if c.dim() != 4 or c.shape[-1] != 5:
        raise ValueError(f"c has shape {tuple(c.shape)}; give (rows, ticks, sections, 5)")
    batched = _by_rows(_as_batch(x, "x"), x, c.shape[0])
    return recursions.svf_cascade(batched, c, path).reshape(x.shape)


def _by_rows(batched: Tensor, x: Tensor, rows: int) -> Tensor:
    """With several rows the first dimension is the batch; all others are channels."""
    if rows == 1:
        return batched
    if x.dim() < 2 or x.shape[0] != rows:
        raise ValueError(f"there are {rows} rows of coefficients; x's first dimension must be as long, it is {tuple(x.shape)}")
    return x.reshape(rows, -1, x.shape[-1])


@full_precision()
def envelope_follower(
    x: Tensor,
    attack_ms: Tensor | float,
    release_ms: Tensor | float,
    sample_rate: float,
    *,
    decoupled: bool = False,
    path: RecursionPath = "auto",
) -> Tensor:
    """Follow a level with one time constant upwards and another downwards (Giannoulis, Massberg, Reiss, JAES 60(6), 2012).

    Args:
        x: (…, time), or (batch, …, time): a level such as a rectified sound, or decibels.
        attack_ms, release_ms: time constants, in which 63 % of a step is done: numbers, or (batch,) tensors.
        sample_rate: Hz.
        decoupled: a peak that falls with the release, smoothed with the attack; else one pole that branches.
        path: "fast", "parallel", "reference" or "auto" (fast where possible, else parallel).

    Returns:
        As x. It begins at 0. Where x equals the level, the gradient is that of the way down.
    """
    times = together(*(torch.as_tensor(t, dtype=torch.float64, device=x.device) for t in (attack_ms, release_ms)))
    for name, t in zip(("attack_ms", "release_ms"), times, strict=True):
        if not bool((numbers_in(t) > 0).all()):
            raise must_be(name, "above 0", float(numbers_in(t).min()))
    c = one_pole_coefficient(torch.stack(times, -1), sample_rate)
    c = c.reshape(-1, 1, 2)
    batched = _by_rows(_as_batch(x, "x"), x, c.shape[0])
    return recursions.follower(batched, c, decoupled, path).reshape(x.shape)
