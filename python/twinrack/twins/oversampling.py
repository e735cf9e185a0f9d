"""Oversampling by half-band filters, as `dsp/oversampler-inl.h` does it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import _engine
from .curves import delay
from .recursions import RecursionPath, allpass, fir


@functools.cache
def _design() -> dict[str, Any]:
    return _engine.halfbands()


def _stages(factor: int) -> range:
    return range(factor.bit_length() - 1)


def latency_frames(factor: int, minimum_phase: bool = False) -> int:
    """Frames by which oversampling delays: exact with linear phase, else that of low frequencies within half a frame."""
    frames: int = _design()["allpass_latency" if minimum_phase else "latency"][factor.bit_length() - 1]
    return frames


def oversampled(
    x: Tensor, factor: int, minimum_phase: bool, function: Callable[[Tensor], Tensor], path: RecursionPath
) -> Tensor:
    """A function without memory, worked out at `factor` times the rate of x (batch, channels, time)."""
    if factor == 1:
        return function(x)
    up, down = (_up_minimum, _down_minimum) if minimum_phase else (_up_linear, _down_linear)
    for stage in _stages(factor):
        x = up(x, stage, path)
    x = function(x)
    for stage in reversed(_stages(factor)):
        x = down(x, stage, path)
    return x


def _fir(x: Tensor, stage: int, path: RecursionPath) -> Tensor:
    """The coefficients at even places; summed in double precision, which a loud drive needs."""
    return fir(x, tuple(_design()["taps"][stage]), path)


def _interleaved(even: Tensor, odd: Tensor) -> Tensor:
    return torch.stack([even, odd], -1).flatten(-2)


def _up_linear(x: Tensor, stage: int, path: RecursionPath) -> Tensor:
    return _interleaved(_fir(x, stage, path), delay(x, _design()["m"][stage]))


def _down_linear(x: Tensor, stage: int, path: RecursionPath) -> Tensor:
    m, wait = _design()["m"][stage], _design()["wait"][stage]
    return 0.5 * (_fir(delay(x[..., 0::2], wait), stage, path) + delay(x[..., 1::2], m + 1 + wait))


def _chain(x: Tensor, stage: int, which: int, path: RecursionPath) -> Tensor:
    for coefficient in _design()["allpasses"][stage][which::2]:
        gain = torch.full((1, 1), -coefficient, dtype=x.dtype, device=x.device)
        x = allpass(x, gain, [1] * x.shape[1], path)
    return x


def _up_minimum(x: Tensor, stage: int, path: RecursionPath) -> Tensor:
    return _interleaved(_chain(x, stage, 0, path), _chain(x, stage, 1, path))


def _down_minimum(x: Tensor, stage: int, path: RecursionPath) -> Tensor:
    return 0.5 * (_chain(x[..., 1::2], stage, 0, path) + _chain(x[..., 0::2], stage, 1, path))
