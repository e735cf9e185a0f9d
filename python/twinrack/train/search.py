"""`search`: which effects, in which order and with which options; short fits, chosen by Optuna, in a study that can be resumed.

Every trial is a rack made of some of the effects in some order, fitted for a few steps; its score is the loss on held-out
audio and a price for every effect. The first trials are the whole rack and the rack without each of its effects. The
worth of a decision comes from the trials: how much worse the best rack without it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Unpack

from ..audio import Audio
from ..checks import check_integer, check_number
from ..rack.card import Value
from ..rack.effect import Effect
from ..rack.fingerprint import fingerprint
from ..rack.rack import Rack, as_rack
from ..rack.signatures import spelled_out
from ..system.disk import atomic, check_writable
from .data import Pair, Source, explained_by, load_pairs
from .fit_rack import fit_rack
from .losses import Loss, Term
from .result import FitResult
from .run import INTERRUPTED
from .settings import MOST, SearchSettings
from .structures import open_choices

Sounds = tuple[list[Audio], list[Audio], float]  # dry, wet, sample rate in Hz

SHOWN = 8
WATCHING = ("on_step", "progress", "tensorboard", "live")  # settings of which the result does not depend


@dataclass(frozen=True)
class Trial:
    """One rack that was tried: its effects in order, its options, the values it was fitted to, and how near it came."""

    score: float
    effects: tuple[str, ...]
    choices: dict[str, Value]
    values: dict[str, Value]
    error_db: float
    stft: float

    def __str__(self) -> str:
        options = ", ".join(f"{a.partition('.')[2]} {v}" for a, v in self.choices.items())
        return f"{self.score:8.4f} {self.error_db:8.1f} dB {self.stft:7.3f}  {' → '.join(self.effects) or 'nothing'}  {options}"


@dataclass
class SearchResult:
    """Result of a search.

    Attributes:
        rack: the best trial's, fitted for longer.
        pruned: the smallest that is as good within the tolerance; may be `rack`.
        trials: best first.
        helps: by decision ("compressor used", "saturation before compressor", "compressor.detector rms"): how much worse the
            best rack without it is than the best one with it.
        fit: of `rack`.
        stopped: what Ctrl-C cut short; empty where nothing did.
    """

    rack: Rack
    pruned: Rack
    trials: list[Trial]
    helps: dict[str, float]
    fit: FitResult
    stopped: str = ""

    def __str__(self) -> str:
        lines = [f"search of {len(self.trials)} racks; score, error and STFT distance on held-out audio:"]
        lines += [f"  {t}" for t in self.trials[:SHOWN]]
        lines.append("what helps (score without less score with):")
        lines += [f"  {worth:+8.4f}  {what}" for what, worth in list(self.helps.items())[:SHOWN]]
        lines.append(f"{'the best one' if self.stopped else 'fitted for longer'}: {self.fit.fitted}")
        smallest = " → ".join(self.pruned.addresses()) or "nothing"
        lines.append(self.stopped if self.stopped else f"as good with: {smallest}")
        return "\n".join(lines)

    __repr__ = __str__

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Write a self-contained HTML page: what helps most, and the scores of all trials."""
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots

        names = list(self.helps)[::-1]
        figure = make_subplots(rows=2, cols=1, subplot_titles=("What helps: score without less score with", "All racks"))
        figure.add_trace(go.Bar(x=[self.helps[n] for n in names], y=names, orientation="h"), 1, 1)
        labels = [" → ".join(t.effects) or "nothing" for t in self.trials]
        figure.add_trace(go.Scatter(y=[t.score for t in self.trials], text=labels, mode="markers"), 2, 1)
        figure.update_layout(showlegend=False, height=400 + 24 * len(names), title=f"Search: {self.rack.name}")
        page = figure.to_html(include_plotlyjs=True)
        with atomic(Path(path)) as beside:
            beside.write_text(page, encoding="utf-8", errors="backslashreplace")
        return Path(path)


@spelled_out(fit_rack, only=SearchSettings.__annotations__)
def search(
    rack: Rack,
    dry: Source | Sequence[Source],
    wet: Source | Sequence[Source],
    sample_rate: float | None = None,
    *,
    trials: int = 40,
    use: bool = True,
    order: bool = True,
    choices: Iterable[str] | Mapping[str, Sequence[Value]] = (),
    price: float = 0.01,
    tolerance: float = 0.02,
    steps: int = 60,
    final_steps: int = 300,
    loss: Loss | Term | None = None,
    study: str | os.PathLike[str] | None = None,
    seed: int = 0,
    **settings: Unpack[SearchSettings],
) -> SearchResult:
    """Find which of a rack's effects are needed, in which order and with which options, to turn `dry` into `wet`.

    Args:
        rack: the effects that may be used, at their start values; a plain chain. It is not changed.
        dry, wet, sample_rate: as for `fit`.
        trials: racks that are tried, those of a resumed study included.
        use: whether effects may be left out.
        order: whether they may change places.
        choices: addresses of choices and switches that are open, as for `fit`.
        price: what an effect costs in the score (a loss of 1 is doing nothing).
        tolerance: by how much worse the pruned rack's loss may be than the best one's.
        steps, final_steps: of each trial's fit, and of the last one.
        loss: as for `fit`.
        study: SQLite file that holds the trials; it is continued where it exists.
        seed: of the choice of trials.
        settings: further ones of `fit`: learn, freeze, window_s, batch, …

    Raises:
        ValueError: a nested rack, nothing left open, or a study of something else.

    Ctrl-C ends it with the racks that were tried so far, and `stopped` says so; before the first was, it raises. The rack
    that was being tried does not count, and a study that is continued tries it again.
    """
    rack = as_rack(rack)
    trials = check_integer(trials, "trials", 1, 1_000_000)
    steps, final_steps = check_integer(steps, "steps", 0, MOST), check_integer(final_steps, "final_steps", 0, MOST)
    seed = check_integer(seed, "seed", 0, (1 << 32) - 1)
    price, tolerance = check_number(price, "price"), check_number(tolerance, "tolerance")
    if any(not isinstance(item, Effect) for item in rack.effects):
        raise ValueError("search orders a plain chain of effects; take them out of Chain and Parallel")
    opened = open_choices(rack, choices)
    if not (use or order) and not opened:
        raise ValueError("nothing is left open; allow use or order, or name choices")
    pairs, rate = load_pairs(dry, wet, sample_rate, settings.pop("align", True), explained_by(rack))
    sounds = ([p.dry for p in pairs], [p.wet for p in pairs], rate)
    common: dict[str, Any] = {"progress": False, "align": False, "loss": loss, "polish_steps": 0, "seed": seed} | settings
    of = [[p.dry_hash, p.wet_hash] for p in pairs]
    terms = [] if loss is None else [(weight, repr(term)) for weight, term in (Loss() + loss).terms]
    relevant = sorted((name, value) for name, value in settings.items() if name not in WATCHING)
    asked = [bool(use), bool(order), sorted(opened.items()), price, steps, terms, relevant]
    identity = hashlib.sha256(json.dumps([of, fingerprint(rack), repr(asked)]).encode()).hexdigest()
    if study is not None:
        check_writable(Path(study))
    tried = _Trials(rack, opened, use, order, pairs, sounds, steps, price, common)
    tried.open(study, identity, seed, trials)
    stopped = tried.run(trials)
    ranked, best = tried.ranked()
    if stopped:  # only measured
        result = _fitted(best, sounds, 0, common | {"learn": []})
    else:
        result = _fitted(best, sounds, final_steps, common | {"polish_steps": 30})
        if result.stopped.startswith(INTERRUPTED):
            stopped = f"{INTERRUPTED} while the best rack was fitted for longer"
    notes = [note for p in pairs for note in p.notes]
    result.warnings = [*notes, *(note for note in result.warnings if note not in notes)]
    result.rack.provenance["warnings"] = result.warnings
    pruned = result.rack
    if not stopped:
        pruned, whole = _pruned(result, sounds, final_steps, common, tolerance, ranked[0])
        if not whole:
            stopped = f"{INTERRUPTED} while effects were left out"
    return SearchResult(result.rack, pruned, ranked, _helps(ranked), result, stopped)


class _Trials:
    """The racks of a search, which Optuna chooses and a study keeps.

    Args:
        rack: all effects that may be used.
        opened: the options of each choice that is open.
        use, order: whether effects may be left out, and change places.
        pairs, sounds: the recordings, and the same as `_fitted` takes them.
        steps, price, common: of each trial's fit and score.
    """

    def __init__(
        self,
        rack: Rack,
        opened: dict[str, Sequence[Value]],
        use: bool,
        order: bool,
        pairs: Sequence[Pair],
        sounds: Sounds,
        steps: int,
        price: float,
        common: dict[str, Any],
    ) -> None:
        self._rack, self._opened, self._use, self._order = rack, opened, use, order
        self._pairs, self._sounds, self._steps, self._price, self._common = pairs, sounds, steps, price, common
        self._effects = list(rack.addresses())
        self._fitted: dict[int, Rack] = {}  # with what a study does not keep: weights of networks
        self._last: int | None = None  # number of the trial that was begun last

    def open(self, study: str | os.PathLike[str] | None, identity: str, seed: int, trials: int) -> None:
        """Begin a study, or continue the one in a file.

        Raises:
            ValueError: it is of something else.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would warn of the trial that Ctrl-C cuts short
        storage = None if study is None else f"sqlite:///{Path(study).resolve()}"
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(trials // 3, 3)))
        self._study = optuna.create_study(storage=storage, study_name="twinrack", load_if_exists=True, sampler=sampler)
        if self._study.user_attrs.setdefault("of", identity) != identity:
            raise ValueError(f"{study} is a study of other recordings, effects or settings; delete it to start anew")
        self._study.set_user_attr("of", identity)
        if self._study.trials:
            return
        for left_out in [None, *(self._effects if self._use else ())]:
            begin: dict[str, Any] = {f"use {a}": a != left_out for a in self._effects} if self._use else {}
            begin |= {f"place of {a}": i / len(self._effects) for i, a in enumerate(self._effects)} if self._order else {}
            self._study.enqueue_trial(begin | {a: self._rack.get(a) for a in self._opened})

    def run(self, trials: int) -> str:
        """Try racks until there are so many; what Ctrl-C cut short, empty where nothing did.

        Raises:
            KeyboardInterrupt: before the first was tried.
        """
        from optuna.trial import TrialState

        done = [t for t in self._study.trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        if len(done) >= trials:
            return ""
        try:
            self._study.optimize(self._score, n_trials=trials - len(done))
        except KeyboardInterrupt:
            cut = None if self._last is None else self._study.trials[self._last]
            if cut is not None and cut.state == TrialState.RUNNING:
                self._study.tell(cut.number, state=TrialState.FAIL)
            if cut is not None and cut.value is None and cut.params:
                self._study.enqueue_trial(cut.params)  # a study that is continued tries it again
            count = sum(t.value is not None for t in self._study.trials)
            if not count:
                raise
            return f"{INTERRUPTED} after {count} of {trials} racks"
        return ""

    def ranked(self) -> tuple[list[Trial], Rack]:
        """All trials, the best first, and the rack of the best.

        Raises:
            ValueError: there is none.
        """
        done = sorted((t for t in self._study.trials if t.value is not None), key=lambda t: float(t.value or 0.0))
        if not done:
            raise ValueError("no rack could be tried: an effect drives what is not there in any of them; allow more trials")
        ranked = [_trial(t) for t in done]
        best = ranked[0]
        return ranked, _rack(self._fitted.get(done[0].number, self._rack), best.effects, best.choices, best.values)

    def _suggested(self, trial: Any) -> tuple[Rack, dict[str, Value]]:
        used = [a for a in self._effects if not self._use or trial.suggest_categorical(f"use {a}", [True, False])]
        places = {a: trial.suggest_float(f"place of {a}", 0.0, 1.0) for a in self._effects} if self._order else {}
        options = {a: trial.suggest_categorical(a, list(values)) for a, values in self._opened.items()}
        chain = sorted(used, key=lambda a: places.get(a, 0.0)) if self._order else used
        return _rack(self._rack, chain, {a: v for a, v in options.items() if a.partition(".")[0] in chain}), options

    def _score(self, trial: Any) -> float:
        """The score of a trial: the loss of its fit on held-out audio, and the price of its effects."""
        import optuna

        self._last = trial.number
        candidate, options = self._suggested(trial)
        try:
            candidate.copy().prepare(self._sounds[2], self._pairs[0].dry.shape[0])
        except ValueError:  # such as a controller behind what it drives
            raise optuna.TrialPruned from None
        chain = list(candidate.addresses())
        chosen = {a: v for a, v in options.items() if a.partition(".")[0] in chain}
        for before in self._study.trials:  # the same rack again: its score is known
            if before.value is not None and [before.user_attrs["effects"], before.user_attrs["choices"]] == [chain, chosen]:
                for name, attribute in before.user_attrs.items():
                    trial.set_user_attr(name, attribute)
                if before.number in self._fitted:
                    self._fitted[trial.number] = self._fitted[before.number]
                return float(before.value)
        result = _fitted(candidate, self._sounds, self._steps, self._common)
        if result.stopped.startswith(INTERRUPTED):
            raise KeyboardInterrupt  # cut short, its score says nothing
        self._fitted[trial.number] = result.rack
        trial.set_user_attr("effects", chain)
        trial.set_user_attr("choices", chosen)
        values = result.rack.values()  # a Gain that undoes inverted polarity comes again with each fit
        trial.set_user_attr("values", {a: v for a, v in values.items() if a.partition(".")[0] in chain})
        trial.set_user_attr("distances", [result.fitted.error_db, result.fitted.stft])
        return result.held_out_loss + self._price * len(chain)


def _rack(whole: Rack, chain: Sequence[str], choices: Mapping[str, Value], values: Mapping[str, Value] | None = None) -> Rack:
    """These effects in this order, under the addresses that they have in the whole rack."""
    items = []
    for address in chain:
        item = whole[address].copy()
        items.append(type(item)(name=address, key=item.key, bypass=item.bypass, **item.resources))
        for name, value in item.values().items():
            items[-1].set(name, value)
    result = Rack(items, whole.name)
    for address, value in {**choices, **(values or {})}.items():
        result.set(address, value)
    return result


def _fitted(rack: Rack, sounds: Sounds, steps: int, common: dict[str, Any]) -> FitResult:
    """A fit; a rack without learnable values is only measured."""
    dry, wet, rate = sounds
    trainable = [*(twin := rack.twin(rate)).learnable(), *twin.resource_addresses()]
    common = dict(common)
    for name in ("learn", "freeze"):
        patterns = common.get(name)
        if patterns is not None:  # patterns that match nothing would be refused
            patterns = [patterns] if isinstance(patterns, str) else patterns
            common[name] = [p for p in patterns if any(fnmatch(a, p) for a in trainable)]
    if not trainable:
        common["learn"] = []
    return fit_rack(rack, dry, wet, rate, steps=steps, **common)


def _trial(t: Any) -> Trial:
    a = t.user_attrs
    return Trial(float(t.value), tuple(a["effects"]), a["choices"], a["values"], *a["distances"])


def _helps(trials: Sequence[Trial]) -> dict[str, float]:
    """The worth of each decision: the score of the best rack without it, less that of the best with it."""
    decisions: dict[str, list[bool]] = {}
    names = sorted({a for t in trials for a in t.effects})
    for a in names:
        decisions[f"{a} used"] = [a in t.effects for t in trials]
    options = sorted({(a, str(v)) for t in trials for a, v in t.choices.items()})
    masks: dict[str, list[bool]] = {}
    for a, v in options:
        masks[f"{a} {v}"] = [a in t.choices for t in trials]
        decisions[f"{a} {v}"] = [str(t.choices.get(a)) == v for t in trials]
    for a in names:
        for b in names:
            if a < b:
                what = f"{a} before {b}"
                masks[what] = [a in t.effects and b in t.effects for t in trials]
                decisions[what] = [
                    a in t.effects and b in t.effects and t.effects.index(a) < t.effects.index(b) for t in trials
                ]
    worth = {}
    for what, yes in decisions.items():
        comparable = masks.get(what, [True] * len(trials))
        with_it = [t.score for t, y, m in zip(trials, yes, comparable, strict=True) if m and y]
        without = [t.score for t, y, m in zip(trials, yes, comparable, strict=True) if m and not y]
        if with_it and without:
            worth[what] = min(without) - min(with_it)
    return dict(sorted(worth.items(), key=lambda item: -item[1]))


def _pruned(
    result: FitResult,
    sounds: Sounds,
    steps: int,
    common: dict[str, Any],
    tolerance: float,
    best: Trial,
) -> tuple[Rack, bool]:
    """One effect after the other is left out while the rest, fitted again, stays as good; False where Ctrl-C ended it."""
    smallest, limit = result.rack, result.held_out_loss + tolerance
    chain = list(best.effects)
    while len(chain) > 1:
        tried = []
        for address in chain:
            rest = [a for a in chain if a != address]
            choices = {a: v for a, v in best.choices.items() if a.partition(".")[0] in rest}
            values = {a: v for a, v in smallest.values().items() if a.partition(".")[0] in rest}
            again = _fitted(_rack(smallest, rest, choices, values), sounds, max(steps // 3, 1), common)
            if again.stopped.startswith(INTERRUPTED):
                return smallest, False
            tried.append((again.held_out_loss, rest, again.rack))
        loss, rest, smaller = min(tried, key=lambda t: t[0])
        if loss > limit:
            break
        chain, smallest = rest, smaller
    return smallest, True
