"""`clone`: a readable rack of ours that does what another maker's plugin does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import Audio, check_rate
from ..checks import check_number
from ..hosting.effect import Plugin
from ..measure.distances import Distances
from ..rack.describe import order_text
from ..rack.effect import Effect
from ..rack.effects import Compressor, ConvolutionReverb, Gate, Limiter, ParametricEQ, Saturation
from ..rack.rack import Rack
from ..train.fit import fit
from ..train.result import FitResult
from .character import SAME_DB, Character, character
from .knob import Knob, learn_knob, positions_of
from .material import material

RATE = 48000.0
NEAR_ENOUGH_DB, NEAR_DB = -30.0, -40.0  # errors below which no other structure is tried, and the search does not go on
LEAST_S = 1.0  # of recordings
# Shares of the time for each structure at first. A limiter that also levels needs its second one, and so does what changes
# the spectrum before or after it saturates; of others the first is nearly always the right one, and only needs its time.
SHARES, USUAL_SHARES = {"limiter": (0.15, 0.5), "saturation": (0.06, 0.9)}, (0.65, 0.15, 0.15)
LEAST_LEFT = 0.15  # of the time, which is worth going on with
LAST_S, LAST_SHARE = 40.0, 0.25  # that a search takes to end, at most; of a short time a share


@dataclass(frozen=True)
class Attempt:
    """A structure that was fitted, and how near it came on held-out sound."""

    structure: str
    distances: Distances
    seconds: float

    def __str__(self) -> str:
        return f"{self.structure}: {self.distances} ({self.seconds:.0f} s)"


@dataclass(frozen=True)
class Clone:
    """A rack that imitates a plugin.

    Attributes:
        rack: the nearest; its provenance names the plugin and its values.
        plugin: which one, with the values that were imitated.
        character: the plugin's measured nature, from which the structures were chosen.
        attempts: every structure that was fitted, in order.
        fit: of `rack`, on held-out sound.
        seconds: that it took.
        knob: the control that was learned, with `at`, the clone at another position of it; None where none was.
    """

    rack: Rack
    plugin: Plugin
    character: Character
    attempts: tuple[Attempt, ...]
    fit: FitResult
    seconds: float
    knob: Knob | None = None

    def __str__(self) -> str:
        lines = [f"{self.plugin.card.name} ({self.plugin.uri})", *(f"  {s}" for s in self.character.sentences), ""]
        lines += ["structures, on held-out sound:", *(f"  {a}" for a in self.attempts), ""]
        lines += [str(self.fit), "", *self.unexplained]
        lines += [] if self.knob is None else ["", str(self.knob), ""]
        lines += [f"{self.seconds:.0f} s"]
        return "\n".join(lines)

    __repr__ = __str__

    @property
    def unexplained(self) -> list[str]:
        """Sentences on what the clone does not do."""
        share = 10.0 ** (self.fit.fitted.error_db / 10.0)
        words = [
            f"not explained: {100 * share:.2g} % of the output's energy ({self.fit.fitted.error_db:.1f} dB), "
            f"level in 100 ms {self.fit.fitted.level_db:.2f} dB off"
        ]
        if self.character.moves_db > SAME_DB or self.character.repeats_db > SAME_DB:
            words.append("it moves by itself, which the clone does not")
        return words

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the page of its fit: curves, players, values with their errors."""
        return self.fit.report(path)


def clone(
    plugin: Plugin | str,
    audio: Audio | Sequence[Audio] | None = None,
    sample_rate: float = RATE,
    *,
    preset: str | None = None,
    knob: str | None = None,
    between: tuple[float, float] | None = None,
    minutes: float = 3.0,
    seed: int = 0,
    progress: bool = True,
    **values: Any,
) -> Clone:
    """Make a readable rack that does what a plugin does with its present values.

    It is first measured on controlled signals: whether it repeats, moves by itself, is linear, its static curve, times,
    harmonics and response. The structures that this suggests are fitted to its output for recordings; the nearest on held-out
    sound stays.

    Args:
        plugin: a `Plugin`, or its address or a part of its name.
        audio: recordings to learn from, (channels, frames) at `sample_rate`, such as it will be used on; without, designed
            sound of 15 s.
        sample_rate: Hz.
        preset, values: as for `Plugin`, where an address is given.
        knob: one of the plugin's controls, a number, to be learned: the chosen structure is fitted at five positions, each from
            the one beside it, and `Clone.knob.at` goes between them.
        between: the ends of those positions; without, those of the control.
        minutes: so long it takes at most, but for the knob; a search that is under way ends some seconds later.
        seed: of the fits.
        progress: show it.

    Raises:
        PluginError, PluginDiedError: it cannot be used.
        ValueError: it changes nothing, or gives NaN; `audio` is too short.
    """
    began = time.monotonic()
    rate = check_rate(sample_rate)
    budget_s = 60.0 * check_number(minutes, "minutes", 0.0, 1440.0)
    last_s = min(LAST_S, LAST_SHARE * budget_s)
    if isinstance(plugin, Plugin):
        if preset is not None or values:
            raise TypeError("a Plugin brings its values; set them on it, or give its address here")
        effect = plugin.copy()
    else:
        effect = Plugin(plugin, preset=preset, **values)
    effect.bypass = False
    positions = _positions(effect, knob, between)
    rack = Rack([effect])
    recordings = [material(rate)] if audio is None else [np.atleast_2d(a) for a in _listed(audio)]
    if min(a.shape[1] for a in recordings) < LEAST_S * rate:
        raise ValueError(f"a recording to learn from is shorter than {LEAST_S:g} s; give longer ones")
    channels = recordings[0].shape[0]

    def play(x: Audio) -> Audio:
        return np.asarray(rack(x, rate))

    nature = character(play, rate, channels)
    if nature.kind == "nothing":
        raise ValueError(f"{effect.card.name} changes nothing with these values, so there is nothing to clone; set some")
    dry = recordings if len(recordings) > 1 else recordings[0]
    wet: Any = [play(a) for a in recordings] if len(recordings) > 1 else play(recordings[0])
    attempts: list[Attempt] = []

    def left_s() -> float:
        return budget_s - (time.monotonic() - began)

    def tried(start: Rack, seconds: float) -> FitResult:
        since = time.monotonic()
        result = fit(start, dry, wet, rate, minutes=max(seconds, 0.0) / 60.0, seed=seed, progress=progress)
        order = order_text(result.rack.root, {id(e): a for a, e in result.rack.addresses().items()})
        attempts.append(Attempt(order, result.fitted, time.monotonic() - since))
        return result

    # Each structure gets a part of the time; the nearest then gets the rest.
    best: FitResult | None = None
    possible = structures(nature)
    for effects, share in zip(possible, SHARES.get(nature.kind, USUAL_SHARES), strict=False):
        if best is not None and (best.fitted.error_db < NEAR_ENOUGH_DB or left_s() < 0.0):
            break
        start = from_before([make() for make in effects], best)
        start.name = f"clone of {effect.card.name}"
        most = left_s() - last_s
        result = tried(start, min(share * budget_s, most) if len(possible) > 1 else most)
        best = result if best is None else min(best, result, key=lambda r: r.fitted.error_db)
    assert best is not None
    if best.fitted.error_db > NEAR_DB and left_s() > LEAST_LEFT * budget_s and len(possible) > 1:
        best = min(best, tried(best.rack, left_s() - last_s), key=lambda r: r.fitted.error_db)
    best.rack.provenance["clone_of"] = {
        "plugin": effect.uri, "name": effect.card.name, "preset": preset, "values": effect.values(), "character": nature.kind,
    }  # fmt: skip
    learned = None
    if knob is not None:
        copy = effect.copy()
        moved = Rack([copy])

        def at(position: float) -> Callable[[Audio], Audio]:
            def play(x: Audio) -> Audio:
                copy.set(knob, position)
                return np.asarray(moved(x, rate))

            return play

        now = float(effect.get(knob))
        p = effect.card.addresses[knob]
        learned = learn_knob(knob, p, positions, (now, best), at, recordings, rate, seed=seed, progress=progress)
    return Clone(best.rack, effect, nature, tuple(attempts), best, time.monotonic() - began, learned)


def _positions(effect: Plugin, knob: str | None, between: tuple[float, float] | None) -> list[float]:
    """Where a knob is learned; the present value among them, where it lies within.

    Raises:
        ValueError: it cannot be learned.
    """
    if knob is None:
        if between is not None:
            raise ValueError("between= says how far a knob is turned; say which one: knob=")
        return []
    p = effect.card.addresses.get(knob)
    if p is None or p.kind != "continuous":
        known = ", ".join(n for n, q in effect.card.addresses.items() if q.kind == "continuous")
        raise ValueError(f"{effect.card.name} has no knob {knob!r} that is a number; there are {known}")
    low, high = (p.min, p.max) if between is None else map(float, between)
    if not p.min <= low < high <= p.max:
        raise ValueError(f"between = ({low:g}, {high:g}) is not a part of the range of {knob} ({p.range_text()})")
    now, positions = float(effect.get(knob)), positions_of(p, low, high)
    if low < now < high:
        inner = min(positions[1:-1], key=lambda n: abs(p.position(n) - p.position(now)))
        positions[positions.index(inner)] = now
    return positions


def from_before(effects: list[Effect], best: FitResult | None) -> Rack:
    """A rack of effects, of which one that the best structure so far has too begins with the values that were found there."""
    earlier = [] if best is None else list(best.rack.addresses().values())
    for effect in effects:
        alike = [[e for e in those if e.card.id == effect.card.id] for those in (effects, earlier)]
        if all(len(those) == 1 for those in alike) and not effect.card.resources:
            for address, value in alike[1][0].values().items():
                effect.set(address, value)
    return Rack(effects)


def _listed(audio: Audio | Sequence[Audio]) -> list[Audio]:
    return [audio] if isinstance(audio, np.ndarray) else list(audio)


def structures(nature: Character) -> list[list[Callable[[], Effect]]]:
    """The structures that a character suggests, the simplest first."""
    kinds: dict[str, list[list[Callable[[], Effect]]]] = {
        "equaliser": [[ParametricEQ], [ConvolutionReverb]],
        "reverb": [[ConvolutionReverb]],
        "compressor": [[Compressor], [Compressor, ParametricEQ], [Compressor, Saturation]],
        "limiter": [[Limiter], [Compressor, Limiter]],
        "gate": [[Gate], [Gate, Compressor]],
        "modulation": [[ParametricEQ]],
        "saturation": [[Saturation], [ParametricEQ, Saturation, ParametricEQ]],
    }
    return kinds[nature.kind]
