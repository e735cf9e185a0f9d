"""The recursions with C++ sweeps forwards and backwards: exact gradients, vectorised over batch and channels, on the CPU.

`sweep` makes such a function of any sweep by its name; `recursions` has them beside their other forms. They work under
`torch.vmap` and `torch.func`, whose extra dimension joins the batch, and as one piece each under `torch.compile`. Second
derivatives are refused here; the reference has them.
"""

# torch's Function API is untyped: ctx and the results of apply have no types
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _engine
from .speed import share_torch_threads

share_torch_threads()
_TWICE = "second derivatives (create_graph=True) need the reference path; use path='reference'"


def _array(t: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = t.detach().contiguous().numpy()
    return array


def _known(function: Any) -> Any:
    """Give each method its signature: torch asks for it at every call."""
    for method in (function.forward, function.vmap):
        method.__signature__ = inspect.signature(method)
    return function


def _apply(function: Any, *inputs: Any) -> Any:
    return function.apply(*inputs)


def _opaque(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """One piece for torch.compile: what happens inside is C++."""
    opaque: Callable[..., Tensor] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return opaque


def to_rows(grad: Tensor, rows: int, batch: int) -> Tensor:
    """Gradients that came out for every stream or item, summed to the rows that the coefficients had."""
    grad = grad.reshape(batch, -1, *grad.shape[1:]).sum(1)
    return grad.sum(0, keepdim=True) if rows == 1 and batch > 1 else grad


def _first_in_batch(size: int, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...], batch: int) -> list[Tensor]:
    """Signals and coefficients under vmap, (batch or rows, …) each, with its dimension as part of the batch of `batch`."""
    joined = []
    for t, dim in zip(tensors, dims, strict=True):
        t = t.unsqueeze(0).expand(size, *t.shape) if dim is None else t.movedim(dim, 0)
        joined.append(t.expand(size, batch, *t.shape[2:]).flatten(0, 1) if t.shape[1] != batch else t.flatten(0, 1))
    return joined


def _batch(size: int, x: Tensor, dim: int | None) -> int:
    return x.shape[0] if dim is None else x.movedim(dim, 0).shape[1]


class _Once(torch.autograd.Function):
    """A backward step: it refuses to be differentiated, instead of losing the second derivative without a word."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError(_TWICE)


def sweep(name: str, coefficients: int = 1) -> Callable[..., Tensor]:
    """The function (x, coefficients…, options) of a sweep in C++ (see cpp/adjoint/sweep.h).

    Args:
        name: such as "follower", or "compressor.feedback" for plugins/compressor/feedback_sweep.h.
        coefficients: how many tensors (rows, ticks, …) there are, with one row or one for each item of the batch.

    Returns:
        A function of x (batch, channels, time), float32 or float64 on the CPU, the coefficients in the same precision, and the
        options, a tuple of ints; gives y, as x.

    Raises:
        ValueError: there is no such sweep; of the function: sizes or options that do not fit.
    """
    if name not in _engine.sweep_names():
        raise ValueError(f"there is no sweep '{name}' in the extension; was it built with its file?")

    class Backward(_Once):
        """x, coefficients…, memory…, the gradient of y, options -> the gradients of x and of the coefficients."""

        @staticmethod
        def forward(x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
            *tensors, y_grad, options = rest
            arrays = [_array(t) for t in tensors]
            given, memory = arrays[:coefficients], arrays[coefficients:]
            threads = torch.get_num_threads()
            x_grad, grads = _engine.sweep_backward(name, _array(x), given, memory, _array(y_grad), options, threads)
            summed = [
                to_rows(torch.from_numpy(g), c.shape[0], x.shape[0]) for g, c in zip(grads, tensors[:coefficients], strict=True)
            ]
            return torch.from_numpy(x_grad), *summed

        @staticmethod
        def vmap(info: Any, dims: Any, x: Tensor, *rest: Any) -> Any:
            *given, options = rest
            batch = _batch(info.batch_size, x, dims[0])
            signals = (x, *given[:coefficients], given[-1])
            places = (*dims[: 1 + coefficients], dims[-2])
            x, *cs, grad = _first_in_batch(info.batch_size, places, signals, batch)
            x_grad, *c_grads = _apply(Backward, x, *cs, *given[coefficients:-1], grad, options)
            grads = [x_grad.unflatten(0, (info.batch_size, batch))]
            for g, c, dim in zip(c_grads, given, dims[1:], strict=False):
                rows = c.shape[0] if dim is None else c.movedim(dim, 0).shape[1]
                g = g.unflatten(0, (info.batch_size, batch))
                grads.append(g.sum(1, keepdim=True) if rows == 1 and batch > 1 else g)
            return tuple(grads), (0,) * len(grads)

    class Forward(torch.autograd.Function):
        """x, coefficients…, options -> y, memory…"""

        @staticmethod
        def forward(x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
            *cs, options = rest
            y, memory = _engine.sweep_forward(name, _array(x), [_array(c) for c in cs], options, torch.get_num_threads())
            return tuple(torch.from_numpy(a) for a in (y, *memory))

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            *tensors, ctx.options = inputs
            _, *memory = output
            ctx.mark_non_differentiable(*memory)
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(*tensors, *memory)

        @staticmethod
        def backward(ctx: Any, grad: Tensor | None, *_: Any) -> Any:
            if grad is None:
                return (None,) * (2 + coefficients)
            return *_apply(Backward, *ctx.saved_tensors, grad, ctx.options), None

        @staticmethod
        def vmap(info: Any, dims: Any, x: Tensor, *rest: Any) -> Any:
            *cs, options = rest
            batch = _batch(info.batch_size, x, dims[0])
            x, *cs = _first_in_batch(info.batch_size, dims[:-1], (x, *cs), batch)
            y, *memory = _apply(Forward, x, *cs, options)
            return (y.unflatten(0, (info.batch_size, batch)), *memory), (0, *[None] * len(memory))

    Forward.__name__, Backward.__name__ = name, f"{name}_back"
    for function in (Forward, Backward):
        _known(function)

    def run(x: Tensor, *rest: Any) -> Tensor:
        y: Tensor = _apply(Forward, x, *rest)[0]
        return y

    return _opaque(run)


class _Fir(torch.autograd.Function):
    """Linear, so its gradient is the same filter the other way round, as often as is asked for."""

    @staticmethod
    def forward(x: Tensor, taps: tuple[float, ...], backwards: bool) -> Tensor:
        return torch.from_numpy(_engine.fir(_array(x), list(taps), backwards, torch.get_num_threads()))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, ctx.taps, ctx.backwards = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _apply(_Fir, grad, ctx.taps, not ctx.backwards), None, None

    @staticmethod
    def vmap(info: Any, dims: Any, x: Tensor, taps: tuple[float, ...], backwards: bool) -> Any:
        x = x.movedim(dims[0], 0)
        return _apply(_Fir, x.flatten(0, 1), taps, backwards).unflatten(0, x.shape[:2]), 0


_known(_Fir)


@_opaque
def fir(x: Tensor, taps: tuple[float, ...]) -> Tensor:
    y: Tensor = _apply(_Fir, x, taps, False)
    return y


class _Recurrent(torch.autograd.Function):
    """One layer of LSTM or GRU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gru: bool, *given: Tensor) -> Tensor:
        arrays = [_array(t) for t in given]
        engine: Any = _engine
        y, states = engine.recurrent_forward(_array(x), *arrays, gru, torch.get_num_threads())
        ctx.save_for_backward(x, torch.from_numpy(states), *given)
        ctx.gru = gru
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(_TWICE)
        x, states, *given = ctx.saved_tensors
        weight, bias, inner, hidden, cell = given
        arrays = [_array(t) for t in given]
        engine: Any = _engine  # one function for each dtype
        threads = torch.get_num_threads()
        grads = engine.recurrent_backward(_array(x), *arrays, ctx.gru, _array(states), _array(grad), threads)
        x_grad, sums = map(torch.from_numpy, grads)
        rows, h = bias.numel(), hidden.numel()
        sizes = (weight.numel(), rows, rows, h, h)
        weights, biases, inners, first, cells = (sums[sum(sizes[:i]) :][:size] for i, size in enumerate(sizes))
        return x_grad, None, weights.reshape(weight.shape), biases, inners[rows - inner.numel() :], first, cells[: cell.numel()]


def recurrent(x: Tensor, gru: bool, weight: Tensor, bias: Tensor, inner: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
    """One layer of a recurrent network on x (batch, time, inputs): the states (batch, time, hidden).

    Args:
        weight: (gates x hidden, inputs + hidden), the gates input, forget, candidate, output; a GRU's reset, update, candidate.
        bias: (gates x hidden,); inner: (hidden,) inside the reset of a GRU, else empty.
        hidden, cell: the first state; cell is empty for a GRU.
    """
    states: Tensor = _apply(_Recurrent, x, gru, weight, bias, inner, hidden, cell)
    return states


@_known
class _DesignBackward(_Once):
    """The numbers are there only so that a second derivative finds its way here, where it is refused."""

    @staticmethod
    def forward(grad: Tensor, slopes: Tensor, *numbers: Tensor) -> Tensor:
        return (grad.unsqueeze(-1) * slopes).sum(-2)

    @staticmethod
    def vmap(info: Any, dims: Any, *inputs: Tensor) -> Any:
        grad, slopes = (t.unsqueeze(0) if dim is None else t.movedim(dim, 0) for t, dim in zip(inputs[:2], dims, strict=False))
        return _apply(_DesignBackward, grad, slopes), 0


@_known
class _Design(torch.autograd.Function):
    """Coefficients of filters by the engine's own arithmetic, and the derivatives of each."""

    @staticmethod
    def forward(
        frequency_hz: Tensor, gain_db: Tensor, q: Tensor, shapes: list[int], match: bool, sample_rate: float
    ) -> tuple[Tensor, Tensor]:
        numbers = _array(frequency_hz), _array(gain_db), _array(q)
        c, slopes = _engine.design_filters(shapes, match, *numbers, sample_rate)
        return torch.from_numpy(c), torch.from_numpy(slopes)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], *inputs[:3])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> Any:
        return *_apply(_DesignBackward, grad, *ctx.saved_tensors).unbind(-1), None, None, None

    @staticmethod
    def vmap(info: Any, dims: Any, *inputs: Any) -> Any:
        numbers = [
            t.expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0)
            for t, dim in zip(inputs[:3], dims, strict=False)
        ]
        return _apply(_Design, *numbers, *inputs[3:]), (0, 0)


@_opaque
def design_filters(
    shapes: list[int], match: bool, frequency_hz: Tensor, gain_db: Tensor, q: Tensor, sample_rate: float
) -> Tensor:
    coefficients: Tensor = _apply(_Design, frequency_hz, gain_db, q, shapes, match, sample_rate)[0]
    return coefficients


def gate_open(above_upper: Tensor, above_lower: Tensor, hold: Tensor) -> Tensor:
    batch, channels, frames = above_upper.shape
    held = hold.to(torch.int32).expand(batch, frames)
    upper, lower = (_array(t.expand(batch, channels, frames).to(torch.uint8)) for t in (above_upper, above_lower))
    return torch.from_numpy(_engine.gate_open(upper, lower, _array(held))).to(torch.bool)
