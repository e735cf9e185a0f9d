"""Start values of an equaliser: from the difference of two spectra, and from what a chain that it stands in still lacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from twinrack.plugins.parametric_eq.band_fit import BANDS, CUTS, NAMES, Answers, BandFit, Shape, different, joined

from twinrack.audio import Audio
from twinrack.measure.transfer import coherent_gain, spectra
from twinrack.rack.card import Value
from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.starts import Numbers, Values

STARTS, FRESH_ROUNDS, ROUNDS = 120, 4, 3
GOOD_ENOUGH_DB = 0.01
CROSSED_DB = 0.2  # by so much nearer a curve must be for which a low shelf stands above a high shelf
ANSWERS = 4


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """The bands whose response is nearest to the difference of the spectra."""
    hertz, target_db, weight = spectra([p.dry for p in pairs], [p.wet for p in pairs], rate)
    return bands_for(effect, hertz, target_db, weight, rate, learned)


def nearer(
    effect: Effect, present: Audio, target: Audio, rate: float, learned: set[str], alone: bool, fresh: bool, seed: int
) -> list[Values]:
    """Bands with which `present`, the sound of the whole rack with the effect as it is, would come nearer to `target`.

    Args:
        present, target: (channels, frames).
        learned: addresses below the effect that may be changed.
        alone: nothing else in the rack sets the level.
        fresh: forget where the bands stand.
        seed: of the random starts.

    Returns:
        The best first.
    """
    bands = bands_of(effect)
    if not bands or not learned:
        return []
    curves = [coherent_gain(present, target, rate)]
    if fresh and not alone:
        curves.append(coherent_gain(present, target, rate, quiet=True))
    return [v for curve in curves for v in _for_curve(effect, bands, *curve, rate, learned, alone, fresh, seed)]


def _for_curve(
    effect: Effect, bands: list[str], hertz: Numbers, gain_db: Numbers, weight: Numbers, rate: float, learned: set[str],
    alone: bool, fresh: bool, seed: int,
) -> list[Values]:  # fmt: skip
    """Bands that add a curve to the effect's own response, the best first."""
    fit = _fit_of(effect, bands, hertz, gain_db, weight, rate, learned, offset=not alone)
    own = _present(fit, effect, bands)
    fit.target = gain_db + fit.responses(own)[0].sum(0)
    random = np.random.default_rng(seed)
    if fresh:
        answers = _relocated(fit, fit.from_anywhere(STARTS, random), random, FRESH_ROUNDS)
    else:
        fit.bend = 1.0
        answers = _relocated(fit, fit.refined(own, np.zeros(1), 4), random, ROUNDS)
    return [_values(fit, bands, places, learned) for places in answers.places]


def _relocated(fit: BandFit, answers: Answers, random: np.random.Generator, rounds: int) -> Answers:
    """Better answers, the best few: bands moved to where most is missing, while that helps."""
    for _ in range(rounds):
        if answers.errors[0] < GOOD_ENOUGH_DB and not fit.crossed(answers.places[0]):
            break
        answers = fit.relocated(answers, random)
    costs = answers.errors + CROSSED_DB * np.array([fit.crossed(places) for places in answers.places])
    return different(answers.take(np.argsort(costs)), ANSWERS)


def bands_for(
    effect: Effect, hertz: Numbers, target_db: Numbers, weight: Numbers | None, rate: float, learned: set[str]
) -> list[Values]:
    """Values of an equaliser's bands whose response is nearest to a curve, the best first.

    Args:
        hertz, target_db: the curve; weight: how much each point counts.
        learned: addresses below the effect that may be changed.
    """
    bands = bands_of(effect)
    if not bands or not any(a.partition(".")[0] in bands for a in learned):
        return []
    counts = np.ones_like(hertz) if weight is None else weight
    fit = _fit_of(effect, bands, hertz, target_db, counts, rate, learned, offset=False)
    random = np.random.default_rng(0)
    moves = any(a.endswith(".frequency_hz") for a in learned)
    answers = _relocated(fit, fit.from_anywhere(STARTS, random), random, ROUNDS if moves else 0)
    return [_values(fit, bands, places, learned) for places in answers.places]


def bands_of(effect: Effect) -> list[str]:
    """Names of the bands that are on."""
    return [f"band{i}" for i in range(1, BANDS + 1) if str(effect.get(f"band{i}.type")) != "off"]


def _fit_of(
    effect: Effect,
    bands: Sequence[str],
    hertz: Numbers,
    target_db: Numbers,
    weight: Numbers,
    rate: float,
    learned: set[str],
    offset: bool = True,
) -> BandFit:
    shapes: list[Shape] = [(str(effect.get(f"{b}.type")), str(effect.get(f"{b}.slope_db_per_octave"))) for b in bands]
    fixed = {(i, n): float(effect.get(f"{b}.{n}")) for i, b in enumerate(bands) for n in NAMES if f"{b}.{n}" not in learned}
    return BandFit(effect, shapes, hertz, target_db, weight, rate, offset=offset, fixed=fixed)


def _present(fit: BandFit, effect: Effect, bands: Sequence[str]) -> Numbers:
    """Positions of the bands as they stand, (1, bands, 3)."""
    rows = [[p.position(float(effect.get(f"{b}.{n}"))) for p, n in zip(fit.cards, NAMES, strict=True)] for b in bands]
    return np.array([rows])


def _values(fit: BandFit, bands: Sequence[str], places: Numbers, learned: set[str]) -> Values:
    values = {}
    for band, row in zip(bands, places, strict=True):
        for p, name, u in zip(fit.cards, NAMES, row, strict=True):
            if f"{band}.{name}" in learned:
                values[f"{band}.{name}"] = float(p.at(u))
    return values


OTHER_SHAPES: list[Shape] = [
    ("bell", "12"), ("low_shelf", "12"), ("high_shelf", "12"), ("low_cut", "12"), ("high_cut", "12"), ("low_cut", "24"),
    ("high_cut", "24"), ("notch", "12"),
]  # fmt: skip
MOST_BANDS = 8
WORTH_A_BAND = 0.8  # of the error of the curve, that one more band must come to
TRIED_FIRST = 3  # shapes that are refined further, of all
WARPED = 1.0 / 16.0  # of the sample rate, below which bands are the same with each warping
FOLLOWED = 3  # sets of types to which a band is added, of all


def other_bands(
    effect: Effect, present: Audio, target: Audio, rate: float, alone: bool, seed: int, thorough: bool = False
) -> list[dict[str, Value]]:
    """Other types and numbers of bands with which `present` would come nearer to `target`; arguments as in `nearer`.

    One band after the other is added, of the type and at the place that lowers the error most, as long as it is worth it.

    Args:
        thorough: go on with the best few sets of types instead of one, and where bands stand high with each warping.

    Returns:
        Values of all bands, with their types, and the warping where it is another one: the sets with the most bands, then
        one with a band less.
    """
    hertz, gain_db, weight = coherent_gain(present, target, rate)
    used = bands_of(effect)
    if used:
        own = _fit_of(effect, used, hertz, gain_db, weight, rate, {f"{b}.{n}" for b in used for n in NAMES})
        places = _present(own, effect, used)
        gain_db = gain_db + own.responses(places)[0].sum(0)
    curve, most = (hertz, gain_db, weight, rate), max(MOST_BANDS, len(used))
    answers = _added(effect, *curve, alone, most, FOLLOWED if thorough else 1, seed)
    every = [(values, f"band{i}") for values in answers for i in range(1, BANDS + 1)]
    high = any(values[f"{b}.type"] != "off" and float(values[f"{b}.frequency_hz"]) > WARPED * rate for values, b in every)
    for warping in effect.card.addresses["warping"].options if thorough and high else ():
        if warping != effect.get("warping"):
            other = effect.copy()
            other.set("warping", warping)
            answers += [values | {"warping": warping} for values in _added(other, *curve, alone, most, FOLLOWED, seed)]
    return answers


def _added(
    effect: Effect, hertz: Numbers, gain_db: Numbers, weight: Numbers, rate: float, alone: bool, most: int, followed: int,
    seed: int,
) -> list[dict[str, Value]]:  # fmt: skip
    """Values of bands for a curve, one band added after the other: the last sets, the best first, then one with a band less."""
    random = np.random.default_rng(seed)
    nothing = Answers(np.zeros((1, 0, 3)), np.zeros(1), np.array([np.inf]), -gain_db[None])
    levels: list[list[tuple[BandFit, Answers]]] = [[(BandFit(effect, [], hertz, gain_db, weight, rate), nothing)]]
    while len(levels) <= most:
        before = float(levels[-1][0][1].errors[0])
        tried: dict[tuple[Shape, ...], tuple[BandFit, Answers]] = {}
        for last, answers in levels[-1]:
            for shape in OTHER_SHAPES:
                fit = BandFit(effect, [*last.shapes, shape], hertz, gain_db, weight, rate, offset=not alone, bend=1.0)
                more = fit.with_one_more(answers, random)
                kinds = tuple(sorted(fit.shapes))
                if kinds not in tried or more.errors[0] < tried[kinds][1].errors[0]:
                    tried[kinds] = fit, more
        first = sorted(tried.values(), key=_error)[: TRIED_FIRST * followed]
        finished = sorted(((fit, fit.refined(a.places[:3], a.offsets[:3], 25)) for fit, a in first), key=_error)[:followed]
        if finished[0][1].errors[0] > WORTH_A_BAND * before:
            break
        if len(levels) > 1:
            finished = [(fit, joined([a, fit.relocated(a, random, kept=2)])) for fit, a in finished]
        levels.append(sorted(finished, key=_error))
        if levels[-1][0][1].errors[0] < GOOD_ENOUGH_DB:
            break
    return [_all_values(fit, answers) for fit, answers in [*levels[-1], *levels[-2][:1]] if fit.shapes]


def _error(fitted: tuple[BandFit, Answers]) -> float:
    return float(fitted[1].errors[0])


def _all_values(fit: BandFit, answers: Answers) -> dict[str, Value]:
    """Values of all bands of an equaliser that has those of an answer, and no others."""
    values: dict[str, Value] = {f"band{i}.type": "off" for i in range(len(fit.shapes) + 1, BANDS + 1)}
    for i, ((kind, slope), row) in enumerate(zip(fit.shapes, answers.places[0], strict=True), 1):
        values |= {f"band{i}.type": kind, f"band{i}.channel": "all"}
        if kind in CUTS:
            values[f"band{i}.slope_db_per_octave"] = slope
        values |= {f"band{i}.{name}": float(p.at(u)) for p, name, u in zip(fit.cards, NAMES, row, strict=True)}
    return values
