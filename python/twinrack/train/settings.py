"""The arguments of `fit` by name, for type checkers: other functions that fit take some of them too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from ..card import Value

if TYPE_CHECKING:
    from ..stage.stream import LiveStream
    from .losses import Loss, Term


class Common(TypedDict, total=False):
    """What every function that trains takes."""

    learn: Iterable[str] | None
    freeze: Iterable[str]
    learning_rate: float
    batch: int
    patience: int
    seed: int
    tensorboard: str | os.PathLike[str] | None
    progress: bool | None
    on_step: Callable[[int, float], None] | None


class MatchSettings(Common, total=False):
    """Of `match`, besides its own."""

    network_learning_rate: float
    checkpoint: str | os.PathLike[str] | None
    live: LiveStream | None


class SearchSettings(TypedDict, total=False):
    """Of `search`, besides its own."""

    learn: Iterable[str] | None
    freeze: Iterable[str]
    learning_rate: float
    network_learning_rate: float
    stft_weight: float
    waveform_weight: float
    polish_steps: int
    window_s: float
    batch: int
    validation: bool
    patience: int
    align: bool | int
    progress: bool | None
    on_step: Callable[[int, float], None] | None
    tensorboard: str | os.PathLike[str] | None
    live: LiveStream | None


class MixFitSettings(Common, total=False):
    """Of `fit` with a session: all arguments of `mixdown.fit_mix` by name."""

    steps: int
    loss: Loss | Term | None
    stft_weight: float
    waveform_weight: float
    polish_steps: int
    window_s: float
    levels: bool
    prune: bool
    validation: bool
    align: bool | int
    checkpoint: str | os.PathLike[str] | None


class FitSettings(MatchSettings, total=False):
    """Of `fit` with a rack: all arguments of `fit.fit_rack` by name."""

    steps: int
    choices: Iterable[str] | Mapping[str, Sequence[Value]]
    starts: int
    conditions: Sequence[Mapping[str, float]]
    loss: Loss | Term | None
    stft_weight: float
    waveform_weight: float
    polish_steps: int
    window_s: float
    validation: bool
    align: bool | int
    compares: bool
