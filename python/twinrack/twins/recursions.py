"""Recursions in their forms under one name: on the CPU the fast one in C++ (float32 and float64), on other devices the parallel
one, and the reference where it is asked for or there is no other.

What the arguments mean stands in `reference`; tests hold the forms to one another and to finite differences. What only one
effect needs stands in its folder, as `plugins/<id>/recursion.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor

from ..rack.card import FILTER_SHAPES
from . import fast, filter_design, parallel, reference

RecursionPath = Literal["auto", "fast", "parallel", "reference"]


def _use_fast(x: Tensor, path: RecursionPath) -> bool:
    possible = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    if path == "fast" and not possible:
        raise ValueError(f"the fast path needs float32 or float64 on the CPU, not {x.dtype} on {x.device}; use path='auto'")
    return possible and path in ("auto", "fast")


def _checked(x: Tensor) -> Tensor:
    if x.dim() != 3:
        raise ValueError(f"audio has shape {tuple(x.shape)}; give (batch, channels, time)")
    return x


class Recursion:
    """A recursion over time in its forms.

    Args:
        name: that of its sweep in C++, such as "compressor.feedback" for plugins/compressor/feedback_sweep.h.
        reference: the definition in plain torch, frame by frame: a function of x (batch, channels, time) and the coefficients
            (rows, ticks, …), and, where there are options, of a list of ints; gives y, as x.
        parallel: the same without a loop over frames, for other devices; without it they take the reference.
        coefficients: how many tensors of coefficients there are.

    Raises:
        ValueError: there is no such sweep.
    """

    def __init__(
        self,
        name: str,
        reference: Callable[..., Tensor],
        parallel: Callable[..., Tensor] | None = None,
        coefficients: int = 1,
    ) -> None:
        self.name = name
        self.reference = reference
        self.parallel = reference if parallel is None else parallel
        self.fast = fast.sweep(name, coefficients)
        RECURSIONS[name] = self

    def __call__(self, x: Tensor, *coefficients: Tensor, options: Sequence[int] = (), path: RecursionPath = "auto") -> Tensor:
        """Run on x (batch, channels, time); coefficients take its precision.

        Raises:
            ValueError: another shape; a path that is not possible for x.
        """
        given = [c.to(x.dtype) for c in coefficients]
        if _use_fast(_checked(x), path):
            return self.fast(x, *given, tuple(options))
        form = self.reference if path == "reference" else self.parallel
        return form(x, *given, *([list(options)] if options else []))


RECURSIONS: dict[str, Recursion] = {}


def find_recursion(name: str) -> Recursion:
    """The recursion of this name; an effect's own is imported from its folder.

    Raises:
        KeyError: there is none.
    """
    effect, dot, _ = name.partition(".")
    if dot:
        import_module(f"twinrack.plugins.{effect}.recursion")
    return RECURSIONS[name]


def design_filters(
    shapes: list[str],
    match: bool,
    frequency_hz: Tensor,
    gain_db: Tensor,
    q: Tensor,
    sample_rate: float,
    path: RecursionPath = "auto",
) -> Tensor:
    """Coefficients of filters: frequencies in Hz, gains in dB and Qs (rows, ticks, sections), float64, give (…, sections, 5).

    What the shapes are and what comes out stands in `filter_design`.
    """
    if frequency_hz.device.type == "cpu" and path in ("auto", "fast"):
        numbers = [FILTER_SHAPES.index(shape) for shape in shapes]
        return fast.design_filters(numbers, match, frequency_hz, gain_db, q, sample_rate)
    columns = [
        filter_design.design_svf(shape, match, frequency_hz[..., i], gain_db[..., i], q[..., i], sample_rate)
        for i, shape in enumerate(shapes)
    ]
    return torch.stack(columns, -2)


_svf_cascade = Recursion("svf_cascade", reference.svf_cascade, parallel.svf_cascade)
_follower = Recursion("follower", reference.follower, parallel.follower)
_allpass = Recursion("allpass", reference.allpass, parallel.allpass)
_delay_loop = Recursion("delay_loop", reference.delay_loop, coefficients=3)
_feedback_network = Recursion("feedback_network", reference.feedback_network, parallel.feedback_network, coefficients=2)


def svf_cascade(x: Tensor, c: Tensor, path: RecursionPath = "auto") -> Tensor:
    """Trapezoidal state-variable filters in series: x (batch, channels, time), c (rows, ticks, sections, 5)."""
    if c.shape[2] == 0 or x.shape[-1] == 0:
        return _checked(x)
    return _svf_cascade(x, c, path=path)


def fir(x: Tensor, taps: tuple[float, ...], path: RecursionPath = "auto") -> Tensor:
    """A filter of fixed coefficients along time, x (batch, channels, time), summed in double precision; silence comes in."""
    if _use_fast(_checked(x), path):
        return fast.fir(x, taps)
    h = torch.tensor(taps, dtype=torch.float64, device=x.device).flip(0).reshape(1, 1, -1)
    flat = torch.nn.functional.pad(x.double().reshape(-1, 1, x.shape[-1]), (len(taps) - 1, 0))
    return torch.nn.functional.conv1d(flat, h).reshape(x.shape).to(x.dtype)


def follower(x: Tensor, c: Tensor, decoupled: bool, path: RecursionPath = "auto") -> Tensor:
    """A level follower with attack and release: x (batch, channels, time), c (rows, ticks, 2)."""
    return _follower(x, c, options=[int(decoupled)], path=path)


def allpass(x: Tensor, gain: Tensor, delay: list[int], path: RecursionPath = "auto") -> Tensor:
    """Schroeder's all-pass: x (batch, channels, time), gain (rows, ticks), delay in frames for each channel."""
    return _allpass(x, gain, options=delay, path=path)


def delay_loop(x: Tensor, settings: Tensor, delay: Tensor, path: RecursionPath = "auto") -> Tensor:
    """A delay with feedback, whose channels feed each other in pairs: x (batch, channels, time), `settings` as for
    `reference.delay_loop`, and the delay of every frame, at least 2 frames, (rows, channels, time), in double precision."""
    whole = delay.detach().floor()
    return _delay_loop(x, settings, whole, delay - whole, path=path)


def feedback_network(x: Tensor, shelf: Tensor, turns: Tensor, lines: list[int], path: RecursionPath = "auto") -> Tensor:
    """A sixteen-line feedback delay network: x (batch, channels, time); see `reference.feedback_network`."""
    return _feedback_network(x, shelf, turns, options=lines, path=path)


def gate_open(above_upper: Tensor, above_lower: Tensor, hold: Tensor, path: RecursionPath = "auto") -> Tensor:
    """Where a gate is open: bool (batch, channels, time); see `reference.gate_open`. Has no gradient."""
    if above_upper.device.type == "cpu" and path in ("auto", "fast"):
        return fast.gate_open(above_upper, above_lower, hold)
    form = reference.gate_open if path == "reference" else parallel.gate_open
    return form(above_upper, above_lower, hold)


def __getattr__(name: str) -> Any:
    """Names of this module's earlier versions that are now in the folder of their effect."""
    if name in ("compressor_gain", "feedback_compressor"):
        return getattr(import_module("twinrack.plugins.compressor.recursion"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
