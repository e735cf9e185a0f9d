"""The ten measures of an account against the truth; all but those of fidelity lie between 0 and 1, the more the better."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from ..audio import Audio
from ..explain.ablation import ablate
from ..explain.evidence_map import evidence, values_of
from ..measure.distances import distances
from ..measure.gain_over_time import trajectory_error_db
from ..measure.loudness import loudness
from ..perceptual import Masking
from ..rack.rack import Rack
from .method import Account, Method, Place
from .problems import VOCABULARY, Problem

WITHIN_JNDS = 1.0
INTERVAL = 1.96  # standard errors
SHOWN_JNDS = 0.05  # of a value that a recording determines, 1 JND is heard as more
LOUDER_LU, MET_LU = 2.0, 1.0
USABLE_DB = -20.0


@dataclass(frozen=True)
class Fidelity:
    """Distances on new audio: error and audible error in dB, multi-resolution STFT, gain over time in dB (RMS)."""

    error_db: float
    stft: float
    audible_db: float
    gain_db: float


@dataclass(frozen=True)
class Scores:
    """The measures of one problem; None where it has no answer to compare with.

    Attributes:
        recovery: share of the hidden values within 1 JND.
        coverage: share of the 95 % intervals that hold the truth; None where no interval is given.
        undetermined: F1 of the values that are named as not determined.
        ablation: share of the pairs of effects whose importance is in the true order.
        counterfactual: 1 where the change that it names makes the true device as loud as was wished (within 1 LU).
        sparsity: numbers of the truth over numbers of the account, at most 1; 0 where the sound is not near (-20 dB).
        structure: F1 of the effects that are named, times the share of pairs in the right order.
        sanity: 1 less the agreement with the account of another target.
        readable: 1 less the share of the change's energy that is left to black boxes.
        fidelity: on new audio.
    """

    recovery: float | None
    coverage: float | None
    undetermined: float | None
    ablation: float | None
    counterfactual: float | None
    sparsity: float | None
    structure: float | None
    sanity: float
    readable: float
    fidelity: Fidelity

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


CARDS = {name: make().card for name, make in VOCABULARY.items()}
NAMES = ("recovery", "coverage", "undetermined", "ablation", "counterfactual", "sparsity", "structure", "sanity", "readable")


@dataclass(frozen=True, eq=False)
class Truth:
    """The answer of a problem in the terms of cards.

    Attributes:
        rack: hidden.
        values: by place.
        undetermined: places that the recording does not show.
        importance: by card id, JND without the effect.
    """

    rack: Rack
    values: dict[Place, float]
    undetermined: frozenset[Place]
    importance: dict[str, float]


def truth_of(problem: Problem) -> Truth:
    """The answer of a problem with a hidden rack."""
    assert problem.hidden is not None
    rack, effects = problem.hidden, problem.hidden.addresses()
    values = {}
    for address, p in values_of(rack, None, problem.dry.shape[0]).items():
        effect, _, name = address.partition(".")
        if p.learnable:
            values[(effects[effect].card.id, name)] = float(rack.get(address))
    shown = {}
    for e in evidence(rack, problem.dry, problem.sample_rate):
        effect, _, name = e.address.partition(".")
        shown[(effects[effect].card.id, name)] = 0.0 if e.is_empty else e.heard_jnds
    hidden = frozenset(place for place in values if shown.get(place, 0.0) < SHOWN_JNDS)
    importance = {
        effects[a.address].card.id: a.jnds for a in ablate(rack, problem.dry, problem.sample_rate) if a.address in effects
    }
    return Truth(rack, values, hidden, importance)


def by_frequency(values: Mapping[Place, Any], frequency: Mapping[Place, float], types: Mapping[str, str]) -> dict[Place, Any]:
    """Values of an equaliser's bands renumbered within each type by their frequencies, as their numbers mean nothing."""
    bands: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for (card, name), hertz in frequency.items():
        band, _, rest = name.partition(".")
        if card == "parametric_eq" and rest == "frequency_hz":
            bands[types.get(band, band)].append((hertz, band))
    renamed = {}
    for each in bands.values():
        for place, (_, band) in zip(sorted(b for _, b in each), sorted(each), strict=True):
            renamed[band] = place
    result = {}
    for (card, name), value in values.items():
        band, dot, rest = name.partition(".")
        result[(card, f"{renamed.get(band, band)}{dot}{rest}" if card == "parametric_eq" else name)] = value
    return result


def scores_of(problem: Problem, method: Method, account: Account, other: Account, truth: Truth | None) -> Scores:
    """The measures of one problem.

    Args:
        account: of the method, fitted to this problem.
        other: of the same method, fitted to another problem.
        truth: None for real recordings.
    """
    y = played(method, problem)
    account, other = (sensible(a) for a in (account, other))
    fidelity = fidelity_of(problem, y)
    readable, sanity = 1.0 - account.black_box_share, 1.0 - _agreement(account, other)
    if truth is None:
        return Scores(None, None, None, None, None, None, None, sanity, readable, fidelity)
    types = _types(truth.rack)
    found_hz = {place: value for place, (value, _) in account.values.items()}
    given = by_frequency(account.values, found_hz, types)
    true = by_frequency(truth.values, truth.values, types)
    unknown = set(by_frequency(dict.fromkeys(account.undetermined), found_hz, types))
    unknowable = set(by_frequency(dict.fromkeys(truth.undetermined), truth.values, types))
    near, held = [], []
    for place, value in true.items():
        p = CARDS[place[0]].addresses[place[1]]
        if place in unknowable:
            continue
        off = abs(p.jnds(value, given[place][0]) or 0.0) if place in given else np.inf
        near.append(off <= WITHIN_JNDS)
    for place, (value, error) in given.items():
        if place in true and error is not None and np.isfinite(error):
            held.append(abs(value - true[place]) <= INTERVAL * error)
    return Scores(
        float(np.mean(near)) if near else None,
        float(np.mean(held)) if held else None,
        _f1(unknown & set(true), unknowable) if account.values else 0.0,
        _same_order(account.importance, truth.importance),
        _counterfactual(problem, method, truth),
        min(1.0, len(true) / max(account.numbers, 1)) if fidelity.error_db <= USABLE_DB else 0.0,
        _structure(account.structure, [e.card.id for e in truth.rack.addresses().values()]),
        sanity,
        readable,
        fidelity,
    )


def played(method: Method, problem: Problem) -> Audio:
    """A method's output for new audio.

    Raises:
        ValueError: it is not a finite sound of the same shape.
    """
    y = np.asarray(method.process(problem.new_dry, problem.sample_rate), np.float32)
    if y.shape != problem.new_dry.shape:
        raise ValueError(f"{method.name} gave {y.shape} for a sound of {problem.new_dry.shape}; both must have the same shape")
    if not np.isfinite(y).all():
        raise ValueError(f"{method.name} gave NaN or infinity for {problem.name}")
    return y


def sensible(account: Account) -> Account:
    """An account without what no effect of the vocabulary has."""

    def exists(place: Place) -> bool:
        return place[0] in CARDS and place[1] in CARDS[place[0]].addresses

    values = {place: v for place, v in account.values.items() if exists(place) and np.isfinite(v[0])}
    return replace(account, values=values, undetermined=frozenset(filter(exists, account.undetermined)))


def fidelity_of(problem: Problem, y: Audio) -> Fidelity:
    """Distances of a result from what the device makes of new audio."""
    d = distances([(y, problem.new_wet)], problem.sample_rate)
    with torch.no_grad():
        both = (torch.from_numpy(np.ascontiguousarray(s))[None] for s in (y, problem.new_wet))
        audible = float(Masking(problem.sample_rate)(*both))
    gain = trajectory_error_db([(problem.new_dry, y, problem.new_wet)], problem.sample_rate)
    return Fidelity(d.error_db, d.stft, audible, gain)


def _types(rack: Rack) -> dict[str, str]:
    """The types of an equaliser's bands, by band; empty where there is no equaliser."""
    equalisers = [e for e in rack.addresses().values() if e.card.id == "parametric_eq"]
    return {f"band{i}": str(e.get(f"band{i}.type")) for e in equalisers for i in range(1, 17)}


def _f1(named: set[Place], true: set[Place]) -> float:
    if not named and not true:
        return 1.0
    return 2.0 * len(named & true) / (len(named) + len(true))


def _same_order(given: Mapping[str, float], true: Mapping[str, float]) -> float:
    """The share of pairs of the vocabulary whose importance is ordered as in truth; an effect that is not there has 0."""
    pairs = [(a, b) for a, b in itertools.combinations(VOCABULARY, 2) if true.get(a, 0.0) != true.get(b, 0.0)]
    if not given or not pairs:
        return 0.0
    alike = [(given.get(a, 0.0) - given.get(b, 0.0)) * (true.get(a, 0.0) - true.get(b, 0.0)) > 0.0 for a, b in pairs]
    return float(np.mean(alike))


def _structure(given: Sequence[str] | None, true: Sequence[str]) -> float:
    if given is None:
        return 0.0
    f1 = 2.0 * len(set(given) & set(true)) / max(len(set(given)) + len(set(true)), 1)
    both = [name for name in true if name in given]
    pairs = list(itertools.combinations(both, 2))
    order = [list(given).index(a) < list(given).index(b) for a, b in pairs]
    return f1 * (float(np.mean(order)) if order else 1.0)


def _counterfactual(problem: Problem, method: Method, truth: Truth) -> float:
    now = float(loudness(problem.new_wet, problem.sample_rate).integrated)
    changes = method.change(problem.new_dry, problem.sample_rate, now + LOUDER_LU) if np.isfinite(now) else None
    if not changes:
        return 0.0
    changed = truth.rack.copy()
    addresses = {e.card.id: a for a, e in changed.addresses().items()}
    for (card, name), value in changes.items():
        if card not in addresses:
            return 0.0
        try:
            changed.set(f"{addresses[card]}.{name}", value)
        except (ValueError, TypeError):  # there is no such value, or it cannot be that
            return 0.0
    y = changed(problem.new_dry, problem.sample_rate)
    return float(abs(float(loudness(y, problem.sample_rate).integrated) - now - LOUDER_LU) <= MET_LU)


def _agreement(a: Account, b: Account) -> float:
    """How far two accounts say the same: of their blocks and values; 1 where neither says anything."""
    if not a.values and not a.structure and not b.values and not b.structure:
        return 1.0
    places = set(a.values) | set(b.values)
    same = []
    for place in places:
        if place not in a.values or place not in b.values:
            same.append(False)
            continue
        p = CARDS[place[0]].addresses[place[1]]
        same.append(abs(p.jnds(a.values[place][0], b.values[place][0]) or 0.0) <= WITHIN_JNDS)
    return float(np.mean(same)) if same else float(a.structure == b.structure)
