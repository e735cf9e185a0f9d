"""Every recursion, an effect's own included: its forms agree in values and gradients, and the gradients with differences."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from recursion_support import NAMES, RECURSIONS, Asked, asked_by
from support import CARD_IDS
from twinrack import _engine
from twinrack.twins import recursions


def moved(x: torch.Tensor) -> torch.Tensor:
    """A sound without equal frames in a row or silence: there, at a corner, each form may take another side."""
    rng = np.random.default_rng(7)
    factor, more = (torch.from_numpy(rng.uniform(size=x.shape)) for _ in range(2))
    return x * (1.0 + 0.01 * factor) + 0.001 * more


@cache
def asked() -> dict[str, list[Asked]]:
    """In double precision, as the twins of all cards ask: constant and under curves, for one item and for several."""
    calls = defaultdict(list)
    for card in CARD_IDS:
        for number in range(6):
            for call in asked_by(card, number, 200, [torch.float64]):
                calls[call.name].append(replace(call, tensors=(moved(call.tensors[0]), *call.tensors[1:])))
    return calls


def sample(name: str, count: int) -> list[Asked]:
    """As many calls of a recursion, spread over all of them."""
    calls = asked()[name]
    assert calls, f"no twin asks for {name}"
    return [calls[i] for i in sorted({round(i) for i in np.linspace(0, len(calls) - 1, count)})]


def run(call: Asked, path: str) -> list[torch.Tensor]:
    """y, and the gradients of x and of the coefficients."""
    tensors = [t.clone().requires_grad_() for t in call.tensors]
    y = RECURSIONS[call.name](*tensors, options=call.options, path=path)
    weight = torch.linspace(-1.0, 1.0, y.numel(), dtype=y.dtype).reshape(y.shape)
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), tensors, materialize_grads=True)]


@pytest.mark.parametrize("path", ["reference", "parallel"])
@pytest.mark.parametrize("name", NAMES)
def test_forms_have_the_same_values_and_gradients(name, path):
    for call in sample(name, 8):
        for fast, other in zip(run(call, "fast"), run(call, path), strict=True):
            assert fast.shape == other.shape
            bound = 1e-9 * float(other.abs().max()) + 1e-12  # where nothing is there but rounding
            assert float((fast - other).abs().max()) <= bound, f"{path}, options {call.options}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fir"])
def test_curves_that_stand_still_have_the_same_gradients(name):
    """Within every other tick both ends of a curve are equal; each of them still has its share of the gradient."""
    calls = [call for call in asked()[name] if any(t.dim() > 2 and t.shape[1] > 2 for t in call.tensors[1:2])][:6]
    for call in calls:
        still = [t.clone() for t in call.tensors[1:]]
        for t in still:
            if t.dim() > 2 and t.shape[1] > 2:
                t[:, 2::2] = t[:, 1 : t.shape[1] - 1 : 2]
        held = replace(call, tensors=(call.tensors[0], *still))
        for fast, other in zip(run(held, "fast"), run(held, "reference"), strict=True):
            bound = 1e-9 * float(other.abs().max()) + 1e-12
            assert float((fast - other).abs().max()) <= bound, f"options {call.options}"


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_differences(name):
    for call in sample(name, 4):
        tensors = [t.clone().requires_grad_() for t in call.tensors]

        def form(*tensors, call=call):
            return RECURSIONS[call.name](*tensors, options=call.options, path="fast")

        assert gradcheck(form, tensors, eps=1e-7, atol=2e-5, rtol=1e-3, fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_one_row_and_one_tick_are_many_that_are_equal(name):
    """The same values; and the gradient of the one is the sum of those of the many."""
    call = next((c for c in asked()[name] if c.tensors[1].shape[:2] == (1, 1)), None)
    if call is None:  # of one that always moves, a moment
        moving = asked()[name][0]
        x, first, *others = moving.tensors
        call = replace(moving, tensors=(x[:1], first[:1, :1], *(c[:1] for c in others)))
    x = call.tensors[0].expand(3, -1, -1).contiguous() if call.tensors[0].shape[0] == 1 else call.tensors[0]
    ticks = -(-x.shape[-1] // 32)
    first, *others = call.tensors[1:]
    many = [first.expand(x.shape[0], ticks, *first.shape[2:]).contiguous()]
    many += [c.expand(x.shape[0], *c.shape[1:]).contiguous() for c in others]
    one = run(Asked(name, (x, *call.tensors[1:]), call.options), "fast")
    y, x_grad, first_grad, *grads = run(Asked(name, (x, *many), call.options), "fast")
    summed = [y, x_grad, first_grad.sum((0, 1), keepdim=True), *(g.sum(0, keepdim=True) for g in grads)]
    for a, b in zip(one, summed, strict=True):
        assert float((a - b).abs().max()) <= 1e-9 * float(b.abs().max()) + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_fit_is_refused(name):
    call = asked()[name][0]
    x, *coefficients = (t.numpy() for t in call.tensors)

    def refused(x=x, coefficients=coefficients, options=call.options, match=None):
        with pytest.raises(ValueError, match=match):
            _engine.sweep_forward(name, x, coefficients, options, 1)

    refused(x=x[0], match=r"x must be \(batch, channels, frames\)")
    refused(x=x[..., :0], match="x must not be empty")
    refused(coefficients=[], match="coefficients")
    refused(coefficients=[*coefficients, coefficients[0]])
    refused(coefficients=[np.concatenate([c] * (x.shape[0] + 1)) for c in coefficients], match="one row")
    refused(coefficients=[np.concatenate([c[:, :1]] * 3, 1) for c in coefficients], match="one tick|one knot")
    refused(coefficients=[c[..., None] for c in coefficients])
    refused(options=(*call.options, 1) if call.options else (1,))
    refused(options=tuple(-1 for _ in call.options) or (0,))
    _engine.sweep_forward(name, x, coefficients, call.options, 1)


def test_what_is_not_there_is_said():
    with pytest.raises(ValueError, match="there is no sweep 'nothing'"):
        recursions.Recursion("nothing", lambda x, c: x)
    with pytest.raises(ValueError, match=r"audio has shape \(4,\)"):
        RECURSIONS["follower"](torch.zeros(4), torch.zeros(1, 1, 2), options=[0])


def test_former_names_of_the_compressor_are_kept():
    assert recursions.compressor_gain is recursions.__getattr__("compressor_gain")
    assert callable(recursions.feedback_compressor)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = recursions.nothing
