"""Start values from the recordings: what can be read from them without training.

An effect's folder may have `plugins/<id>/starts.py`, with any of these functions; all give values by name, the best first:

- `starts(effect, pairs, rate, learned)`: from dry and wet alone;
- `nearer(effect, present, target, rate, learned, alone, fresh, seed)`: from the sound of a rack that it stands in;
- `delayed(effect, play, target, rate, learned)`: delays, where `play` renders that rack with other values of the effect;
- `lawful(effect, pairs, splits, rate, learned)`: choices and values at once, of an effect that is alone between dry and wet,
  where the recordings show them;
- `bands_for` and `other_bands`, of an equaliser: bands fitted to a curve, and bands of other types.

The helpers here are shared by these files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import Audio
from ..rack.card import Card, Value
from ..rack.effect import Effect
from ..rack.effect_files import effect_file
from ..rack.rack import Rack
from ..twins.constrain import from_value, value_at
from .data import Pair, Split

Numbers = npt.NDArray[np.float64]
Values = dict[str, float]
Analysis = Callable[[Effect, Sequence[Pair], float, set[str]], list[Values]]
CurveFit = Callable[[Effect, Numbers, Numbers, Numbers | None, float, set[str]], list[Values]]
Nearer = Callable[[Effect, Audio, Audio, float, set[str], bool, bool, int], list[Values]]
Play = Callable[[Sequence[Values]], Audio]
Delayed = Callable[[Effect, Play, Audio, float, set[str]], list[Values]]
Lawful = Callable[[Effect, Sequence[Pair], Sequence[Split], float, set[str]], list[dict[str, Value]]]
OtherBands = Callable[[Effect, Audio, Audio, float, bool, int, bool], list[dict[str, Value]]]

STARTS, STEPS = 48, 250  # of a small fit here, all starts in one batch
FINALISTS, FIRST_PART = 6, 0.35  # after this part of the steps, one of so many continues
QUIET_DB = -70.0
WINDOW_S = 0.005
UNEXPECTED = 3.0  # what it costs to leave an expected range, by the square of the way
DIFFERENT = 0.08  # of a whole range


def analysis_of(card: Card) -> Analysis | None:
    """The analysis in an effect's folder; None where there is none."""
    module = effect_file(card, "starts")
    if module is None:
        return None
    analysis: Analysis = module.starts
    return analysis


def curve_fit_of(card: Card) -> CurveFit | None:
    """The function `bands_for` in an equaliser's folder; None for other effects."""
    fit: CurveFit | None = getattr(effect_file(card, "starts"), "bands_for", None)
    return fit


def nearer_of(card: Card) -> Nearer | None:
    """The function `nearer` in an effect's folder: better values, from the present sound and the target; None without one."""
    function: Nearer | None = getattr(effect_file(card, "starts"), "nearer", None)
    return function


def delayed_of(card: Card) -> Delayed | None:
    """The function `delayed` in an effect's folder: other delays, by what the rack plays with some values of it."""
    function: Delayed | None = getattr(effect_file(card, "starts"), "delayed", None)
    return function


def lawful_of(card: Card) -> Lawful | None:
    """The function `lawful` in an effect's folder: choices and values at once; None without one."""
    function: Lawful | None = getattr(effect_file(card, "starts"), "lawful", None)
    return function


def other_bands_of(card: Card) -> OtherBands | None:
    """The function `other_bands` in an equaliser's folder: bands of other types; None without one."""
    function: OtherBands | None = getattr(effect_file(card, "starts"), "other_bands", None)
    return function


def analysed(rack: Rack, pairs: Sequence[Pair], rate: float, addresses: Sequence[str], count: int) -> list[Rack]:
    """Up to `count` copies of the rack with start values for those addresses, as far as the recordings tell, best first.

    An analysis takes an effect as if it were alone between dry and wet; in a longer rack it is the more wrong the more the
    others do, but nearer than a guess. Where it has several answers that are nearly as good, each makes a copy.
    """
    wanted = set(addresses)
    copies = [rack.copy() for _ in range(count)]
    different = 1
    for address, effect in rack.addresses().items():
        analysis = analysis_of(effect.card)
        learned = {a.partition(".")[2] for a in wanted if a.partition(".")[0] == address}
        if analysis is None or effect.bypass or not learned:
            continue
        answers = within(effect, analysis(effect, pairs, rate, learned), learned)
        different = max(different, min(len(answers), count))
        for i, copy in enumerate(copies if answers else ()):
            for name, value in answers[min(i, len(answers) - 1)].items():
                copy[address].set(name, value)
    return copies[:different]


def within(effect: Effect, answers: Sequence[Values], learned: set[str]) -> list[dict[str, Value]]:
    """Answers of an analysis as `lawful` gives them: those values that are learned, within their ranges."""
    cards = effect.card.addresses
    return [
        {n: float(np.clip(v, cards[n].min, cards[n].max)) for n, v in values.items() if n in learned and np.isfinite(v)}
        for values in answers
    ]


def alone(analysis: Analysis) -> Lawful:
    """The answers of an analysis as `lawful` of an effect that it takes to be alone between dry and wet."""

    def lawful(
        effect: Effect, pairs: Sequence[Pair], splits: Sequence[Split], rate: float, learned: set[str]
    ) -> list[dict[str, Value]]:
        return within(effect, analysis(effect, pairs, rate, learned), learned)

    return lawful


def best_values(
    effect: Effect,
    names: Sequence[str],
    loss: Callable[[dict[str, Tensor]], Tensor],
    starts: int = STARTS,
    steps: int = STEPS,
) -> list[Values]:
    """The values of some parameters that make `loss` least, from many starts at once within their expected ranges; the best
    first, then others that end elsewhere.

    Args:
        loss: from (starts,) tensors by name to a (starts,) tensor.
    """
    cards = [effect.card.addresses[name] for name in names]
    here = torch.tensor([from_value(p, float(effect.get(name))) for p, name in zip(cards, names, strict=True)])
    low, high = (torch.tensor([from_value(p, p.expected[end]) for p in cards], dtype=torch.float64) for end in (0, 1))
    low, high = low.clamp(0.05, 0.95), high.clamp(0.05, 0.95)
    place = torch.rand(starts, len(names), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = low + (high - low) * place
    u[0] = here.double().clamp(0.04, 0.96)

    def run(u: Tensor, first: int, last: int) -> Tensor:
        """Steps of Adam from these starts; in order of what they left, the best first."""
        u = u.clone().requires_grad_()
        optimizer = torch.optim.Adam([u], lr=0.03)
        for step in range(first, last):
            optimizer.param_groups[0]["lr"] = 0.03 * (1.0 - step / steps) + 1e-3
            optimizer.zero_grad()
            each = loss({name: value_at(p, u[:, i]) for i, (p, name) in enumerate(zip(cards, names, strict=True))})
            outside = (low - u).clamp(min=0.0) + (u - high).clamp(min=0.0)
            each = each + UNEXPECTED * outside.square().sum(1)
            each.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return u.detach()[each.detach().argsort()]

    part = int(FIRST_PART * steps)
    u = run(run(u, 0, part)[: max(starts // FINALISTS, 8)], part, steps)
    with torch.no_grad():
        values = {name: value_at(p, u[:, i]) for i, (p, name) in enumerate(zip(cards, names, strict=True))}
        order = loss(values).argsort().tolist()
        distinct: list[int] = []
        for i in order:
            if all(float((u[i] - u[j]).abs().max()) > DIFFERENT for j in distinct):
                distinct.append(i)
    return [{name: float(v[i]) for name, v in values.items()} for i in distinct]


def levels_and_gains(pairs: Sequence[Pair], rate: float, power: bool) -> tuple[Numbers, Numbers]:
    """Levels of the dry sound in short windows, and the gain from dry to wet there, both in dB; only where there is sound.

    Args:
        power: measure the RMS level of a window, not its peak.
    """
    size = max(int(WINDOW_S * rate), 8)

    def levels(x: Audio) -> Numbers:
        count = x.shape[1] // size
        windows = np.abs(x[:, : count * size].astype(np.float64)).reshape(x.shape[0], count, size).max(0)
        level = np.sqrt(np.mean(windows**2, axis=1)) if power else windows.max(1)
        return np.asarray(20 * np.log10(level + 1e-9))

    dry = np.concatenate([levels(p.dry) for p in pairs])
    gain = np.concatenate([levels(p.wet) for p in pairs]) - dry
    audible = dry > QUIET_DB
    return dry[audible], gain[audible]
