"""A search for delays by rendering: their loss has many wrong minima, which a gradient cannot leave.

The waveform's distance as a function of a delay is smooth over about a millisecond, so a grid of that spacing sees every
minimum; the best is then refined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..rack.card import Parameter
from ..twins.constrain import from_value, value_at

SENSITIVE = 0.1  # parameters whose learning step is below this are searched
GRID, REFINEMENTS, POINTS = 384, 3, 9
WORTH_IT = 0.99


@torch.no_grad()
def scan(parameters: Sequence[tuple[nn.Parameter, Parameter]], sound: Callable[[], Tensor], target: Tensor) -> float:
    """Move each sensitive parameter to where `sound()` is nearest to `target`, if that is clearly nearer.

    Args:
        parameters: unconstrained scalars and their cards.
        sound: renders, as many numbers as `target`.

    Returns:
        The largest remaining part of the distance, over all parameters: well below 1 where every delay is clear.
    """
    remaining = 0.0
    for u, p in parameters:
        if p.learning_step >= SENSITIVE:
            continue
        began = u.item()

        def distance(value: float, u: nn.Parameter = u, p: Parameter = p) -> float:
            u.fill_(from_value(p, min(max(value, p.min), p.max)))
            return float(torch.linalg.vector_norm(sound() - target))

        first = float(value_at(p, u))
        before = distance(first)
        spacing = (p.max - p.min) / GRID
        values = [p.min + spacing * i for i in range(GRID + 1)]
        best, value = min((distance(v), v) for v in values)
        for _ in range(REFINEMENTS):
            values = [value + spacing * (2 * i / (POINTS - 1) - 1) for i in range(POINTS)]
            best, value = min((best, value), *[(distance(v), v) for v in values])
            spacing *= 2 / (POINTS - 1)
        if best < WORTH_IT * before:
            u.fill_(from_value(p, min(max(value, p.min), p.max)))
        else:
            u.fill_(began)
        remaining = max(remaining, best / max(before, 1e-12))
    return remaining
