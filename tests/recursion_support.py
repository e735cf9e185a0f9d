"""What the twins ask of the recursions under random settings: inputs for tests that run over all recursions there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

import twinrack as tr
from support import music, random_curves, random_values
from twinrack import _engine
from twinrack.twins import apply, fast
from twinrack.twins.recursions import Recursion, find_recursion

NAMES = sorted(_engine.sweep_names())
RECURSIONS: dict[str, Recursion] = {name: find_recursion(name) for name in NAMES}


@dataclass(frozen=True)
class Asked:
    """One call of a recursion: x and the coefficients, and the options; of "fir" the taps instead, which do not learn."""

    name: str
    tensors: tuple[Tensor, ...]
    options: tuple[int, ...] = ()
    taps: tuple[float, ...] = ()


@contextmanager
def noted() -> Iterator[list[Asked]]:
    """Everything that is asked of the fast forms meanwhile."""
    calls: list[Asked] = []
    forms = {name: recursion.fast for name, recursion in RECURSIONS.items()}
    fir = fast.fir

    def noting(name):
        def form(*arguments):
            *tensors, options = arguments
            calls.append(Asked(name, tuple(t.detach() for t in tensors), tuple(options)))
            return forms[name](*arguments)

        return form

    def noting_fir(x, taps):
        calls.append(Asked("fir", (x.detach(),), taps=tuple(taps)))
        return fir(x, taps)

    try:
        for name, recursion in RECURSIONS.items():
            recursion.fast = noting(name)
        with patch.object(fast, "fir", noting_fir):
            yield calls
    finally:
        for name, recursion in RECURSIONS.items():
            recursion.fast = forms[name]


def asked_by(
    card_id: str,
    number: int,
    frames: int = 700,
    dtypes=(torch.float32, torch.float64),
    rng: np.random.Generator | None = None,
) -> list[Asked]:
    """What the twin of a card asks under random settings; with an odd number, under curves for whatever may move.

    Args:
        rng: draws the settings; without one, they depend on the number alone.
    """
    card = tr.CARDS[card_id]
    rng = rng or np.random.default_rng([number, 43])
    batch = 1 + number % 3
    channels = {"mono": 1, "stereo": 2}.get(card.channels, 1 + number % 5)
    given = random_values(card, rng, "expected")
    if number % 2:
        curves = random_curves(card, rng, -(-frames // 32))
        given |= {a: torch.from_numpy(c.astype(np.float64))[None] for a, c in curves.items()}
    x = np.stack([music(channels, frames, 8000, number + i) for i in range(batch)])
    with noted() as calls, torch.no_grad():
        for dtype in dtypes:
            apply(card_id, torch.from_numpy(x).to(dtype), 8000.0, given, path="fast")
    return calls
