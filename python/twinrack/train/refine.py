"""Second-order steps alone, from a rack's own values: quick, and near its own values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..audio import Audio
from ..rack.rack import Rack
from ..twins.rack_twin import RackTwin
from .addresses import learned_in_rack, patterns_of
from .data import Pair, split
from .polish import polish
from .trainable_rack import TrainableRack

ITERATIONS = 16


def refined(
    rack: Rack,
    dry: Sequence[Audio],
    wet: Sequence[Audio],
    sample_rate: float,
    learn: Iterable[str],
    iterations: int = ITERATIONS,
) -> Rack:
    """A rack whose values are moved towards those that turn dry into wet, by steps that only lower the error (see `polish`).

    Args:
        rack: it is not changed.
        dry, wet: (channels, frames) each, in step.
        sample_rate: Hz.
        learn: addresses, * for any; values that are numbers. The rack as it is where none of them can be learned.
        iterations: at most so many.
    """
    twin = RackTwin(rack, sample_rate)
    learned = learned_in_rack(twin, patterns_of(list(learn)), [], dry[0].shape[0])
    learned.resources.clear()
    if not learned.values:
        return rack.copy()
    pairs = [Pair(f"{i}", d, w, 0, "", "") for i, (d, w) in enumerate(zip(dry, wet, strict=True))]
    trained = TrainableRack(twin, pairs, sample_rate, learned)
    engine = trained.engine_sounds([split(p.frames, sample_rate, False) for p in pairs])
    assert engine is not None
    sounds, target = engine
    raw = list(trained.values.values())

    def sound() -> Tensor:
        return sounds(torch.stack([u.detach() for u in raw])[None])[0]

    polish(raw, sound, target, iterations, errors=False, sounds=sounds)
    return trained.player()
