"""Results by group: does a rack do as well for one speaker, room or device as for another, and which block must change?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..measure.difference import difference_db
from ..rack.rack import Rack
from .blame import Refit, blamed
from .recordings import Recording

PERMUTATIONS = 2000
CHANCE = 0.05
APART_DB = 3.0
FEWEST = 2  # recordings of a group, for an interval
REFITTED_S = 6.0  # of each recording
MOST_REFITTED = 4  # recordings
PLAYED_S = 5.0
SILENT = 1e-12  # power
# Student's t, 97.5 %, for 1, 2, ... degrees of freedom
STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Group:
    """The error of a rack on the recordings of one group.

    Attributes:
        name: the value in the column, such as "A".
        errors_db: of each recording: energy of the difference from the wet one, relative to it.
        low_db, high_db: 95 % interval of the mean (Student's t) over the recordings; NaN where there is only one.
        sounds: 5 s of its recording whose error is nearest to the mean, to be heard: what the rack makes of it, and what the
            real thing does.
    """

    name: str
    errors_db: tuple[float, ...]
    low_db: float
    high_db: float
    sounds: tuple[Audio, Audio]

    @property
    def mean_db(self) -> float:
        return float(np.mean(self.errors_db))


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of one column of the table, the worst first.

    Attributes:
        column: such as "speaker".
        groups: of it.
        unequal: the best and the worst differ by 3 dB and more, and in fewer than 5 % of random divisions into such groups do
            any two differ by as much (permutation test; a few recordings can never show it).
        refit: the block that would have to change for the worst group.
    """

    column: str
    groups: tuple[Group, ...]
    unequal: bool
    refit: Refit | None

    def __str__(self) -> str:
        worst, best = self.groups[0], self.groups[-1]
        if not self.unequal:
            return f"{self.column}: no clear difference between {len(self.groups)} groups"
        text = f"{self.column}: {worst.name!r} has an error of {worst.mean_db:.1f} dB, {best.name!r} {best.mean_db:.1f} dB"
        return f"{text}; for {worst.name!r} {self.refit}" if self.refit is not None else text


def compare_groups(rack: Rack, recordings: Sequence[Recording], sample_rate: float, seed: int = 0) -> list[Groups]:
    """The results of every column of the table; recordings without a wet one, and silent ones, are left out."""
    paired = [(r, r.wet) for r in recordings if r.wet is not None and _sounds(r.dry) and _sounds(r.wet)]
    outputs = [np.asarray(rack.copy()(r.dry, sample_rate)) for r, _ in paired]
    errors = np.array([difference_db(y, wet) for y, (_, wet) in zip(outputs, paired, strict=True)])
    played = [(y[:, : round(PLAYED_S * sample_rate)], wet) for y, (_, wet) in zip(outputs, paired, strict=True)]
    random = np.random.default_rng(seed)
    results = []
    for column in dict.fromkeys(c for r, _ in paired for c in r.metadata):
        labels = [r.metadata.get(column) or "(empty)" for r, _ in paired]
        names, which = np.unique(labels, return_inverse=True)
        if names.size < 2:
            continue
        every = [_group(str(n), errors, played, np.flatnonzero(which == i)) for i, n in enumerate(names)]
        groups = sorted(every, key=lambda g: -g.mean_db)
        worst, best = groups[0], groups[-1]
        apart = worst.mean_db - best.mean_db
        by_chance = np.mean([_spread(errors, random.permutation(which), names.size) >= apart for _ in range(PERMUTATIONS)])
        unequal = bool(apart >= APART_DB and by_chance < CHANCE)
        refit = None
        if unequal:
            chosen = [(r.dry, wet) for (r, wet), label in zip(paired, labels, strict=True) if label == worst.name][
                :MOST_REFITTED
            ]
            frames = round(REFITTED_S * sample_rate)
            refit = blamed(rack, [d[:, :frames] for d, _ in chosen], [w[:, :frames] for _, w in chosen], sample_rate)
        results.append(Groups(column, tuple(groups), unequal, refit))
    return results


def _sounds(x: Audio) -> bool:
    return x.size > 0 and float(np.mean(x.astype(np.float64) ** 2)) > SILENT


def _group(
    name: str, every: npt.NDArray[np.float64], played: Sequence[tuple[Audio, Audio]], which: npt.NDArray[np.intp]
) -> Group:
    errors = every[which]
    y, wet = played[int(which[np.argmin(np.abs(errors - errors.mean()))])]
    return Group(name, tuple(float(v) for v in errors), *interval(errors), (y, wet[:, : y.shape[1]]))


def interval(errors: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of a mean (Student's t); NaN with fewer than two."""
    if errors.size < FEWEST:
        return float("nan"), float("nan")
    student = STUDENT[min(errors.size - 1, len(STUDENT)) - 1]
    half = student * float(errors.std(ddof=1)) / float(np.sqrt(errors.size))
    return float(errors.mean()) - half, float(errors.mean()) + half


def _spread(errors: npt.NDArray[np.float64], which: npt.NDArray[np.intp], count: int) -> float:
    """The largest difference of two groups' means."""
    means = np.bincount(which, errors, count) / np.bincount(which, minlength=count)
    return float(means.max() - means.min())
