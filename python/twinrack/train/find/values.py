"""`find_values`: the values of a rack, and where its structure does not fit another one that does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...measure.distances import Distances, distances
from ...rack.card import Value
from ...rack.rack import Rack
from ...system import interrupt
from ..data import Pair, Split, split
from ..starts import OtherBands, lawful_of, other_bands_of
from ..structures import Structure
from .beginnings import moves_until, without_beginning
from .blocks import FOUND, REACHED, Place, Search
from .candidates import COMPARED_S, LONGEST_S, Candidates
from .in_chunks import one_thread_each
from .options import Change, changed, options_of, with_gain

CLEARLY = 0.5  # energy that another structure must come to, relative to the present one
PREFERRED = 0.1  # below this the rest need not be tried
ROUNDS = 3  # of changes of structure
MOST_CHANGES = 4  # of options, in one round
HELPS = 0.9  # energy that one more changed option must come to, relative to that without
FURTHER = 5  # options that are tried further, of all
RESET_COSTS = 1.02  # energy that may come with a value that goes back to where it was
FEW_BANDS = 4  # of an equaliser, that are taken as they come
FAR = 1e-4  # energy below which a missing gain is not what is missing
BLURRED = 3e-4  # energy above which an equaliser's present bands are left out of what is measured for others
LEAST = 1e-9  # energy below which nothing is told apart
BEGINNING_S = 8.0  # of recordings of more than twice that, which are searched first
FARTHER = 4.0  # energy of another structure relative to the best in the beginning, up to which it is tried on the whole
LEADS = 3  # other structures that are tried on the whole at most
LAW_ITERATIONS = 25
SURELY = 1e-4  # energy below which choices that a law of the gain gave are taken at once
LEAST_GAIN_DB = 0.05  # that is worth a Gain
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
        pairs: the recordings, with the frame from which each is compared.
    """

    rack: Rack
    addresses: list[str]
    energy: float
    tried: list[Structure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    pairs: list[Pair] = field(default_factory=list)


@dataclass(frozen=True)
class Lead:
    """A structure that came near: energy, rack, what the search had noted so far, and addresses of the values that moved."""

    energy: float
    rack: Rack
    notes: tuple[str, ...]
    moved: frozenset[str]


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
        self.pairs, self.splits, self.rate = list(pairs), list(splits), rate
        self.learned, self.opened, self.may_add, self.seed, self.report = learned, opened, may_add, seed, report
        self.deadline = np.inf if seconds is None else time.monotonic() + seconds
        self.notes: list[str] = []
        self.tried: list[Structure] = []
        self.leads: list[Lead] = []
        self.limits = COMPARED_S, LONGEST_S
        self.search: Search
        self._is_lawful = False  # the choices are known
        self._gain = ""  # address of the Gain that was added

    def run(self, rack: Rack) -> Findings:
        """Search from a rack's own values."""
        interrupted, put_back = False, []
        with one_thread_each():
            try:
                self._run(rack)
                put_back = self._put_back_undetermined(rack)
            except KeyboardInterrupt:
                if not hasattr(self, "search") or self.search.best is None:
                    raise
                interrupted = True
            place = self.search.nearest
            c = self.search.candidates
            result = c.rack_at(place.positions)
            for address in put_back:
                result.set(address, rack.get(address))
            if self._gain in result.addresses():
                gain = float(result.get(f"{self._gain}.gain_db"))
                way = "louder" if gain > 0 else "quieter"
                self.notes.append(f"wet is {abs(gain):.2f} dB {way} than this rack can play; {self._gain} was added at its end")
            self.tried.sort(key=lambda s: s.score)
            return Findings(result, c.addresses, place.energy, self.tried, self.notes, interrupted, self.pairs)

    def _run(self, rack: Rack) -> None:
        if sum(b - a for s in self.splits for a, b in s.train) > 2 * BEGINNING_S * self.rate:
            whole, self.limits = self.limits, (BEGINNING_S, BEGINNING_S)
            self._begin(rack)
            looked = self._look_further()
            self.limits = whole
            self._go_on_with_the_whole()
            if not self._ended() and not looked:
                self._look_further()
        else:
            self._begin(rack)
            self._look_further()

    def _go_on_with_the_whole(self) -> None:
        """Take the racks that came nearest in the beginning of the recordings to the whole of them, and keep the nearest."""
        first = self._lead(self.search)
        leads = [first]
        for lead in sorted(self.leads, key=lambda lead: lead.energy):
            near = lead.energy < FARTHER * first.energy and len(leads) <= LEADS
            if near and all(_differences(other.rack, lead.rack) for other in leads):
                leads.append(lead)
        for lead in leads:
            search = self._search_of(lead.rack, lead.moved)
            search.lowered(search.candidates.start, 20)
            self._say("waveform of the whole", search.best)
            log.debug("find: waveform of the whole %s: %.1f dB", _differences(first.rack, lead.rack), search.nearest.decibels)
            if lead is first or search.nearest.energy < CLEARLY * self._best().energy:
                self.search = search
                self.notes = list(lead.notes)
                if lead is not first:
                    self.notes.append(f"on the whole of the recordings {_differences(first.rack, lead.rack)} fits better")
            if self._ended():
                return
        self.search.again_in_turn()

    def _lead(self, search: Search) -> Lead:
        place = search.nearest
        moved = frozenset(search.candidates.addresses[i] for i in search.usual)
        return Lead(place.energy, search.candidates.rack_at(place.positions), tuple(self.notes), moved)

    def _begin(self, rack: Rack) -> None:
        """Search for the values, in as much of the recordings as `limits` says."""
        rack = self._with_bands(rack)
        law = self._by_law(rack)
        if law is not None and law[0].nearest.energy <= SURELY:
            self._take_law(*law)
            return
        search = self.search = self._search_of(rack)
        search.run(search.candidates.start)
        if not self._ended() and self._leave_out_beginnings(search):
            again = self._search_of(search.candidates.rack_at(search.nearest.positions))
            again.begin_at_start()
            self.search = again
            again.run(again.candidates.start)
            law = self._by_law(rack) or law
        if law is not None and law[0].nearest.energy < CLEARLY * self._best().energy:
            self._take_law(*law)

    def _by_law(self, rack: Rack) -> tuple[Search, str] | None:
        """The choices and values of an effect that is alone, where the recordings show them, and a sentence on them."""
        effects = {a: e for a, e in rack.addresses().items() if not e.bypass}
        lawful = lawful_of(next(iter(effects.values())).card) if len(effects) == 1 else None
        if lawful is None or self.opened is not None or any(e.key for e in effects.values()):
            return None
        address, effect = next(iter(effects.items()))
        learned = {a.partition(".")[2] for a in self.learned(rack) if a.partition(".")[0] == address}
        self._say("the gain over the level", None)
        best: tuple[Search, str] | None = None
        for values in lawful(effect, self.pairs, self.splits, self.rate, learned):
            search = self._search_of(changed(rack, {f"{address}.{n}": v for n, v in values.items()}))
            search.usual = list(range(len(search.candidates.addresses)))
            search.lowered(search.candidates.start, LAW_ITERATIONS)
            if best is None or search.nearest.energy < CLEARLY * best[0].nearest.energy:
                options = {n: v for n, v in values.items() if n not in learned and v != effect.get(n)}
                words = ", ".join(f"{address}.{n} = {v} (was {effect.get(n)})" for n, v in options.items())
                best = search, f"the gain is a function of one level: {words}" if words else ""
        return best

    def _take_law(self, search: Search, note: str) -> None:
        self.search = search
        self.notes += [note] if note else []
        self._is_lawful = search.nearest.energy <= SURELY

    def _leave_out_beginnings(self, search: Search) -> bool:
        """Leave out beginnings in which the target was not what it is afterwards; whether there are any that were not known."""
        rack = search.candidates.rack_at(search.nearest.positions)
        any_new = False
        for i, (pair, parts) in enumerate(zip(self.pairs, self.splits, strict=True)):
            if pair.compared_from:
                continue
            end = min(pair.frames, int(2.0 * BEGINNING_S * self.rate))
            first = moves_until(rack(pair.dry[:, :end], self.rate), pair.wet[:, :end], self.rate)
            if first:
                any_new = True
                self.pairs[i] = replace(pair, compared_from=first)
                self.splits[i] = parts.after(first)
                self.notes.append(
                    f"the first {first / self.rate:.2f} s of {pair.name} differ from the rest, as of a processor that still "
                    "moves to its settings; they are not compared"
                )
        return any_new

    def _look_further(self) -> bool:
        """Where the values do not reach the target, also let those move that seldom do, and try other structures; whether
        there was a reason to."""
        if self._ended():
            return False
        self._with_fine_values()
        self.leads.append(self._lead(self.search))
        far = not self._ended() and self._best().energy > FAR
        if far and self.may_add and not self.search.candidates.set_level(self._best().positions):
            self._with_gain()
        for _ in range(0 if self._is_lawful else ROUNDS):
            if self._ended() or not (self._other_bands() or self._other_options()):
                break
        return True

    # --- the present search ------------------------------------------------------------------------------------------

    def _search_of(self, rack: Rack, moved: frozenset[str] = frozenset()) -> Search:
        """A search from a rack's values; `moved`: addresses of values that move besides the usual ones."""
        candidates = Candidates(rack, self.learned(rack), self.pairs, self.splits, self.rate, *self.limits)
        search = Search(candidates, self.seed, self.deadline, self._say)
        search.usual = [i for i, a in enumerate(candidates.addresses) if i in search.usual or a in moved]
        return search

    def _say(self, what: str, best: Place | None) -> None:
        if self.report is not None:
            self.report(what, np.nan if best is None else best.decibels)

    def _best(self) -> Place:
        return self.search.nearest

    def _ended(self) -> bool:
        return self._best().energy <= REACHED or time.monotonic() > self.deadline or self.search.residual().is_noise

    # --- other structures --------------------------------------------------------------------------------------------

    def _with_bands(self, rack: Rack) -> Rack:
        """Equalisers none of whose bands is on get some, as the recordings say."""
        for address, effect in rack.addresses().items():
            other = other_bands_of(effect.card)
            if other is None or effect.bypass or any(a.startswith(f"{address}.") for a in self.learned(rack)):
                continue
            answers = self._bands_of(rack, address, other, False)
            if answers and sum(n.endswith(".type") and v != "off" for n, v in answers[0].items()) > FEW_BANDS:
                answers = self._bands_of(rack, address, other, True)  # so many seldom make sense
            if answers:
                rack = changed(rack, {f"{address}.{n}": v for n, v in answers[0].items()})
                self.notes.append(f"{address} had no band; {_bands(rack, address)}")
        return rack

    def _bands_of(self, rack: Rack, address: str, other: OtherBands, thorough: bool, blurred: bool = True) -> list[Change]:
        """Values of an equaliser with other bands, for what its rack lacks.

        Args:
            thorough: see `other_bands` of the effect.
            blurred: leave out the present bands, which would only blur what is measured.
        """
        alone = sum(not e.bypass for e in rack.addresses().values()) == 1
        if alone and blurred:
            rack = changed(rack, {f"{address}.{n}": "off" for n in rack[address].card.addresses if n.endswith(".type")})
        c = Candidates(rack, [], self.pairs, self.splits, self.rate, *self.limits)
        present = Search(c, self.seed, self.deadline).present_for(np.zeros(0), several=not alone)
        return other(rack[address], *without_beginning(present, c.wet, self.rate), self.rate, alone, self.seed, thorough)

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

    def _with_gain(self) -> None:
        """A Gain at the end, where the target is louder or quieter by a constant."""
        added, address = with_gain(self.search.candidates.rack)
        search = self._search_of(added)
        search.run(search.candidates.start)
        if search.nearest.energy < CLEARLY * self._best().energy:
            rack = search.candidates.rack_at(search.nearest.positions)
            if abs(float(rack.get(f"{address}.gain_db"))) < LEAST_GAIN_DB:  # the values are better, the gain is not needed
                rack.remove(address)
                search = self._search_of(rack)
                search.lowered(search.candidates.start, 20)
                if search.nearest.energy < CLEARLY * self._best().energy:
                    self.search = search
                return
            self.search, self._gain = search, address
            log.debug("find: with %s, %.1f dB", address, self._best().decibels)

    def _other_bands(self) -> bool:
        """Other types and another number of bands of an equaliser, and its other choices; whether that clearly helped."""
        for address in list(self.search.analysed):
            c = self.search.candidates
            effect = c.rack[address]
            other = other_bands_of(effect.card)
            types = [f"{address}.{n}" for n, p in effect.card.addresses.items() if n.endswith(".type")]
            if other is None or (self.opened is not None and not set(types) & set(self.opened)):
                continue
            rack = c.rack_at(self._best().positions)
            best: tuple[Search, Change] | None = None
            for values in self._bands_of(rack, address, other, True, self._best().energy > BLURRED):
                change = {f"{address}.{n}": v for n, v in values.items()}
                if time.monotonic() > self.deadline or not self._may_choose(rack, change):
                    continue
                search = self._tried(changed(rack, change), change)
                if best is None or search.nearest.energy < best[0].nearest.energy:
                    best = search, change
                if search.found():
                    break
            if best is None:
                continue
            search, change = best
            if self._leave_out_beginnings(search):
                present = self._search_of(rack)
                present.lowered(present.candidates.start, 12)
                self.search = present
                search = self._tried(search.candidates.rack_at(search.nearest.positions), change)
            if not search.found():
                search.run(search.nearest.positions)
            if search.nearest.energy < CLEARLY * self._best().energy:
                search = self._without_needless_bands(search, [a for a in change if a.endswith(".type")])
                note = f"other bands fit better: {_bands(search.candidates.rack, address)}"
                search, own = self._without_needless_changes(search, rack, {a: change[a] for a in _own_choices(rack, change)})
                self._accept(search, ", ".join([note, *(f"{a} = {v}" for a, v in own.items())]))
                return True
        return False

    def _may_choose(self, rack: Rack, change: Change) -> bool:
        """Whether those options of a change that are not a band's are open."""
        own = _own_choices(rack, change)
        return self.opened is None or all(a in self.opened and change[a] in self.opened[a] for a in own)

    def _as_near_with(self, search: Search, change: Change) -> Search | None:
        """A search with something changed, where it stays as near after a few steps."""
        trial = self._search_of(changed(search.candidates.rack_at(search.nearest.positions), change))
        trial.lowered(trial.candidates.start, 12)
        return trial if trial.nearest.energy <= max(search.nearest.energy * RESET_COSTS, FOUND) else None

    def _without_needless_bands(self, search: Search, types: Sequence[str]) -> Search:
        """Bands go off one by one while the rest, moved a little, stays as near."""
        while True:
            rack = search.candidates.rack_at(search.nearest.positions)
            on = [a for a in types if rack.get(a) != "off"]
            fewer = []
            for address in on if len(on) > 1 else ():
                trial = self._search_of(changed(rack, {address: "off"}))
                fewer.append((trial.by_waveform(trial.candidates.start[None])[0].energy, address))
            for _, address in sorted(fewer)[:2]:
                without = self._as_near_with(search, {address: "off"})
                if without is not None:
                    search = without
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
            if trial.nearest.energy > HELPS * search.nearest.energy:
                break
            search, present = trial, {**present, **change}
            if search.residual().is_noise:
                break
        if not present:
            return False
        if not search.found():
            search.run(search.nearest.positions)
        if search.nearest.energy > CLEARLY * before.energy:
            return False
        if len(present) > 1:
            search, present = self._without_needless_changes(search, rack, present)
        words = ", ".join(f"{a} = {v} (was {rack.get(a)})" for a, v in present.items())
        options = "other options fit" if len(present) > 1 else "another option fits"
        self._accept(search, f"{options} better: {words}")
        return True

    def _one_more_option(self, present: Search) -> tuple[Search, Change] | None:
        """The change of one choice that comes nearest. All are compared by levels first, and the best of those further."""
        here = present.nearest
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
            if best is None or search.nearest.energy < best[0].nearest.energy:
                best = search, change
            if search.found() or search.nearest.energy < PREFERRED * here.energy or time.monotonic() > self.deadline:
                break
        return best

    def _without_needless_changes(self, search: Search, rack: Rack, present: Change) -> tuple[Search, Change]:
        """Options go back to what they were where that is as near."""
        for address in list(present):
            without = self._as_near_with(search, {address: rack.get(address)})
            if without is not None:
                search, present = without, {a: v for a, v in present.items() if a != address}
        return search, present

    def _tried(self, rack: Rack, change: Change) -> Search:
        """A short search with another structure, from the present values."""
        search = self._search_of(rack)
        self._try(search, change)
        return search

    def _try(self, search: Search, change: Change) -> None:
        effects = {a.partition(".")[0] for a in change}
        start = search.candidates.start
        search.lowered(start, 12)
        if not search.found():
            states = search.by_levels(start[None])
            for effect in effects & search.blocks.keys() - search.analysed.keys():
                states += search.from_anywhere(states[0], effect, 24, kept=2, iterations=5)
            for state in sorted(states, key=lambda s: s.energy)[:2]:
                search.lowered(search.levels_lowered(state).positions, 10)
        present = self.search.candidates.rack.values()
        named = search.candidates.rack.values().items()
        options: Change = {a: v for a, v in named if not isinstance(v, float) and v not in ("off", present.get(a))}
        self.tried.append(Structure(options, self._distances(search), search.nearest.energy**0.5, 0))
        self.leads.append(self._lead(search))
        log.debug("find: tried %s: %.1f dB", options, search.nearest.decibels)

    def _distances(self, search: Search) -> Distances:
        """On the held-out frames."""
        rack = search.candidates.rack_at(search.nearest.positions)
        pieces = []
        for pair, parts in zip(self.pairs, self.splits, strict=True):
            y = rack(pair.dry, self.rate)
            pieces += [(y[:, a:b], pair.wet[:, a:b]) for a, b in parts.held_out]
        return distances(pieces, self.rate)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _put_back_undetermined(self, given: Rack) -> list[str]:
        """Addresses of values that the sound does not depend on; they are where they were in the given rack."""
        search, c = self.search, self.search.candidates
        place = self._best()
        limit = max(place.energy * RESET_COSTS, LEAST)
        had = given.values()
        before = [p.position(float(had.get(a, p.at(u)))) for a, p, u in zip(c.addresses, c.cards, c.start, strict=True)]
        moved = [i for i, u in enumerate(before) if abs(place.positions[i] - u) > 1e-9]
        if not moved:
            return []
        alone = np.repeat(place.positions[None], len(moved), 0)
        for row, i in zip(alone, moved, strict=True):
            row[i] = before[i]
        harmless = [(p.energy, i) for p, i in zip(search.by_waveform(alone), moved, strict=True) if p.energy <= limit]
        positions, put_back = place.positions.copy(), []
        for _, i in sorted(harmless):
            tried = positions.copy()
            tried[i] = before[i]
            energy = search.by_waveform(tried[None])[0].energy
            if energy <= limit:
                positions, place = tried, Place(energy, tried)
                put_back.append(c.addresses[i])
        search.best = place
        return [a for a in put_back if a in had]


def _own_choices(rack: Rack, change: Change) -> list[str]:
    """Addresses of what changes and is not a band's."""
    return [a for a, v in change.items() if a.count(".") == 1 and rack.get(a) != v]


def _bands(rack: Rack, address: str) -> str:
    """The types of an equaliser's bands that are on, for a sentence."""
    types = [str(v) for n, v in rack[address].values().items() if n.endswith(".type") and v != "off"]
    return f"it has {', '.join(types)} now" if types else "it has none now"


def _differences(before: Rack, after: Rack) -> str:
    """Names the options of a rack that are not another one's, and what it has besides."""
    values = before.values()
    words = [f"{a} = {v}" for a, v in after.values().items() if not isinstance(v, float) and a in values and values[a] != v]
    return ", ".join([*words, *(f"with {a}" for a in after.addresses() if a not in before.addresses())])


def find_values(
    rack: Rack,
    pairs: Sequence[Pair],
    rate: float,
    learned: Learned,
    *,
    validation: bool,
    opened: dict[str, Sequence[Value]] | None,
    may_add: bool,
    seed: int,
    seconds: float | None,
    report: Report,
) -> Findings:
    """The findings of a search by renders, from a rack's own values.

    Args:
        pairs, rate, learned, opened, may_add, seed, seconds, report: see `Finder`.
        validation: every fifth stretch of the recordings is not looked at.

    Raises:
        KeyboardInterrupt: Ctrl-C, before anything was found.
    """
    splits = [split(p.frames, rate, validation) for p in pairs]
    finder = Finder(pairs, splits, rate, learned, opened=opened, may_add=may_add, seed=seed, seconds=seconds, report=report)
    with interrupt.deferred():
        return finder.run(rack)
