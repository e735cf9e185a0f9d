"""Settings of a fit: the arguments by name, for type checkers, and the checked values, which are the result's provenance."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import numpy as np

from ..checks import check_integer, check_number
from ..rack.card import Value
from ..system.disk import check_writable
from .losses import Loss, SoundTerm, Term, usual

SHORTEST_WINDOW_S = 0.5
MOST = 10_000_000  # steps, windows at once
MOST_MINUTES = 10_000.0

if TYPE_CHECKING:
    from ..stage.stream import LiveStream


class Training(TypedDict, total=False):
    """Arguments that every function that trains takes."""

    learn: Iterable[str] | None
    freeze: Iterable[str]
    learning_rate: float
    batch: int
    patience: int
    tensorboard: str | os.PathLike[str] | None
    progress: bool | None
    on_step: Callable[[int, float], None] | None


class Seeded(Training, total=False):
    """For functions without a `seed` of their own."""

    seed: int


class Recordings(TypedDict, total=False):
    """For functions that compare a result with a recording of it."""

    stft_weight: float
    waveform_weight: float
    polish_steps: int
    window_s: float
    validation: bool
    align: bool | int


class MatchSettings(Seeded, total=False):
    """Arguments that `match` hands to `fit_rack`."""

    network_learning_rate: float
    checkpoint: str | os.PathLike[str] | None
    live: LiveStream | None


class SearchSettings(Training, Recordings, total=False):
    """Arguments that `search` hands to `fit_rack`."""

    network_learning_rate: float
    live: LiveStream | None


class MixFitSettings(Seeded, Recordings, total=False):
    """Arguments of `fit` with a session: all those of `mixdown.fit_mix` by name."""

    steps: int
    loss: Loss | Term | None
    levels: bool
    prune: bool
    checkpoint: str | os.PathLike[str] | None


class FitSettings(MatchSettings, Recordings, total=False):
    """Arguments of `fit` with a rack: all those of `fit_rack` by name."""

    steps: int | None
    choices: Iterable[str] | Mapping[str, Sequence[Value]] | None
    minutes: float | None
    starts: int
    conditions: Sequence[Mapping[str, float]]
    loss: Loss | Term | None
    compares: bool


def checked_alignment(align: object) -> bool | int:
    """Whether the latency of `wet` is found, or the latency in frames.

    Raises:
        ValueError: neither a bool nor an integer.
    """
    return bool(align) if isinstance(align, bool | np.bool_) else check_integer(align, "align", -(1 << 31), 1 << 31)


def checked_checkpoint(path: str | os.PathLike[str] | None) -> Path | None:
    """The file that holds a training's state.

    Raises:
        OSError, ValueError: it could not be written.
    """
    if path is None:
        return None
    check_writable(path)
    return Path(path)


def lowered(loss: Loss | Term | None, stft_weight: float, waveform_weight: float, compares: bool) -> Loss:
    """The loss that a fit lowers: what was given, or the usual sum.

    Raises:
        ValueError: a recording is to be matched, but no term is on the sound.
    """
    terms = usual(stft_weight, waveform_weight) if loss is None else Loss() + loss
    if compares and not any(isinstance(term, SoundTerm) and weight > 0 for weight, term in terms.terms):
        raise ValueError("the loss has no term on the sound; add one, such as losses.STFT()")
    return terms


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The checked settings on which the result of a training depends. The arguments of `fit_rack` explain each.

    Raises:
        ValueError: a number out of its range; one sentence.
    """

    steps: int
    learning_rate: float
    stft_weight: float
    waveform_weight: float
    polish_steps: int
    window_s: float
    batch: int
    validation: bool
    patience: int
    seed: int
    network_learning_rate: float = 0.0
    compares: bool  # False: nothing is compared with `wet`, the loss says what to reach
    loss: Loss
    learn: Sequence[str] = ()  # addresses that are trained

    COUNTS: ClassVar[dict[str, int]] = {"steps": 0, "polish_steps": 0, "batch": 1, "seed": 0, "patience": 1}  # and their least

    def __post_init__(self) -> None:
        for name, least in self.COUNTS.items():
            object.__setattr__(self, name, check_integer(getattr(self, name), name, least, MOST))
        object.__setattr__(self, "window_s", check_number(self.window_s, "window_s", 0.0, 1e6))
        object.__setattr__(self, "learning_rate", check_number(self.learning_rate, "learning_rate"))
        if not self.window_s >= SHORTEST_WINDOW_S:
            raise ValueError(
                f"window_s = {self.window_s:g} is below {SHORTEST_WINDOW_S:g} s, which holds too little sound to compare"
            )

    def record(self) -> dict[str, Any]:
        """The settings as provenance and checkpoints hold them."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"loss": str(self.loss), "learn": list(self.learn)}


@dataclass(frozen=True, kw_only=True)
class RackSettings(Settings):
    """The checked settings of a fit of a rack."""

    choices: Sequence[str] = ()  # addresses of the choices that were tried
    starts: int = 0
    minutes: float | None = None  # of a search

    COUNTS: ClassVar[dict[str, int]] = Settings.COUNTS | {"starts": 0}

    @property
    def seconds(self) -> float | None:
        """After which a search begins nothing new; None: no limit."""
        return None if self.minutes is None else 60.0 * self.minutes

    def record(self) -> dict[str, Any]:
        return super().record() | {"choices": list(self.choices)}


@dataclass(frozen=True, kw_only=True)
class MixSettings(Settings):
    """The checked settings of a fit through a mix."""

    levels: bool
