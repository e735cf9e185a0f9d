"""The recursions with C++ sweeps forwards and backwards: exact gradients, vectorised over batch and channels, on the CPU.

Each class is the fast form of the function of the same name in `reference`. Second derivatives are refused here; the
reference has them.
"""

# torch's Function API is untyped: ctx and the results of apply have no types
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _engine


def _array(t: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = t.detach().contiguous().numpy()
    return array


def _once(backward: Callable[[Any, Tensor], Any]) -> Callable[[Any, Tensor], Any]:
    """A backward step that refuses to be differentiated, instead of losing the second derivative without a word."""

    def checked(ctx: Any, grad: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("second derivatives (create_graph=True) need the reference path; use path='reference'")
        return backward(ctx, grad)

    return checked


def _threads() -> int:
    return torch.get_num_threads()


def _like_rows(grad: np.ndarray[Any, Any], rows: int, batch: int) -> Tensor:
    """Gradients that came out for every stream or item, summed to the rows the coefficients had."""
    g = torch.from_numpy(grad)
    g = g.reshape(batch, -1, *g.shape[1:]).sum(1)
    return g.sum(0, keepdim=True) if rows == 1 and batch > 1 else g


class SvfCascade(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, c: Tensor) -> Tensor:
        y, states = _engine.svf_forward(_array(x), _array(c), _threads())
        ctx.save_for_backward(x, c)
        ctx.states = states
        return torch.from_numpy(y)

    @staticmethod
    @_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, c = ctx.saved_tensors
        x_grad, c_grad = _engine.svf_backward(_array(x), _array(c), ctx.states, _array(grad), _threads())
        return torch.from_numpy(x_grad), _like_rows(c_grad, c.shape[0], x.shape[0])


class Follower(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, c: Tensor, decoupled: bool) -> Tensor:
        y, states = _engine.follower_forward(_array(x), _array(c), decoupled, _threads())
        ctx.save_for_backward(x, c)
        ctx.states, ctx.decoupled = states, decoupled
        return torch.from_numpy(y)

    @staticmethod
    @_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, c = ctx.saved_tensors
        x_grad, c_grad = _engine.follower_backward(_array(x), _array(c), ctx.states, _array(grad), ctx.decoupled, _threads())
        return torch.from_numpy(x_grad), _like_rows(c_grad, c.shape[0], x.shape[0]), None


class Allpass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, delay: list[int]) -> Tensor:
        y, v = _engine.allpass_forward(_array(x), _array(gain), delay, _threads())
        ctx.save_for_backward(x, gain)
        ctx.v, ctx.delay = v, delay
        return torch.from_numpy(y)

    @staticmethod
    @_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gain = ctx.saved_tensors
        x_grad, g_grad = _engine.allpass_backward(_array(x), _array(gain), ctx.v, _array(grad), ctx.delay, _threads())
        return torch.from_numpy(x_grad), _like_rows(g_grad, gain.shape[0], x.shape[0]), None


class FeedbackNetwork(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shelf: Tensor, turns: Tensor, lines: list[int]) -> Tensor:
        y, w, states = _engine.fdn_forward(_array(x), _array(shelf), _array(turns), lines, _threads())
        ctx.save_for_backward(shelf, turns)
        ctx.memory, ctx.lines = (w, states), lines
        return torch.from_numpy(y)

    @staticmethod
    @_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        shelf, turns = ctx.saved_tensors
        w, states = ctx.memory
        x_grad, shelf_grad, turn_grad = _engine.fdn_backward(
            _array(shelf), _array(turns), w, states, _array(grad), ctx.lines, _threads()
        )
        batch = grad.shape[0]
        shelf_rows = _like_rows(shelf_grad, shelf.shape[0], batch)
        return torch.from_numpy(x_grad), shelf_rows, _like_rows(turn_grad, turns.shape[0], batch), None


class FeedbackCompressor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, settings: Tensor, choices: list[int]) -> Tensor:
        y, states = _engine.feedback_forward(_array(x), _array(settings), choices, _threads())
        ctx.save_for_backward(x, settings)
        ctx.states, ctx.choices = states, choices
        return torch.from_numpy(y)

    @staticmethod
    @_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, settings = ctx.saved_tensors
        x_grad, s_grad = _engine.feedback_backward(
            _array(x), _array(settings), ctx.states, _array(grad), ctx.choices, _threads()
        )
        return torch.from_numpy(x_grad), _like_rows(s_grad, settings.shape[0], x.shape[0]), None


def gate_open(above_upper: Tensor, above_lower: Tensor, hold: Tensor) -> Tensor:
    batch, channels, frames = above_upper.shape
    held = hold.to(torch.int32).expand(batch, frames)
    upper, lower = (_array(t.expand(batch, channels, frames).to(torch.uint8)) for t in (above_upper, above_lower))
    return torch.from_numpy(_engine.gate_open(upper, lower, _array(held))).to(torch.bool)
