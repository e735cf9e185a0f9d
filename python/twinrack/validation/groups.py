"""Results by group: does a rack do as well for one speaker, room or device as for another, and which block must change?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..rack.rack import Rack
from .blame import Refit, blamed
from .claims import difference_db
from .recordings import Recording

DRAWS = 2000
APART_DB = 3.0
FEWEST = 2  # recordings of a group, for an interval
REFITTED_S = 6.0  # of each recording
MOST_REFITTED = 4  # recordings


@dataclass(frozen=True)
class Group:
    """The error of a rack on the recordings of one group.

    Attributes:
        name: the value in the column, such as "A".
        errors_db: of each recording: energy of the difference from the wet one, relative to it.
        low_db, high_db: 95 % interval of the mean by bootstrap over the recordings; NaN where there is only one.
    """

    name: str
    errors_db: tuple[float, ...]
    low_db: float
    high_db: float

    @property
    def mean_db(self) -> float:
        return float(np.mean(self.errors_db))


@dataclass(frozen=True)
class Groups:
    """The groups of one column of the table, the worst first.

    Attributes:
        column: such as "speaker".
        groups: of it.
        unequal: the best and the worst differ by 3 dB and more, and their intervals do not overlap.
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
    """The results of every column of the table; of recordings without a wet one none."""
    paired = [r for r in recordings if r.wet is not None]
    errors = {}
    for r in paired:
        assert r.wet is not None
        errors[r.name] = difference_db(np.asarray(rack.copy()(r.dry, sample_rate)), r.wet)
    random = np.random.default_rng(seed)
    results = []
    for column in dict.fromkeys(c for r in paired for c in r.metadata):
        members: dict[str, list[Recording]] = defaultdict(list)
        for r in paired:
            members[r.metadata.get(column) or "(empty)"].append(r)
        if len(members) < 2:
            continue
        groups = []
        for name, own in members.items():
            values = np.array([errors[r.name] for r in own])
            low = high = float("nan")
            if values.size >= FEWEST:
                means = values[random.integers(0, values.size, (DRAWS, values.size))].mean(1)
                low, high = (float(v) for v in np.percentile(means, (2.5, 97.5)))
            groups.append(Group(name, tuple(float(v) for v in values), low, high))
        groups.sort(key=lambda g: -g.mean_db)
        worst, best = groups[0], groups[-1]
        unequal = bool(worst.mean_db - best.mean_db >= APART_DB and worst.low_db > best.high_db)
        refit = None
        if unequal:
            chosen = members[worst.name][:MOST_REFITTED]
            frames = round(REFITTED_S * sample_rate)
            dry, wet = [r.dry[:, :frames] for r in chosen], [r.wet[:, :frames] for r in chosen if r.wet is not None]
            refit = blamed(rack, dry, wet, sample_rate)
        results.append(Groups(column, tuple(groups), unequal, refit))
    return results
