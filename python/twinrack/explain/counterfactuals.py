"""Counterfactuals: the least change, in just-noticeable differences (JND), with which a wish comes true.

Few values are moved, inside what their cards expect or towards it, and each answer is rendered again and measured, so that
it is a fact about the sound and not about a model of it. (S. Wachter, B. Mittelstadt, C. Russell, Counterfactual explanations
without opening the black box, Harvard JOLT 31, 2018; sparsity and validity after R. Guidotti, Data Mining and Knowledge
Discovery, 2022.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..audio import Audio, as_planar, check_rate
from ..checks import check_integer
from ..perceptual import jnds_between
from ..rack.card import Parameter
from ..rack.rack import Rack, as_rack
from ..rack.running import Sidechain
from ..system.interrupt import check
from .evidence_map import values_of
from .wishes import Rendering, Wish, parse_wish

Numbers = npt.NDArray[np.float64]

FIRST_JNDS, GROWTH = 0.25, 2.0  # of the steps away from the present value
REFINED, ROUNDS = 7, 3  # points inside a bracket, and how often
VALLEYS, VALLEY_ROUNDS = 6, 5  # values whose least miss is looked for between the steps
MOST_CHANGES = 3
AT_ONCE = 16  # renders whose sound is held at the same time
FADE_S = 0.01
LOUDEST_DB = 40.0


@dataclass(frozen=True)
class Change:
    """One value that moves: `jnds` is how far, negative downwards."""

    address: str
    before: float
    after: float
    unit: str
    jnds: float

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"{self.address} {self.before:.4g} -> {self.after:.4g}{unit} ({self.jnds:+.2g} JND)"


@dataclass(frozen=True)
class Counterfactual:
    """One answer.

    Attributes:
        wish: what was asked for.
        changes: the values that move.
        before: the figure now; `after`: when the changed rack is rendered.
        met: whether that is what was wanted.
        heard_jnds: how many JNDs the whole sound moves, where it does so most (see `perceptual.Noticeable`).
        forbids: sentences on what stands in the way, where the wish is not met.
        rack: with the changes.
    """

    wish: Wish
    changes: tuple[Change, ...]
    before: float
    after: float
    met: bool
    heard_jnds: float
    rack: Rack
    forbids: tuple[str, ...] = ()

    @property
    def jnds(self) -> float:
        """The changes' JNDs together."""
        return sum(abs(c.jnds) for c in self.changes)

    def __str__(self) -> str:
        what = ", ".join(map(str, self.changes)) or "nothing"
        result = f"{self.wish.name} {self.before:.2f} -> {self.after:.2f} {self.wish.unit}"
        if self.met:
            return f"change {what}: {result}; the sound moves by {self.heard_jnds:.2g} JND at most"
        return f"not met ({self.wish}); nearest: change {what}: {result}. " + " ".join(self.forbids)


def counterfactual(
    rack: Rack,
    x: npt.ArrayLike,
    sample_rate: float,
    want: Wish | str,
    change: Iterable[str] = ("*",),
    *,
    keep: Iterable[str] = (),
    alternatives: int = 3,
    target: npt.ArrayLike | None = None,
    sidechain: Sidechain = None,
) -> list[Counterfactual]:
    """The least changes of a rack's values that make a wish come true, each of them rendered and measured.

    Args:
        rack: it is not changed.
        x: (channels, frames) or (frames,): the sound that goes in.
        sample_rate: Hz.
        want: a wish (see `wishes`), or its text, such as "loudness=-16" or "reduction of compressor=6".
        change: addresses that may move, * for any ("compressor.*"); only numbers do.
        keep: addresses that may not.
        alternatives: at most so many answers, the least change first; several values move only where no single one does.
        target: the sound that a wish for the error means.
        sidechain: as in a call of the rack.

    Returns:
        Answers that meet the wish; where none does, the nearest one, whose `forbids` says what stands in the way.

    Raises:
        ValueError: the wish is not understood, or no value may move.
    """
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    rack = as_rack(rack)
    goal = None if target is None else as_planar(target, "the target")[0]
    wish = parse_wish(want, rack, sound, rate, goal, sidechain) if isinstance(want, str) else want
    check_integer(alternatives, "alternatives", 1)
    held = set(values_of(rack, keep)) if list(keep) else set()
    free = {a: p for a, p in values_of(rack, change, sound.shape[0]).items() if a not in held}
    if not free:
        raise ValueError("no value may move; name addresses in `change` that are not in `keep`")
    return _Search(rack, sound, rate, wish, free, sidechain).run(alternatives)


@dataclass
class _Try:
    """A set of moved values, in JNDs by address, and the figure with it."""

    moves: dict[str, float]
    value: float
    miss: float

    @property
    def jnds(self) -> float:
        return sum(abs(j) for j in self.moves.values())

    @property
    def rank(self) -> tuple[float, float]:
        """The order of those that do not meet a wish: the nearest first, of equally near ones the least move."""
        return round(self.miss, 3), self.jnds


@dataclass
class _Search:
    rack: Rack
    sound: Audio
    rate: float
    wish: Wish
    free: dict[str, Parameter]
    sidechain: Sidechain
    limits: dict[str, tuple[float, float]] = field(init=False)  # JNDs downwards and upwards, to the ends of what is expected
    unmoved: _Try = field(init=False)

    def __post_init__(self) -> None:
        self.limits = {}
        for address, p in self.free.items():
            value = float(self.rack.get(address))
            ends = [p.jnds(value, end) or 0.0 for end in p.expected]
            self.limits[address] = (min(ends[0], 0.0), max(ends[1], 0.0))
        (self.unmoved,) = self._tried([{}])

    def run(self, alternatives: int) -> list[Counterfactual]:
        if self.unmoved.miss <= 0.0:
            return [self._answer(self.unmoved)]
        singles, nearest = self._one_more({}, alternatives)
        answers = sorted(singles, key=lambda t: t.jnds)[:alternatives]
        beginnings = sorted(nearest, key=lambda t: (t.miss, t.jnds))
        for begin in beginnings[:alternatives] if not answers else ():
            further = self._greedy(begin)
            if further is not None and not any(set(t.moves) <= set(further.moves) for t in answers):
                answers.append(further)
        if answers:
            return [self._answer(t) for t in sorted(answers, key=lambda t: t.jnds)]
        return [self._answer(self._nearest(beginnings))]

    def _values(self, moves: Mapping[str, float]) -> dict[str, float]:
        return {a: self.free[a].moved_by(float(self.rack.get(a)), j) for a, j in moves.items()}

    def _tried(self, many: Sequence[Mapping[str, float]]) -> list[_Try]:
        """Each set of moves, rendered and measured."""
        check()
        addresses = sorted({a for moves in many for a in moves})
        present = {a: float(self.rack.get(a)) for a in addresses}
        rows = [present | self._values(moves) for moves in many]
        columns = {a: np.array([row[a] for row in rows]) for a in addresses}
        values = np.concatenate(
            [
                self.wish.measured(
                    Rendering(
                        self.rack,
                        {a: column[first : first + AT_ONCE] for a, column in columns.items()},
                        self.sound,
                        self.rate,
                        self.sidechain,
                    )
                )
                for first in range(0, len(rows), AT_ONCE)
            ]
        )
        if not np.isfinite(values).all():
            raise ValueError(f"{self.wish.name} is NaN or infinity for this sound, so nothing can be wished of it")
        misses = self.wish.miss(values)
        return [_Try(dict(m), float(v), float(x)) for m, v, x in zip(many, values, misses, strict=True)]

    def _steps(self, address: str) -> list[float]:
        """Places to look at, in JNDs, outwards on both sides."""
        steps: list[float] = []
        for end in self.limits[address]:
            size, sign = FIRST_JNDS, 1.0 if end > 0.0 else -1.0
            while size < abs(end):
                steps.append(sign * size)
                size *= GROWTH
            if end != 0.0:
                steps.append(end)
        return steps

    def _one_more(self, fixed: dict[str, float], wanted: int = 1) -> tuple[list[_Try], list[_Try]]:
        """With one more value moved: at least so many that meet the wish with the least move, where there are as many, and of
        the values that do not meet it the nearest."""
        others = [a for a in self.free if a not in fixed]
        grid = [(a, s) for a in others for s in self._steps(a)]
        if not grid:
            return [], []
        tries = self._tried([{**fixed, a: s} for a, s in grid])
        here = self._tried([fixed])[0] if fixed else self.unmoved
        by_address = {a: [t for (b, _), t in zip(grid, tries, strict=True) if b == a] for a in others}
        nearest: list[_Try] = []
        brackets: list[tuple[str, tuple[float, _Try], _Try]] = []
        for address, own in by_address.items():
            known = len(brackets)
            for side in (-1.0, 1.0):
                inner = 0.0, here
                for t in sorted((t for t in own if t.moves[address] * side > 0.0), key=lambda t: abs(t.moves[address])):
                    if t.miss <= 0.0 or _crossed(self.wish, inner[1].value, t.value):
                        brackets.append((address, inner, t))
                        break
                    inner = t.moves[address], t
            if own and len(brackets) == known:
                nearest.append(min(own, key=lambda t: t.rank))
        met: dict[str, _Try] = {}
        for address, (near, inner_try), far in sorted(brackets, key=lambda b: abs(b[1][0])):
            least = sorted(t.jnds for t in met.values())
            if len(least) >= wanted and least[wanted - 1] <= abs(near) + sum(map(abs, fixed.values())):
                break  # what is further away can only cost more
            refined = self._refined(fixed, address, near, inner_try.value, far)
            if refined is not None and (address not in met or refined.jnds < met[address].jnds):
                met[address] = refined
            elif refined is None:  # the figure jumps over what is wanted
                nearest.append(min(by_address[address], key=lambda t: t.rank))
        for which in np.argsort([t.miss for t in nearest])[:VALLEYS] if len(met) < wanted else ():
            best = nearest[which]
            address = next(a for a in best.moves if a not in fixed)
            deepest = self._valley(fixed, address, [here, *by_address[address]])
            if deepest.miss <= 0.0:
                met[address] = deepest
            elif deepest.miss < best.miss:
                nearest[which] = deepest
        return list(met.values()), nearest

    def _valley(self, fixed: dict[str, float], address: str, tries: list[_Try]) -> _Try:
        """The least miss along one value, between the places that were looked at."""
        known = sorted(tries, key=lambda t: t.moves.get(address, 0.0))
        for _ in range(VALLEY_ROUNDS):
            least = min(range(len(known)), key=lambda i: known[i].miss)
            ends = [known[max(least - 1, 0)], known[min(least + 1, len(known) - 1)]]
            low, high = (t.moves.get(address, 0.0) for t in ends)
            places = np.linspace(low, high, REFINED + 2)[1:-1]
            known = sorted(
                [*ends, known[least], *self._tried([{**fixed, address: float(place)} for place in places])],
                key=lambda t: t.moves.get(address, 0.0),
            )
            met = [t for t in known if t.miss <= 0.0]
            if met:
                return min(met, key=lambda t: t.jnds)
        return min(known, key=lambda t: t.miss)

    def _refined(self, fixed: dict[str, float], address: str, near: float, value: float, far: _Try) -> _Try | None:
        """The least move between one that does not meet the wish and one that does, or that overshoots.

        Args:
            near, value: the first one's move in JNDs, and the figure there.
        """
        best = far if far.miss <= 0.0 else None
        low, high = near, far.moves[address]
        for _ in range(ROUNDS):
            places = np.linspace(low, high, REFINED + 2)[1:-1]
            tries = self._tried([{**fixed, address: float(place)} for place in places])
            edges = [low, *map(float, places), high]
            first = next((i for i, t in enumerate(tries) if t.miss <= 0.0), None)
            if first is not None:
                best = tries[first]
                low, high = edges[first], edges[first + 1]
                continue
            if best is not None:
                low = edges[-2]
                continue
            values = [t.value for t in tries] + [far.value]
            crossing = next((i for i, v in enumerate(values) if _crossed(self.wish, value, v)), None)
            if crossing is None:
                return None
            low, high = edges[crossing], edges[crossing + 1]
            value = values[crossing - 1] if crossing else value
            far = tries[crossing] if crossing < len(tries) else far
        return best

    def _greedy(self, begin: _Try) -> _Try | None:
        """More values moved one after the other, until the wish is met; then each as little as possible."""
        present = begin
        for _ in range(MOST_CHANGES - 1):
            met, nearest = self._one_more(present.moves)
            if met:
                return self._shrunk(min(met, key=lambda t: t.jnds))
            better = min(nearest, key=lambda t: t.miss, default=None)
            if better is None or better.miss > 0.98 * present.miss:
                return None
            present = better
        return None

    def _shrunk(self, answer: _Try) -> _Try:
        for address in list(answer.moves):
            rest = {a: j for a, j in answer.moves.items() if a != address}
            own = answer.moves[address]
            tries = self._tried([{**rest, address: own * part} for part in np.linspace(0.0, 1.0, 2 * REFINED, endpoint=False)])
            least = next((t for t in tries if t.miss <= 0.0), None)
            answer = answer if least is None else least
        return _Try({a: j for a, j in answer.moves.items() if j != 0.0}, answer.value, answer.miss)

    def _nearest(self, beginnings: list[_Try]) -> _Try:
        best = beginnings[0] if beginnings else self.unmoved
        for _ in range(MOST_CHANGES - 1):
            _, nearest = self._one_more(best.moves)
            better = min(nearest, key=lambda t: t.rank, default=None)
            if better is None or better.miss > 0.98 * best.miss:
                break
            best = better
        return best

    def _answer(self, t: _Try) -> Counterfactual:
        """The changed rack, rendered and measured again by itself."""
        changed = self.rack.copy()
        changes = []
        for address, value in self._values(t.moves).items():
            p, before = self.free[address], float(self.rack.get(address))
            changed.set(address, value)
            changes.append(Change(address, before, value, p.unit, p.jnds(before, value) or 0.0))
        after = float(self.wish.measured(Rendering(changed, {}, self.sound, self.rate, self.sidechain))[0])
        met = float(self.wish.miss(np.array([after]))[0]) <= 0.0
        now, then = (r.copy()(self.sound, self.rate, sidechain=self.sidechain) for r in (changed, self.rack))
        heard_jnds = jnds_between(now, then, self.rate)
        changes.sort(key=lambda c: -abs(c.jnds))
        return Counterfactual(
            self.wish,
            tuple(changes),
            self.unmoved.value,
            after,
            met,
            heard_jnds,
            changed,
            () if met else self._forbids(changes),
        )

    def _forbids(self, changes: Sequence[Change]) -> tuple[str, ...]:
        sentences = []
        for c in changes:
            low, high = self.free[c.address].expected
            if min(abs(c.after - low), abs(c.after - high)) <= 1e-6 * (high - low):
                unit = "" if c.unit == "1" else f" {c.unit}"
                sentences.append(f"{c.address} is at the end of what its card expects, {low:g} to {high:g}{unit}.")
        if not sentences:
            sentences.append("No further move of the values that may change comes nearer.")
        return tuple(sentences)


def _crossed(wish: Wish, a: float, b: float) -> bool:
    """Whether two figures lie on different sides of what is wanted."""
    return (a < wish.low and b > wish.high) or (a > wish.high and b < wish.low)


@dataclass(frozen=True)
class Louder:
    """How much louder a passage must be for a wish to come true.

    Attributes:
        gain_db: of the passage; NaN where no gain up to 40 dB in either direction does.
        before, after: the figure with the passage as it is, and with that gain, rendered and measured.
        met: whether the wish comes true.
    """

    wish: Wish
    between_s: tuple[float, float]
    gain_db: float
    before: float
    after: float
    met: bool

    def __str__(self) -> str:
        start, end = self.between_s
        where = f"the sound from {start:g} to {end:g} s"
        if not self.met:
            return f"no gain of {where} up to {LOUDEST_DB:g} dB does ({self.wish}; it is {self.before:.2f} {self.wish.unit})"
        way = "louder" if self.gain_db >= 0.0 else "quieter"
        figures = f"{self.wish.name} {self.before:.2f} -> {self.after:.2f} {self.wish.unit}"
        return f"{where} would have to be {abs(self.gain_db):.2f} dB {way}: {figures}"


def louder(
    rack: Rack,
    x: npt.ArrayLike,
    sample_rate: float,
    want: Wish | str,
    between_s: tuple[float, float],
    *,
    target: npt.ArrayLike | None = None,
    sidechain: Sidechain = None,
) -> Louder:
    """How much louder, or quieter, a passage of the input would have to be for a wish to come true, in steps of 0.05 dB.

    Args:
        rack: it is not changed.
        x: (channels, frames) or (frames,): the sound that goes in.
        sample_rate: Hz.
        want: a wish, or its text, such as "gate open at 1:23".
        between_s: beginning and end of the passage in seconds; it is faded in and out within 10 ms.
        target: the sound that a wish for the error means.
        sidechain: as in a call of the rack.
    """
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    rack = as_rack(rack)
    start, end = between_s
    if not 0.0 <= start < end <= sound.shape[1] / rate + 1e-9:
        raise ValueError(f"the passage from {start:g} to {end:g} s is not inside the sound of {sound.shape[1] / rate:.2f} s")
    goal = None if target is None else as_planar(target, "the target")[0]
    wish = parse_wish(want, rack, sound, rate, goal, sidechain) if isinstance(want, str) else want
    time = np.arange(sound.shape[1]) / rate
    shape = np.clip(np.minimum(time - start, end - time) / FADE_S, 0.0, 1.0)

    def figures(gains: Sequence[float]) -> Numbers:
        measured = []
        for first in range(0, len(gains), AT_ONCE):
            check()
            factors = [1.0 + shape * (10.0 ** (g / 20.0) - 1.0) for g in gains[first : first + AT_ONCE]]
            sounds = [np.ascontiguousarray(sound * factor, np.float32) for factor in factors]
            measured.append(wish.measured(Rendering(rack, {}, sounds, rate, sidechain)))
        return np.concatenate(measured)

    before = float(figures([0.0])[0])
    if float(wish.miss(np.array([before]))[0]) <= 0.0:
        return Louder(wish, between_s, 0.0, before, before, True)
    steps = np.arange(0.0, LOUDEST_DB + 0.5, 1.0)
    answers = []
    for sign in (1.0, -1.0):
        values = np.append(before, figures(list(sign * steps[1:])))
        misses = wish.miss(values)
        for low, high in zip(range(len(steps) - 1), range(1, len(steps)), strict=True):
            if misses[high] <= 0.0 or _crossed(wish, values[low], values[high]):
                fine = sign * np.linspace(steps[low], steps[high], 21)[1:]
                figures_there = figures(list(fine))
                met = np.flatnonzero(wish.miss(figures_there) <= 0.0)
                if met.size:
                    answers.append((float(fine[met[0]]), float(figures_there[met[0]])))
                    break
    if not answers:
        return Louder(wish, between_s, float("nan"), before, before, False)
    gain, after = min(answers, key=lambda a: abs(a[0]))
    return Louder(wish, between_s, gain, before, after, True)
