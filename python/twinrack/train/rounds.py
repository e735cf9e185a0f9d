"""Short rounds of training in which combinations of options and start values compete (see `structures`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..rack.card import Value
from ..rack.rack import Rack
from ..system import interrupt
from ..twins.rack_twin import RackTwin
from .addresses import Patterns, learned_in_rack
from .data import Pair
from .progress import FitProgress
from .run import Run
from .settings import RackSettings
from .starts import analysed
from .structures import ROUNDS, Structure, combinations, kept_of, survivors
from .trainable_rack import TrainableRack

WINDOW_S = 4.0  # at most


@dataclass(frozen=True)
class Rounds:
    """Result of the rounds.

    Attributes:
        racks: those that are left, best first.
        tried: all structures, best first.
        interrupted: Ctrl-C ended the rounds.
    """

    racks: list[Rack]
    tried: list[Structure]
    interrupted: bool = False


def starting_racks(
    rack: Rack,
    opened: dict[str, Sequence[Value]],
    pairs: list[Pair],
    rate: float,
    settings: RackSettings,
    learn: Patterns | None,
    freeze: Patterns,
    bar: FitProgress,
) -> Rounds:
    """The racks to begin a fit with, the best first: of all combinations of options and start values, after rounds.

    Args:
        opened: the options of each choice that are tried.
        settings, learn, freeze: of the fit.

    Raises:
        KeyboardInterrupt: Ctrl-C, before one was tried.
    """
    racks = combinations(rack, opened)
    if settings.starts:
        free = learned_in_rack(RackTwin(rack, rate), learn, freeze, pairs[0].dry.shape[0]).values
        racks = [start for r in racks for start in analysed(r, pairs, rate, free, settings.starts)]
    if len(racks) == 1:
        return Rounds(racks, [])
    return compete(racks, opened, pairs, rate, settings, learn, freeze, bar)


def compete(
    racks: list[Rack],
    opened: Iterable[str],
    pairs: list[Pair],
    rate: float,
    settings: RackSettings,
    learn: Patterns | None,
    freeze: Patterns,
    bar: FitProgress,
) -> Rounds:
    """Train the racks a few steps each, and continue with the better ones.

    Args:
        racks: candidates, at least two.
        opened: addresses of the choices in which they differ.
        settings, learn, freeze: of the fit.

    Raises:
        KeyboardInterrupt: Ctrl-C, before one was tried.
    """
    dropped: list[Structure] = []
    survived: list[tuple[Structure, Rack]] = []
    counts = [len(racks), *(min(len(racks), kept_of(len(racks))) for _ in ROUNDS[1:])]
    costs = [steps + polish_steps for (steps, polish_steps), count in zip(ROUNDS, counts, strict=True) for _ in range(count)]
    number = 0
    for steps, polish_steps in ROUNDS:
        short = replace(settings, steps=steps, polish_steps=polish_steps, window_s=min(settings.window_s, WINDOW_S))
        trained = list[tuple[Structure, Rack]]()
        interrupted = False
        try:
            for candidate in racks:
                bar.trying(number + 1, len(costs), sum(costs[:number]) / sum(costs))
                number += 1
                trained.append(_trained(candidate, opened, pairs, rate, short, learn, freeze))
        except KeyboardInterrupt:
            if not trained:
                if not dropped:
                    raise
                return Rounds(racks, sorted(dropped, key=lambda s: s.score), interrupted=True)
            interrupted = True
        survived = survivors(trained)
        dropped += [s for s, _ in trained if s not in [k for k, _ in survived]]
        racks = [rack for _, rack in survived]
        if interrupted:
            break
    return Rounds(racks, [s for s, _ in survived] + sorted(dropped, key=lambda s: s.score), interrupted)


def _trained(
    candidate: Rack,
    opened: Iterable[str],
    pairs: list[Pair],
    rate: float,
    settings: RackSettings,
    learn: Patterns | None,
    freeze: Patterns,
) -> tuple[Structure, Rack]:
    """One candidate after its round."""
    twin = RackTwin(candidate, rate)
    learned = learned_in_rack(twin, learn, freeze, pairs[0].dry.shape[0])
    run = Run(TrainableRack(twin, pairs, rate, learned), settings)
    silent = FitProgress(settings.steps, False)
    with interrupt.deferred():
        run.train(silent, None, None)
        run.finish(silent, errors=False)
    run.restore_best()
    rack = twin.to_rack()
    options = {address: rack.get(address) for address in opened}
    return Structure(options, run.measure(rack), run.best[0], settings.steps), rack
