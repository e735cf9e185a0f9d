"""`find_values`: the values of a rack, and where its structure does not fit another one that does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...measure.distances import Distances, distances
from ...rack.card import Value
from ...rack.rack import Rack
from ..data import Pair, Split
from ..starts import other_bands_of
from ..structures import Structure
from .blocks import FOUND, REACHED, Place, Search
from .candidates import Candidates
from .in_chunks import one_thread_each
from .options import Change, changed, options_of, with_gain

CLEARLY = 0.5  # energy that another structure must come to, relative to the present one
PREFERRED = 0.1  # below this the rest need not be tried
ROUNDS = 3  # of changes of structure
MOST_CHANGES = 4  # of options, in one round
HELPS = 0.9  # energy that one more changed option must come to, relative to that without
FURTHER = 5  # options that are tried further, of all
RESET_COSTS = 1.02  # energy that may come with a value that goes back to where it was
FAR = 1e-4  # energy below which a missing gain is not what is missing
LEAST = 1e-9  # energy below which nothing is told apart
log = logging.getLogger("twinrack")
Learned = Callable[[Rack], list[str]]
Report = Callable[[str, float], None]


@dataclass
class Findings:
    """Result of a search.

    Attributes:
        rack: with the values, and with the structure, that came nearest.
        addresses: of the values that were looked for.
        energy: of the difference relative to the target, over the compared frames.
        tried: the other structures, nearest first.
        notes: what was changed besides values, a sentence each.
        interrupted: Ctrl-C ended it.
    """

    rack: Rack
    addresses: list[str]
    energy: float
    tried: list[Structure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False


class Finder:
    """A search over values, and over structures where values alone do not reach the target.

    Args:
        pairs, splits, rate: the recordings, and which frames of each may be looked at.
        learned: addresses that are looked for in a rack.
        opened: options of choices to try; None: those that a person would try; empty: none.
        may_add: a Gain may be put at the end.
        seed: of all that is drawn.
        seconds: after which nothing new is begun; None: no limit.
        report: called with what is being done and the best error in dB so far.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        splits: Sequence[Split],
        rate: float,
        learned: Learned,
        *,
        opened: dict[str, Sequence[Value]] | None = None,
        may_add: bool = True,
        seed: int = 0,
        seconds: float | None = None,
        report: Report | None = None,
    ) -> None:
        self.pairs, self.splits, self.rate = pairs, splits, rate
        self.learned, self.opened, self.may_add, self.seed, self.report = learned, opened, may_add, seed, report
        self.deadline = np.inf if seconds is None else time.monotonic() + seconds
        self.notes: list[str] = []
        self.tried: list[Structure] = []
        self.search: Search

    def run(self, rack: Rack) -> Findings:
        """Search from a rack's own values."""
        interrupted = False
        with one_thread_each():
            try:
                self._run(rack)
            except KeyboardInterrupt:
                if not hasattr(self, "search") or self.search.best is None:
                    raise
                interrupted = True
            place = self._best()
            c = self.search.candidates
            result = c.rack_at(place.positions)
            self.tried.sort(key=lambda s: s.score)
            return Findings(result, c.addresses, place.energy, self.tried, self.notes, interrupted)

    def _run(self, rack: Rack) -> None:
        rack = self._with_bands(rack)
        self.search = self._search_of(rack)
        self.search.run(self.search.candidates.start)
        if self._ended():
            self._settle()
            return
        self._with_fine_values()
        far = not self._ended() and self._best().energy > FAR
        if far and self.may_add and not self.search.candidates.set_level(self._best().positions):
            self._with_gain(rack)
        for _ in range(ROUNDS):
            if self._ended() or not (self._other_bands() or self._other_options()):
                break
        self._settle()

    # --- the present search ------------------------------------------------------------------------------------------

    def _search_of(self, rack: Rack) -> Search:
        candidates = Candidates(rack, self.learned(rack), self.pairs, self.splits, self.rate)
        return Search(candidates, self.seed, self.deadline, self._say)

    def _say(self, what: str, best: Place | None) -> None:
        if self.report is not None:
            self.report(what, np.nan if best is None else best.decibels)

    def _best(self) -> Place:
        assert self.search.best is not None
        return self.search.best

    def _ended(self) -> bool:
        return self._best().energy <= REACHED or time.monotonic() > self.deadline or self.search.residual().is_noise

    # --- other structures --------------------------------------------------------------------------------------------

    def _with_bands(self, rack: Rack) -> Rack:
        """Equalisers none of whose bands is on get some, as the recordings say."""
        for address, effect in rack.addresses().items():
            other = other_bands_of(effect.card)
            if other is None or effect.bypass or any(a.startswith(f"{address}.") for a in self.learned(rack)):
                continue
            c = Candidates(rack, [], self.pairs, self.splits, self.rate)
            search = Search(c, self.seed, self.deadline)
            alone = sum(not e.bypass for e in rack.addresses().values()) == 1
            present = search.present_for(np.zeros(0), several=not alone)
            answers = other(effect, present, c.wet, self.rate, alone, self.seed)
            if answers:
                rack = changed(rack, {f"{address}.{n}": v for n, v in answers[0].items()})
                self.notes.append(f"{address} had no band; {_bands(rack, address)}")
        return rack

    def _with_fine_values(self) -> None:
        """Let also the values move that people seldom move; keep it where that clearly helps."""
        search, before = self.search, self._best()
        every = list(range(len(search.candidates.addresses)))
        if len(search.usual) == len(every):
            return
        search.usual = every
        search.lowered(before.positions, 25)
        if not search.found():
            for effect in search.blocks:
                search.again(effect)
                if search.found():
                    break
            search.lowered(self._best().positions, 25)
        if self._best().energy > CLEARLY * before.energy:
            search.best = before

    def _accept(self, search: Search, note: str) -> None:
        self.search = search
        self.notes.append(note)
        log.debug("find: %s, %.1f dB", note, self._best().decibels)

    def _with_gain(self, rack: Rack) -> None:
        """A Gain at the end, where the target is louder or quieter by a constant."""
        added, address = with_gain(rack)
        search = self._search_of(added)
        search.run(search.candidates.start)
        assert search.best is not None
        if search.best.energy < CLEARLY * self._best().energy:
            gain = float(search.candidates.rack_at(search.best.positions).get(f"{address}.gain_db"))
            way = "louder" if gain > 0 else "quieter"
            self._accept(search, f"wet is {abs(gain):.2f} dB {way} than this rack can play; {address} was added at its end")

    def _other_bands(self) -> bool:
        """Other types and another number of bands of an equaliser; whether that clearly helped."""
        for address in list(self.search.analysed):
            c = self.search.candidates
            effect = c.rack[address]
            other = other_bands_of(effect.card)
            types = [f"{address}.{n}" for n, p in effect.card.addresses.items() if n.endswith(".type")]
            if other is None or (self.opened is not None and not set(types) & set(self.opened)):
                continue
            before = self._best()
            rack = c.rack_at(before.positions)
            present = self.search.present_for(before.positions)
            answers = other(rack[address], present, c.wet, c.rate, len(self.search.blocks) == 1, self.seed)
            for values in answers:
                change = {f"{address}.{n}": v for n, v in values.items()}
                search = self._tried(changed(rack, change), change, hard=True)
                if search.best is not None and search.best.energy < CLEARLY * before.energy:
                    search = self._without_needless_bands(search, [a for a in change if a.endswith(".type")])
                    self._accept(search, f"other bands fit better: {_bands(search.candidates.rack, address)}")
                    return True
        return False

    def _without_needless_bands(self, search: Search, types: Sequence[str]) -> Search:
        """Bands go off one by one while the rest, moved a little, stays as near."""
        assert search.best is not None
        while True:
            rack = search.candidates.rack_at(search.best.positions)
            on = [a for a in types if rack.get(a) != "off"]
            limit = max(search.best.energy * RESET_COSTS, FOUND)
            fewer = []
            for address in on if len(on) > 1 else ():
                trial = self._search_of(changed(rack, {address: "off"}))
                fewer.append((trial.by_waveform(trial.candidates.start[None])[0].energy, address, trial))
            for _, _, trial in sorted(fewer, key=lambda f: f[0])[:2]:
                trial.lowered(trial.candidates.start, 12)
                assert trial.best is not None
                if trial.best.energy <= limit:
                    search = trial
                    break
            else:
                return search

    def _other_options(self) -> bool:
        """Other options of one or more choices; whether they clearly helped."""
        before = self._best()
        rack = self.search.candidates.rack_at(before.positions)
        present: Change = {}
        search = self.search
        while len(present) < MOST_CHANGES and not (search.found() or time.monotonic() > self.deadline):
            further = self._one_more_option(search)
            if further is None:
                break
            trial, change = further
            assert trial.best is not None
            assert search.best is not None
            if trial.best.energy > HELPS * search.best.energy:
                break
            search, present = trial, {**present, **change}
            if search.residual().is_noise:
                break
        if not present:
            return False
        assert search.best is not None
        if not search.found():
            search.run(search.best.positions)
        if search.best.energy > CLEARLY * before.energy:
            return False
        search, present = self._without_needless_changes(search, rack, present)
        words = ", ".join(f"{a} = {v} (was {rack.get(a)})" for a, v in present.items())
        options = "other options fit" if len(present) > 1 else "another option fits"
        self._accept(search, f"{options} better: {words}")
        return True

    def _one_more_option(self, present: Search) -> tuple[Search, Change] | None:
        """The change of one choice that comes nearest. All are compared by levels first, and the best of those further."""
        assert present.best is not None
        here = present.best
        rack = present.candidates.rack_at(here.positions)
        ranked: list[tuple[float, Search, Change]] = []
        for change in options_of(rack, present.candidates.wet.shape[0], self.opened):
            if time.monotonic() > self.deadline:
                break
            search = self._search_of(changed(rack, change))
            start = search.by_levels(search.candidates.start[None])[0]
            ranked.append((search.levels_lowered(start).energy, search, change))
        best: tuple[Search, Change] | None = None
        for _, search, change in sorted(ranked, key=lambda r: r[0])[:FURTHER]:
            self._try(search, change)
            assert search.best is not None
            if best is None or best[0].best is None or search.best.energy < best[0].best.energy:
                best = search, change
            if search.found() or search.best.energy < PREFERRED * here.energy or time.monotonic() > self.deadline:
                break
        return best

    def _without_needless_changes(self, search: Search, rack: Rack, present: Change) -> tuple[Search, Change]:
        """Options go back to what they were where that is as near."""
        for address in list(present) if len(present) > 1 else ():
            assert search.best is not None
            limit = max(search.best.energy * RESET_COSTS, FOUND)
            trial = self._search_of(changed(search.candidates.rack_at(search.best.positions), {address: rack.get(address)}))
            trial.lowered(trial.candidates.start, 12)
            assert trial.best is not None
            if trial.best.energy <= limit:
                search, present = trial, {a: v for a, v in present.items() if a != address}
        return search, present

    def _tried(self, rack: Rack, change: Change, hard: bool = False) -> Search:
        """A short search with another structure, from the present values."""
        search = self._search_of(rack)
        self._try(search, change, hard)
        return search

    def _try(self, search: Search, change: Change, hard: bool = False) -> None:
        effects = {a.partition(".")[0] for a in change}
        start = search.candidates.start
        search.lowered(start, 12)
        if not search.found():
            states = search.by_levels(start[None])
            for effect in effects & search.blocks.keys() - search.analysed.keys():
                states += search.from_anywhere(states[0], effect, 24, kept=2, iterations=5)
            for state in sorted(states, key=lambda s: s.energy)[:2]:
                search.lowered(search.levels_lowered(state).positions, 10)
        if hard and not search.found() and search.best is not None:
            search.run(search.best.positions)
        assert search.best is not None
        present = self.search.candidates.rack.values()
        named = search.candidates.rack.values().items()
        options: Change = {a: v for a, v in named if not isinstance(v, float) and v not in ("off", present.get(a))}
        self.tried.append(Structure(options, self._distances(search), search.best.energy**0.5, 0))
        log.debug("find: tried %s: %.1f dB", options, search.best.decibels)

    def _distances(self, search: Search) -> Distances:
        """On the held-out frames."""
        assert search.best is not None
        rack = search.candidates.rack_at(search.best.positions)
        pieces = []
        for pair, split in zip(self.pairs, self.splits, strict=True):
            y = rack(pair.dry, self.rate)
            pieces += [(y[:, a:b], pair.wet[:, a:b]) for a, b in split.held_out]
        return distances(pieces, self.rate)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Values that the sound does not depend on go back to where they were before the search."""
        search, c = self.search, self.search.candidates
        place = self._best()
        limit = max(place.energy * RESET_COSTS, LEAST)
        moved = [i for i in range(c.start.size) if abs(place.positions[i] - c.start[i]) > 1e-9]
        if not moved:
            return
        alone = np.repeat(place.positions[None], len(moved), 0)
        for row, i in zip(alone, moved, strict=True):
            row[i] = c.start[i]
        harmless = [(p.energy, i) for p, i in zip(search.by_waveform(alone), moved, strict=True) if p.energy <= limit]
        positions = place.positions.copy()
        for _, i in sorted(harmless):
            tried = positions.copy()
            tried[i] = c.start[i]
            energy = search.by_waveform(tried[None])[0].energy
            if energy <= limit:
                positions, place = tried, Place(energy, tried)
        search.best = place


def _bands(rack: Rack, address: str) -> str:
    """The types of an equaliser's bands that are on, for a sentence."""
    types = [str(v) for n, v in rack[address].values().items() if n.endswith(".type") and v != "off"]
    return f"it has {', '.join(types)} now" if types else "it has none now"
