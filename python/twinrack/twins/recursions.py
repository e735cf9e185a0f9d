"""Every recursion under one name, on the fast path where there is one (CPU, float32 and float64), else on the reference.

What the arguments mean stands in `reference`; the two paths are held together by gradcheck and by parity tests.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from . import fast, reference

Path = Literal["auto", "fast", "reference"]


def _use_fast(x: Tensor, path: Path) -> bool:
    possible = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    if path == "fast" and not possible:
        raise ValueError(f"the fast path needs float32 or float64 on the CPU, not {x.dtype} on {x.device}; use path='auto'")
    return possible and path != "reference"


def _checked(x: Tensor) -> Tensor:
    if x.dim() != 3:
        raise ValueError(f"audio has shape {tuple(x.shape)}; give (batch, channels, time)")
    return x


def _run(function: Any, *arguments: Any) -> Tensor:
    result: Tensor = function.apply(*arguments)
    return result


def svf_cascade(x: Tensor, c: Tensor, path: Path = "auto") -> Tensor:
    """Trapezoidal state-variable filters in series: x (batch, channels, time), c (rows, ticks, sections, 5)."""
    c = c.to(x.dtype)
    if c.shape[2] == 0 or x.shape[-1] == 0:
        return _checked(x)
    return _run(fast.SvfCascade, _checked(x), c) if _use_fast(x, path) else reference.svf_cascade(_checked(x), c)


def follower(x: Tensor, c: Tensor, decoupled: bool, path: Path = "auto") -> Tensor:
    """A level follower with attack and release: x (batch, channels, time), c (rows, ticks, 2)."""
    c = c.to(x.dtype)
    if _use_fast(_checked(x), path):
        return _run(fast.Follower, x, c, decoupled)
    return reference.follower(x, c, decoupled)


def allpass(x: Tensor, gain: Tensor, delay: list[int], path: Path = "auto") -> Tensor:
    """Schroeder's all-pass: x (batch, channels, time), gain (rows, ticks), delay in frames for each channel."""
    gain = gain.to(x.dtype)
    if _use_fast(_checked(x), path):
        return _run(fast.Allpass, x, gain, delay)
    return reference.allpass(x, gain, delay)


def feedback_network(x: Tensor, shelf: Tensor, turns: Tensor, lines: list[int], path: Path = "auto") -> Tensor:
    """A sixteen-line feedback delay network: x (batch, channels, time); see `reference.feedback_network`."""
    shelf, turns = shelf.to(x.dtype), turns.to(x.dtype)
    if _use_fast(_checked(x), path):
        return _run(fast.FeedbackNetwork, x, shelf, turns, lines)
    return reference.feedback_network(x, shelf, turns, lines)


def feedback_compressor(x: Tensor, settings: Tensor, choices: list[int], path: Path = "auto") -> Tensor:
    """A compressor that listens to its output: x (batch, channels, time); see `reference.feedback_compressor`."""
    settings = settings.to(x.dtype)
    if _use_fast(_checked(x), path):
        return _run(fast.FeedbackCompressor, x, settings, choices)
    return reference.feedback_compressor(x, settings, choices)


def gate_open(above_upper: Tensor, above_lower: Tensor, hold: Tensor, path: Path = "auto") -> Tensor:
    """Where a gate is open: bool (batch, channels, time); see `reference.gate_open`. Has no gradient."""
    if above_upper.device.type == "cpu" and path != "reference":
        return fast.gate_open(above_upper, above_lower, hold)
    return reference.gate_open(above_upper, above_lower, hold)
