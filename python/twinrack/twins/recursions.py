"""Every recursion under one name: on the CPU the fast form in C++ (float32 and float64), on other devices the parallel one, and
the reference where it is asked for or nothing else is there.

What the arguments mean stands in `reference`; the paths are held together by gradcheck and by parity tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from . import fast, filter_design, parallel, reference

Path = Literal["auto", "fast", "parallel", "reference"]


def _use_fast(x: Tensor, path: Path) -> bool:
    possible = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    if path == "fast" and not possible:
        raise ValueError(f"the fast path needs float32 or float64 on the CPU, not {x.dtype} on {x.device}; use path='auto'")
    return possible and path in ("auto", "fast")


def _other(name: str, path: Path) -> Callable[..., Tensor]:
    """The form that is not in C++."""
    found: Callable[..., Tensor] = getattr(reference if path == "reference" else parallel, name)
    return found


def _checked(x: Tensor) -> Tensor:
    if x.dim() != 3:
        raise ValueError(f"audio has shape {tuple(x.shape)}; give (batch, channels, time)")
    return x


def design_filters(
    shapes: list[str],
    match: bool,
    frequency_hz: Tensor,
    gain_db: Tensor,
    q: Tensor,
    sample_rate: float,
    path: Path = "auto",
) -> Tensor:
    """Coefficients of filters: frequencies in Hz, gains in dB and Qs (rows, ticks, sections), float64, give (…, sections, 5).

    What the shapes are and what comes out stands in `filter_design`.
    """
    if frequency_hz.device.type == "cpu" and path in ("auto", "fast"):
        numbers = [filter_design.SHAPES.index(shape) for shape in shapes]
        return fast.design_filters(numbers, match, frequency_hz, gain_db, q, sample_rate)
    columns = [
        filter_design.design_svf(shape, match, frequency_hz[..., i], gain_db[..., i], q[..., i], sample_rate)
        for i, shape in enumerate(shapes)
    ]
    return torch.stack(columns, -2)


def svf_cascade(x: Tensor, c: Tensor, path: Path = "auto") -> Tensor:
    """Trapezoidal state-variable filters in series: x (batch, channels, time), c (rows, ticks, sections, 5)."""
    c = c.to(x.dtype)
    if c.shape[2] == 0 or x.shape[-1] == 0:
        return _checked(x)
    return fast.svf_cascade(_checked(x), c, ()) if _use_fast(x, path) else _other("svf_cascade", path)(_checked(x), c)


def fir(x: Tensor, taps: tuple[float, ...], path: Path = "auto") -> Tensor:
    """A filter of fixed coefficients along time, x (batch, channels, time), summed in double precision; silence comes in."""
    if _use_fast(_checked(x), path):
        return fast.fir(x, taps)
    h = torch.tensor(taps, dtype=torch.float64, device=x.device).flip(0).reshape(1, 1, -1)
    flat = torch.nn.functional.pad(x.double().reshape(-1, 1, x.shape[-1]), (len(taps) - 1, 0))
    return torch.nn.functional.conv1d(flat, h).reshape(x.shape).to(x.dtype)


def follower(x: Tensor, c: Tensor, decoupled: bool, path: Path = "auto") -> Tensor:
    """A level follower with attack and release: x (batch, channels, time), c (rows, ticks, 2)."""
    c = c.to(x.dtype)
    if _use_fast(_checked(x), path):
        return fast.follower(x, c, (decoupled,))
    return _other("follower", path)(x, c, decoupled)


def compressor_gain(level: Tensor, settings: Tensor, choices: list[bool], path: Path = "auto") -> Tensor:
    """From the level that a compressor's detectors hear, (batch, detectors, time), to their gains: see
    `reference.compressor_gain`."""
    settings = settings.to(level.dtype)
    if _use_fast(_checked(level), path):
        return fast.compressor_gain(level, settings, (choices,))
    return _other("compressor_gain", path)(level, settings, choices)


def allpass(x: Tensor, gain: Tensor, delay: list[int], path: Path = "auto") -> Tensor:
    """Schroeder's all-pass: x (batch, channels, time), gain (rows, ticks), delay in frames for each channel."""
    gain = gain.to(x.dtype)
    if _use_fast(_checked(x), path):
        return fast.allpass(x, gain, (delay,))
    return _other("allpass", path)(x, gain, delay)


def feedback_network(x: Tensor, shelf: Tensor, turns: Tensor, lines: list[int], path: Path = "auto") -> Tensor:
    """A sixteen-line feedback delay network: x (batch, channels, time); see `reference.feedback_network`."""
    shelf, turns = shelf.to(x.dtype), turns.to(x.dtype)
    if _use_fast(_checked(x), path):
        return fast.feedback_network(x, shelf, turns, (lines,))
    return _other("feedback_network", path)(x, shelf, turns, lines)


def feedback_compressor(x: Tensor, settings: Tensor, choices: list[int], path: Path = "auto") -> Tensor:
    """A compressor that listens to its output: x (batch, channels, time); see `reference.feedback_compressor`."""
    settings = settings.to(x.dtype)
    if _use_fast(_checked(x), path):
        return fast.feedback_compressor(x, settings, (choices,))
    return reference.feedback_compressor(x, settings, choices)


def gate_open(above_upper: Tensor, above_lower: Tensor, hold: Tensor, path: Path = "auto") -> Tensor:
    """Where a gate is open: bool (batch, channels, time); see `reference.gate_open`. Has no gradient."""
    if above_upper.device.type == "cpu" and path in ("auto", "fast"):
        return fast.gate_open(above_upper, above_lower, hold)
    return _other("gate_open", path)(above_upper, above_lower, hold)
