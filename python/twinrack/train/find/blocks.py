"""The search for values, block by block through the chain.

First the levels in bands are compared, which lead the way from far off: each block in turn is tried with values from anywhere
in what its card expects, or with those that its own analysis gives, while the others stay, and the best sets go on. Then the
waveform is compared, whose minimum is exact but narrow. Where it stays away from the target, one block after the other is
looked for again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...audio import Audio
from ...measure.residual import Residual, residual_of
from ...measure.transfer import gain_over_time, window_frames
from ...system.interrupt import check
from ..advice import REACHED_DB
from ..starts import Values, delayed_of, nearer_of
from .band_levels import BandLevels, LevelResiduals
from .candidates import Candidates
from .levenberg import Minimum, Positions, energy_of, minimise

REACHED = 10 ** (REACHED_DB / 10)  # energy of the difference relative to the target that counts as found
FOUND = 1e-8  # energy of the difference relative to the target, -80 dB, below which nothing is looked for any more
BEND_DB = 4.0
FAR_DB = 1.0
SURE = 0.25  # of the energy that counts as found: audio that was not looked at is mostly a little farther
POOR = 0.1  # energy above which what is left says nothing of noise
STEADY_DB = 0.5
NEAR_DB = 0.35  # difference of levels below which the waveform shows the rest of the way
DRAWN, DRAWN_AGAIN = 64, 40  # sets of values of a block
KEPT = 4
REFINED, REFINED_AGAIN = 6, 3
LEAST_STEP = 3e-5  # of a difference between two waveforms
FIRST_ITERATIONS = 4
PROMISING = 8.0  # times the present energy, below which a new start is followed further
ROUNDS = 12
CLEARLY = 0.7
log = logging.getLogger("twinrack")


@dataclass(frozen=True)
class Place:
    """Positions, and how far off they are: mean square of a residual."""

    energy: float
    positions: Positions

    @property
    def decibels(self) -> float:
        return float(10.0 * np.log10(max(self.energy, 1e-30)))


class Search:
    """One search over the values of one rack.

    Args:
        candidates: the rack and the recordings.
        seed: of the sets that are drawn.
        deadline: time.monotonic() after which nothing new is begun.
        report: called with what is being done and the best error of the waveform in dB so far.

    Attributes:
        best: the nearest waveform so far.
    """

    def __init__(
        self,
        candidates: Candidates,
        seed: int,
        deadline: float,
        report: Callable[[str, Place | None], None] | None = None,
    ) -> None:
        self.candidates, self.deadline, self.report = candidates, deadline, report
        self.levels = LevelResiduals(candidates)
        self.random = np.random.default_rng(seed)
        addresses = list(dict.fromkeys(a.partition(".")[0] for a in candidates.addresses))
        self.blocks = {a: candidates.indices(a) for a in addresses}
        self.analysed = {a: n for a in addresses if (n := nearer_of(candidates.rack[a].card)) is not None}
        self.delayed = {a: d for a in addresses if (d := delayed_of(candidates.rack[a].card)) is not None}
        self.usual = usual(candidates)
        self.best: Place | None = None

    def _say(self, what: str) -> None:
        log.debug("find: %s, best %s dB", what, None if self.best is None else f"{self.best.decibels:.1f}")
        if self.report is not None:
            self.report(what, self.best)

    def _late(self) -> bool:
        check()
        return time.monotonic() > self.deadline

    def _free(self, effect: str) -> list[int]:
        """Places of those of a block's values that move."""
        return [i for i in self.blocks[effect] if i in self.usual]

    def _learned(self, effect: str) -> set[str]:
        """Names of a block's values, as its own analysis takes them."""
        return {self.candidates.addresses[i].partition(".")[2] for i in self.blocks[effect]}

    def _placed(self, place: Place, effect: str, many: Sequence[Values]) -> npt.NDArray[np.float64]:
        """The positions with each of some sets of values of a block."""
        c = self.candidates
        return np.array([c.place({f"{effect}.{n}": v for n, v in values.items()}, place.positions) for values in many])

    # --- levels ------------------------------------------------------------------------------------------------------

    def by_levels(self, many: npt.NDArray[np.float64]) -> list[Place]:
        """The positions with the energy of their differences in levels."""
        energies = energy_of(self.levels(many), BEND_DB)
        return [Place(float(e), u) for e, u in zip(energies, many, strict=True)]

    def _levels_lowered(self, place: Place, iterations: int, free: Sequence[int]) -> Place:
        m = minimise(self.levels, place.positions, iterations, free=free, bend=BEND_DB, step=1e-2)
        return Place(m.energy, m.positions)

    def levels_lowered(self, place: Place) -> Place:
        """A few steps towards the nearest minimum of the levels."""
        return self._levels_lowered(place, 6, self.usual)

    def _drawn(self, place: Place, free: Sequence[int], count: int) -> npt.NDArray[np.float64]:
        """The positions with those of a block anywhere in what the cards expect; its level so that the sound is as loud as
        the target."""
        c = self.candidates
        many = np.repeat(place.positions[None], count, 0)
        low, high = c.low[free], c.high[free]
        many[:, free] = low + (high - low) * self.random.random((count, len(free)))
        return self._as_loud(many, free)

    def _as_loud(self, many: npt.NDArray[np.float64], free: Sequence[int]) -> npt.NDArray[np.float64]:
        """The positions with the last level among `free` so that the sound is as loud as the target."""
        cards = self.candidates.cards
        levels = [i for i in free if cards[i].role == "level" and cards[i].unit == "dB"]
        if levels and len(many):
            p = cards[levels[-1]]
            offsets = np.median(self.levels(many), axis=1)
            many = many.copy()
            many[:, levels[-1]] = np.clip(many[:, levels[-1]] - offsets / (p.max - p.min), 0.0, 1.0)
        return many

    def from_anywhere(self, place: Place, effect: str, count: int = DRAWN, kept: int = 3, iterations: int = 6) -> list[Place]:
        """Values of one block that bring the levels near, whatever they are now."""
        free = self._free(effect)
        if not free:
            return []
        drawn = self.by_levels(self._drawn(place, free, count))
        best = sorted(drawn, key=lambda p: p.energy)[:kept]
        return sorted((self._levels_lowered(p, iterations, free) for p in best), key=lambda p: p.energy)

    def partly_from_anywhere(self, place: Place, effect: str) -> list[Place]:
        """Values of one block of which a part is drawn anew: one band of an equaliser, else two values."""
        c = self.candidates
        free = self._free(effect)
        groups: dict[str, list[int]] = {}
        for i in free:
            groups.setdefault(c.addresses[i].rpartition(".")[0], []).append(i)
        many = np.repeat(place.positions[None], DRAWN_AGAIN, 0)
        for number, row in enumerate(many):
            if len(groups) > 1:
                part = list(groups.values())[number % len(groups)]
            else:
                part = self.random.permutation(free)[:2].tolist()
            row[part] = c.low[part] + (c.high[part] - c.low[part]) * self.random.random(len(part))
        drawn = sorted(self.by_levels(many), key=lambda p: p.energy)[:REFINED]
        return sorted((self._levels_lowered(p, 4, free) for p in drawn), key=lambda p: p.energy)[:2]

    def with_delays(self, place: Place, effect: str) -> list[Place]:
        """The positions with other delays, as the waveform tells, and the block's other values after them."""
        c = self.candidates
        block = c.rack_at(place.positions)[effect]

        def play(many: Sequence[Values]) -> Audio:
            return c.sounds(self._placed(place, effect, many))

        answers = self.delayed[effect](block, play, c.wet, c.rate, self._learned(effect))
        if not answers:
            return []
        free = self._free(effect)
        return [self._levels_lowered(p, 6, free) for p in self.by_levels(self._placed(place, effect, answers))]

    def analysed_again(self, place: Place, effect: str, fresh: bool) -> list[Place]:
        """Values of one block that its own analysis gives, from the present sound and the target."""
        c = self.candidates
        present = self.present_for(place.positions)
        rack = c.rack_at(place.positions)
        learned = self._learned(effect)
        seed = int(self.random.integers(1 << 30))
        answers = self.analysed[effect](rack[effect], present, c.wet, c.rate, learned, len(self.blocks) == 1, fresh, seed)
        if not answers:
            return []
        many = self._placed(place, effect, answers)
        levels = [i for i in self.usual if c.cards[i].unit == "dB" and c.cards[i].id not in WIDTHS]
        others = [i for i in levels if i not in self.blocks[effect]]
        if not others:
            return self.by_levels(self._as_loud(many, self.usual))
        places = self.by_levels(self._as_loud(many, others))
        # an analysis knows a curve but for its level, which what comes before and after has to make up for
        places = sorted((self._levels_lowered(p, 2, others) for p in places), key=lambda p: p.energy)
        best = [self._levels_lowered(p, 4, others) for p in places[:REFINED_AGAIN]]
        return sorted(best + places[REFINED_AGAIN:], key=lambda p: p.energy)

    def present_for(self, positions: Positions, several: bool | None = None) -> Audio:
        """The sound at these positions as an analysis takes it: where there are several blocks, with the gain of the target."""
        present = self.candidates.sounds(positions[None])[0]
        several = len(self.blocks) > 1 if several is None else several
        return self._with_gain_of_target(present) if several else present

    def _with_gain_of_target(self, present: Audio) -> Audio:
        """The present sound with the gain over time that leads to the target: what is left is a matter of frequency."""
        size = window_frames(self.candidates.rate)
        whole = BandLevels(self.candidates.wet, self.candidates.rate)
        ours = whole.differences(present) + whole.target_db
        gain = gain_over_time(ours, whole.target_db).clip(-40.0, 40.0)
        if float(np.percentile(np.abs(gain), 90)) < STEADY_DB:
            return present  # it has the target's gain already; what is measured is noise
        at = np.arange(len(gain)) * (size // 2) + size / 2
        each = np.interp(np.arange(present.shape[1]), at, gain)
        return np.asarray(present * 10 ** (each / 20.0), np.float32)

    def _near(self, states: list[Place]) -> bool:
        return states[0].energy < NEAR_DB**2

    def from_far(self, first: list[Place]) -> list[Place]:
        """The best sets by levels: each block in turn, then all together."""
        states = first
        for number in range(2):
            for effect in self.analysed:
                fresh = number == 0 or states[0].energy > FAR_DB**2
                new = [p for s in states[:2] for p in self.analysed_again(s, effect, fresh)]
                states = _best(states + new)
                self._say(f"levels after {effect}: {states[0].energy ** 0.5:.2f} dB")
            for effect in self.blocks:
                if effect in self.analysed or self._near(states) or self._late():
                    continue
                count = DRAWN if number == 0 else DRAWN_AGAIN
                new = [p for s in states[:2] for p in self.from_anywhere(s, effect, count)]
                states = _best(states + new)
                if effect in self.delayed:
                    states = _best(states + [p for s in states[:2] for p in self.with_delays(s, effect)])
                self._say(f"levels after {effect}: {states[0].energy ** 0.5:.2f} dB")
            states = _best([self._levels_lowered(s, 6, self.usual) for s in states[:2]] + states)
            self._say(f"levels after all: {states[0].energy ** 0.5:.2f} dB")
            if self._near(states) or len(self.blocks) == 1 or self._late():
                break
        if not self._near(states):
            states = _best([self._levels_lowered(s, 8, self.usual) for s in states[:2]] + states)
        return states

    # --- waveform ----------------------------------------------------------------------------------------------------

    def by_waveform(self, many: npt.NDArray[np.float64]) -> list[Place]:
        """The positions with the energy of their differences in waveform."""
        energies = energy_of(self.candidates.waveform(many), None)
        return [Place(float(e), u) for e, u in zip(energies, many, strict=True)]

    def lowered(self, positions: Positions, iterations: int) -> Place:
        """The nearest minimum of the waveform's difference; kept in `best` where it is nearer than all before."""
        m: Minimum = minimise(
            self.candidates.waveform,
            positions,
            iterations,
            free=self.usual,
            reached=FOUND,
            least_step=LEAST_STEP,
            halves_in=6,
        )
        place = Place(m.energy, m.positions)
        if self.best is None or place.energy < self.best.energy:
            self.best = place
        return place

    @property
    def nearest(self) -> Place:
        """The best place, once there is one."""
        assert self.best is not None
        return self.best

    def found(self) -> bool:
        """Whether the waveform is reached."""
        return self.best is not None and self.best.energy <= FOUND

    def residual(self) -> Residual:
        """The nature of what is left in the best place."""
        c = self.candidates
        return residual_of([(c.sounds(self.nearest.positions[None])[0], c.wet)], c.rate)

    def begin_at_start(self) -> None:
        """Take the rack's own values for the best place so far, so that there is one whenever the search is interrupted."""
        self.best = self.by_waveform(self.candidates.start[None])[0]

    def run(self, start: Positions) -> Place:
        """The nearest place that is found from `start`."""
        if not start.size:
            self.best = self.by_waveform(start[None])[0]
            return self.nearest
        states = self.from_far(self.by_levels(start[None]))
        for state in states[:2]:
            self.lowered(state.positions, 15)
            if self.found() or self._late():
                break
        self._say("waveform")
        if not (self.found() or self._late() or self.nearest.energy > POOR or self.residual().is_noise):
            self._from_far_above_noise(start)
        self.again_in_turn()
        return self.nearest

    def again_in_turn(self) -> None:
        """From the best place, look for one block after the other again, as long as that helps."""
        order = list(self.blocks)
        without_gain = 0
        for number in range(ROUNDS):
            enough = 0 if self.nearest.energy <= REACHED else len(order)
            if self.found() or self._late() or without_gain > enough:
                break
            before = self.nearest.energy
            self.lowered(self.nearest.positions, 20)
            if self.nearest.energy <= SURE * REACHED or self.residual().is_noise:
                break
            self.again(order[number % len(order)])
            self._say(f"waveform after {order[number % len(order)]} again")
            without_gain = 0 if self.nearest.energy < CLEARLY * before else without_gain + 1

    def _from_far_above_noise(self, start: Positions) -> None:
        """Begin once more where the recording has noise, with levels that the noise does not reach."""
        c = self.levels.candidates
        self.levels.levels.raise_floor(c.sounds(self.nearest.positions[None])[0])
        states = self.from_far(self.by_levels(np.array([start, self.nearest.positions])))
        self.lowered(states[0].positions, 15)
        self._say("waveform above noise")

    def again(self, effect: str) -> None:
        """Look for one block again, the others as they are in the best place."""
        here = self.nearest
        new = self.partly_from_anywhere(here, effect)
        if effect in self.analysed:
            new += self.analysed_again(here, effect, fresh=False)
            if len(self.blocks) > 1:
                new += self.analysed_again(here, effect, fresh=True)[:3]
        else:
            new += self.from_anywhere(here, effect, DRAWN_AGAIN, kept=2)
        if effect in self.delayed:
            new += [p for s in [here, *_best(new)[:1]] for p in self.with_delays(s, effect)]
        if not new:
            return
        by_waveform = sorted(self.by_waveform(np.array([p.positions for p in new])), key=lambda p: p.energy)
        starts = [p.positions for p in by_waveform[:2]]
        if len(self.blocks) > 1 or effect not in self.analysed:
            starts += [self._levels_lowered(p, 4, self.usual).positions for p in sorted(new, key=lambda p: p.energy)[:2]]
        begun = sorted((self.lowered(positions, FIRST_ITERATIONS) for positions in starts), key=lambda p: p.energy)
        if not self.found() and begun[0].energy < PROMISING * here.energy:
            self.lowered(begun[0].positions, 15)


def usual(candidates: Candidates) -> list[int]:
    """Positions that people move: not the fine ones, but the width of bands, and of knees that are not 0 by default."""
    return [i for i, p in enumerate(candidates.cards) if p.role != "fine" or (p.id in WIDTHS and p.default != 0.0)]


WIDTHS = {"q", "knee_db"}


def _best(states: list[Place]) -> list[Place]:
    """The best few, each once."""
    chosen: list[Place] = []
    for state in sorted(states, key=lambda s: s.energy):
        if all(np.abs(state.positions - k.positions).max() > 1e-3 for k in chosen):
            chosen.append(state)
        if len(chosen) == KEPT:
            break
    return chosen
