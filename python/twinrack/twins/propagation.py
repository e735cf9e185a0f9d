"""Rules by which relevance goes back through a network: layer-wise relevance propagation, as gradient times input.

While rules are in force (`propagating`), the functions below let the forward sound pass unchanged and give it another
derivative, that of a homogeneous network: its output is then the sum of input times gradient and of bias times gradient.
(S. Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance propagation, PLoS ONE
10(7), 2015; G. Montavon et al., in Explainable AI, LNCS 11700, ch. 10, 2019, for the rules; L. Arras et al., WASSA 2017, for
gates.)

- an activation passes relevance as it is: its derivative is the secant through 0;
- a gate is a constant factor: relevance goes to what it lets through;
- a linear layer divides its relevance by the parts of its sum: as they are (gamma 0), or with the parts of the sum's own sign
  weighted 1 + gamma (infinite: those alone, the z+ rule), and with `epsilon` in the denominator, which takes up the relevance
  of sums that are hardly anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-12


@dataclass(frozen=True)
class Rules:
    """The rules of linear layers.

    Attributes:
        gamma: additional weight of parts of the sum's own sign, from 0; infinite is the z+ rule, where others get nothing.
        epsilon: of the denominator, in the layer's own unit, from 0.
    """

    gamma: float = 0.0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        for name in ("gamma", "epsilon"):
            value = getattr(self, name)
            if not value >= 0.0:
                raise ValueError(f"{name} is {value}; it must be 0 or more")


rules: Rules | None = None  # in force


@contextmanager
def propagating(chosen: Rules) -> Iterator[None]:
    """While it lasts, networks have the derivatives of these rules; in one thread at a time."""
    global rules
    before, rules = rules, chosen
    try:
        yield
    finally:
        rules = before


def secant(x: Tensor, y: Tensor) -> Tensor:
    """An activation's output y of x, with the derivative of the line from 0 through it."""
    if rules is None:
        return y
    flat = x.abs() <= TINY
    slope = torch.where(flat, torch.ones_like(y), y / torch.where(flat, torch.ones_like(x), x)).detach()
    passed = slope * x
    return passed + (y - passed).detach()


def constant(gate: Tensor) -> Tensor:
    """A gate's output, which counts as constant."""
    return gate if rules is None else gate.detach()


def layer(
    of: Callable[[Tensor, Tensor, Tensor | None], Tensor], x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """A linear layer.

    Args:
        of: gives the layer's output for an input, weights and a bias.
        x: input.
    """
    z = of(x, weight, bias)
    if rules is None:
        return z
    modified = z
    if rules.gamma > 0.0:
        up, down = x.clamp(min=0.0), x.clamp(max=0.0)
        more, less = weight.clamp(min=0.0), weight.clamp(max=0.0)
        raising = of(up, more, None if bias is None else bias.clamp(min=0.0)) + of(down, less, None)
        lowering = of(up, less, None if bias is None else bias.clamp(max=0.0)) + of(down, more, None)
        own = torch.where(z >= 0.0, raising, lowering)
        modified = own if rules.gamma == float("inf") else z + rules.gamma * own
    size = modified + rules.epsilon * torch.where(modified >= 0.0, 1.0, -1.0)
    small = size.abs() <= TINY
    scale = torch.where(small, torch.zeros_like(z), z / torch.where(small, torch.ones_like(size), size)).detach()
    passed = scale * modified
    return passed + (z - passed).detach()
