"""The arguments of `fit` by name, for type checkers, and their check: other functions that fit take some of them too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from ..checks import check_integer, check_number
from ..rack.card import Value
from ..system.disk import check_writable

SHORTEST_WINDOW_S = 0.5
MOST = 10_000_000  # steps, windows at once

if TYPE_CHECKING:
    from ..stage.stream import LiveStream
    from .losses import Loss, Term


class Training(TypedDict, total=False):
    """What every function that trains takes."""

    learn: Iterable[str] | None
    freeze: Iterable[str]
    learning_rate: float
    batch: int
    patience: int
    tensorboard: str | os.PathLike[str] | None
    progress: bool | None
    on_step: Callable[[int, float], None] | None


class Seeded(Training, total=False):
    """Functions that do not spell their seed out."""

    seed: int


class Recordings(TypedDict, total=False):
    """Functions that compare a result with a recording of it."""

    stft_weight: float
    waveform_weight: float
    polish_steps: int
    window_s: float
    validation: bool
    align: bool | int


class MatchSettings(Seeded, total=False):
    """Of `match`, besides its own."""

    network_learning_rate: float
    checkpoint: str | os.PathLike[str] | None
    live: LiveStream | None


class SearchSettings(Training, Recordings, total=False):
    """Of `search`, besides its own."""

    network_learning_rate: float
    live: LiveStream | None


class MixFitSettings(Seeded, Recordings, total=False):
    """Of `fit` with a session: all arguments of `mixdown.fit_mix` by name."""

    steps: int
    loss: Loss | Term | None
    levels: bool
    prune: bool
    checkpoint: str | os.PathLike[str] | None


class FitSettings(MatchSettings, Recordings, total=False):
    """Of `fit` with a rack: all arguments of `fit.fit_rack` by name."""

    steps: int
    choices: Iterable[str] | Mapping[str, Sequence[Value]]
    starts: int
    conditions: Sequence[Mapping[str, float]]
    loss: Loss | Term | None
    compares: bool


def checked(
    window_s: object, learning_rate: object, align: object, checkpoint: str | os.PathLike[str] | None, **counts: object
) -> tuple[float, float, bool | int]:
    """The window, learning rate and alignment of a fit as plain numbers.

    Args:
        counts: integers of at least 0; `batch` and `patience` of at least 1.

    Raises:
        OSError, ValueError: a number of the wrong kind or out of range, or a checkpoint that cannot be written.
    """
    for name, number in counts.items():
        check_integer(number, name, 1 if name in ("batch", "patience") else 0, MOST)
    window = check_number(window_s, "window_s", 0.0, 1e6)
    rate = check_number(learning_rate, "learning_rate")
    removed = bool(align) if isinstance(align, bool | np.bool_) else check_integer(align, "align", -(1 << 31), 1 << 31)
    if not window >= SHORTEST_WINDOW_S:
        raise ValueError(f"window_s = {window:g} is below {SHORTEST_WINDOW_S:g} s, which holds too little sound to compare")
    if checkpoint is not None:
        check_writable(checkpoint)
    return window, rate, removed
