"""The protocol with which a method enters: fit, process, explain, and answer what would have to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..audio import Audio

Place = tuple[str, str]  # the id of a card and an address below the effect: ("compressor", "ratio")


@dataclass(frozen=True)
class Account:
    """An account of what a method learned, in the terms of the effects' cards; what it cannot say stays empty.

    Attributes:
        structure: ids of the cards of the blocks that it says there are, in order; None where it says nothing.
        values: by place, the value in the card's unit and its standard error (None: it gives none).
        undetermined: places that it says the recording does not determine.
        importance: by card id, how much the sound would change without the block, in any unit.
        numbers: how many numbers describe what was learned.
        black_box_share: energy of what blocks without meaning change, relative to all that is changed, 0 to 1.
    """

    numbers: int
    black_box_share: float
    structure: Sequence[str] | None = None
    values: Mapping[Place, tuple[float, float | None]] = field(default_factory=dict)
    undetermined: frozenset[Place] = frozenset()
    importance: Mapping[str, float] = field(default_factory=dict)


class Method(Protocol):
    """A method. A new one is made for every problem.

    Attributes:
        name: in the table.
    """

    name: str

    def fit(self, dry: Audio, wet: Audio, sample_rate: float, seed: int) -> None:
        """Learn from one pair of (channels, frames) at a sample rate in Hz; the same seed gives the same result."""

    def process(self, dry: Audio, sample_rate: float) -> Audio:
        """The learned effect on (channels, frames) that may be new."""

    def explain(self) -> Account:
        """An account of what was learned."""

    def change(self, dry: Audio, sample_rate: float, loudness_lufs: float) -> Mapping[Place, float] | None:
        """The values that would make the output of a sound as loud as this; None where it cannot say."""
