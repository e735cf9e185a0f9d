"""`fit`: what settings make `dry` sound like `wet`?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
import torch

from ..rack.card import Value
from ..rack.effect import unknown
from ..rack.idle import idle
from ..rack.rack import Rack, as_rack
from ..rack.signatures import spelled_out
from ..system import interrupt
from ..twins.rack_twin import RackTwin
from ..twins.speed import keep_memory
from .advice import advice
from .conditions import Conditions
from .data import Pair, Source, explained_by, load_pairs
from .losses import Loss, SoundTerm, Term, usual
from .polarity import polarized
from .progress import FitProgress
from .result import FitResult, ParameterResult, in_units, provenance
from .run import Learned, Run
from .settings import FitSettings, MixFitSettings, checked
from .starts import analysed
from .structures import ROUNDS, Structure, combinations, kept_of, open_choices, survivors

if TYPE_CHECKING:
    from ..session.session import Session
    from ..stage.stream import LiveStream
    from .mixdown import MixResult

INTERRUPTED = "interrupted"


class InterruptedFitError(KeyboardInterrupt):
    """The command that runs a fit was asked to end; `rack` has the best values so far, or is None before any were found."""

    def __init__(self, rack: Rack | None) -> None:
        super().__init__()
        self.rack = rack


@spelled_out()
def fit_rack(
    rack: Rack,
    dry: Source | Sequence[Source],
    wet: Source | Sequence[Source],
    sample_rate: float | None = None,
    *,
    steps: int = 300,
    learn: Iterable[str] | None = None,
    freeze: Iterable[str] = (),
    choices: Iterable[str] | Mapping[str, Sequence[Value]] = (),
    starts: int = 0,
    conditions: Sequence[Mapping[str, float]] = (),
    learning_rate: float = 0.012,
    network_learning_rate: float = 0.003,
    loss: Loss | Term | None = None,
    stft_weight: float = 1.0,
    waveform_weight: float = 1.0,
    polish_steps: int = 30,
    window_s: float = 8.0,
    batch: int = 4,
    validation: bool = True,
    patience: int = 12,
    align: bool | int = True,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    tensorboard: str | os.PathLike[str] | None = None,
    live: LiveStream | None = None,
    compares: bool = True,
    progress: bool | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> FitResult:
    """Find the values with which `rack` turns `dry` into `wet`.

    Args:
        rack: structure and start values; it is not changed.
        dry, wet: (channels, frames) arrays, files, lists of either, or two folders whose files have the same names.
        sample_rate: Hz; needed for arrays.
        steps: of Adam, in the constrained domain (where each whole range is 1), the step size falling along a cosine.
        learn: addresses to train, with * for any ("compressor.*"); without, everything learnable, networks too; an empty list
            only measures. What does nothing as the choices stand, such as the gain of a low cut, is left out unless it is
            named. A response learns when it is named: "convolution_reverb.impulse_response".
        freeze: addresses that keep their start values.
        choices: addresses of choices and switches that are open, with * for any ("compressor.*"), or the options to try of
            each: all combinations are tried in short rounds and the best goes on (see `structures`).
        starts: take start values from the recordings, where there is an analysis for the effect (see `starts`): so many at
            most, tried like choices; 0 begins with the rack's own values.
        conditions: what was set while each pair was recorded, in the order of the pairs: an address ("compressor.ratio") has
            that value for that pair; any other name is a knob, which moves every trained value along a straight line (in the
            constrained domain) whose slope is trained (see `FitResult.at`).
        learning_rate: size of the first steps.
        network_learning_rate: of weights of networks; of responses a tenth of their peak times as much.
        loss: what is lowered (see `losses`); without, the next two.
        stft_weight, waveform_weight: of `losses.STFT` and `losses.Waveform`.
        polish_steps: at most so many second-order steps afterwards, where the waveforms come close (see `polish`); none where
            a network or response is trained, and then no standard errors either.
        window_s: longer recordings are trained in random windows of this length, started from silence.
        batch: windows in one step.
        validation: hold out every fifth stretch; False trains and measures on everything.
        patience: checks (one each 10 steps) without improvement on held-out audio after which it stops.
        align: True finds and removes the latency of `wet`, False does not, a number is the latency in frames.
        seed: of the windows.
        checkpoint: file that holds the state after each check, and is continued from where it exists.
        tensorboard: folder for TensorBoard's events: the loss and its parts, distances, drift and all values.
        live: a stream whose rack follows the training, gliding; it must have the structure of `rack`.
        compares: False where `wet` is no target and the loss says what to reach (see `match`).
        progress: False is silent; otherwise a bar on a terminal, and elsewhere a line every 10 s on standard error.
        on_step: called after each step with its number and the loss.

    Returns:
        The fitted rack, distances on held-out audio, history, and how well each parameter is determined.

    Raises:
        FileNotFoundError, ValueError: recordings or addresses that do not fit; one sentence.

    What the recordings have beside the processing is said in `result.warnings`, and undone where that is possible: delay (also
    of a fraction of a frame), DC offset and swapped channels are removed from the recordings before training; for inverted
    polarity a Gain is set, or added at the end of the rack; clipping, noise and a different clock are only named.

    Ctrl-C ends it with the best values so far. A step whose loss or gradient is NaN or infinity is skipped and counted; after
    five of them it goes back to the best values with smaller steps. Where the spectrum, phase or envelope drift away while the
    loss falls, `result.warnings` says so (see `drift`).
    """
    window_s, learning_rate, align = checked(
        window_s, learning_rate, align, checkpoint, steps=steps, polish_steps=polish_steps, batch=batch, seed=seed,
        patience=patience, starts=starts,
    )  # fmt: skip
    if rack.sidechains:
        raise ValueError(
            f"the rack listens to sidechain {rack.sidechains[0]!r}, which fit does not know; remove the key to fit it"
        )
    began = time.monotonic()
    pairs, rate = load_pairs(dry, wet, sample_rate, align, explained_by(rack) if compares else None)
    channels = pairs[0].dry.shape[0]
    settings: dict[str, Any] = {
        "steps": steps,
        "learning_rate": learning_rate,
        "stft_weight": stft_weight,
        "waveform_weight": waveform_weight,
        "polish_steps": polish_steps,
        "window_s": window_s,
        "batch": batch,
        "validation": validation,
        "patience": patience,
        "seed": seed,
        "network_learning_rate": network_learning_rate,
        "compares": compares,
    }
    opened = open_choices(rack, choices)
    notes, freeze = [words for p in pairs for words in p.notes], list(freeze) if not isinstance(freeze, str) else [freeze]
    if compares:
        found = polarized(rack, pairs, rate, opened, fixed=live is not None)
        rack, pairs, notes = found.rack, found.pairs, notes + found.notes
        freeze += [f"{found.added}.*"] if found.added is not None else []
    known = Conditions(rack, conditions, len(pairs))
    if known and (starts or choices):
        raise ValueError("conditions cannot be combined with starts or choices; find these on pairs of one condition first")
    writer = _writer(tensorboard)
    lowered = usual(stft_weight, waveform_weight) if loss is None else Loss() + loss
    if compares and not any(isinstance(term, SoundTerm) and weight > 0 for weight, term in lowered.terms):
        raise ValueError("the loss has no term on the sound; add one, such as losses.STFT()")
    settings["loss"] = str(lowered)
    learn = list(learn) if learn is not None and not isinstance(learn, str) else learn
    given, tried, cut_short = rack, list[Structure](), False
    bar = FitProgress(steps, progress)
    keep_memory()
    torch.set_flush_denormal(True)  # decaying tails would cost many times the rest
    with bar:
        try:
            racks = combinations(rack, opened)
            if starts:
                which = _chosen(RackTwin(rack, rate), learn, freeze, channels).values
                racks = [start for r in racks for start in analysed(r, pairs, rate, which, starts)]
            if len(racks) > 1:
                racks, tried, cut_short = _best_structures(racks, opened, pairs, rate, settings, lowered, (learn, freeze), bar)
            rack = racks[0]
        except BaseException:
            torch.set_flush_denormal(False)
            raise
        twin = RackTwin(rack, rate)
        chosen = _chosen(twin, learn, freeze, channels)
        chosen = Learned([a for a in chosen.values if a not in known.fixed], chosen.resources)
        addresses = chosen.values
        settings |= {"learn": [*addresses, *chosen.resources], "choices": list(opened), "starts": starts}
        run = Run(twin, pairs, rate, chosen, settings, lowered, known)
        run.board = writer
        if live is not None:
            from .follow import Follower

            run.follower = Follower(live, rack, rate)
        start = run.assess(given)
        try:
            if cut_short:
                raise KeyboardInterrupt
            with interrupt.deferred():
                run.train(bar, Path(checkpoint) if checkpoint is not None else None, on_step)
                run.finish(bar)
        except KeyboardInterrupt as error:
            run.stopped = INTERRUPTED
            if interrupt.asked():  # the command ends now, and has no time to measure
                run.restore_best()
                raise InterruptedFitError(twin.to_rack() if run.history else None) from error
        finally:
            torch.set_flush_denormal(False)
            if writer is not None:
                writer.close()
    run.restore_best()
    fitted_rack = twin.to_rack()
    fitted = run.assess(fitted_rack)
    before, after = start.distances, fitted.distances
    farther = after.error_db + 10 * after.stft > before.error_db + 10 * before.stft and after.stft > before.stft
    if farther if compares and loss is None else not fitted.loss <= start.loss:
        fitted_rack, fitted, run.stopped = given.copy(), start, f"{run.stopped}; nothing better than the start was found"
        run.slopes = {}
    if run.follower is not None:
        run.follower.take(fitted_rack)
    nothing = run.assess(None)
    gains = nothing.trajectory_db, start.trajectory_db, fitted.trajectory_db
    result = FitResult(
        rack=fitted_rack,
        start_rack=given.copy(),
        pairs=pairs,
        sample_rate=rate,
        nothing=nothing.distances,
        start=start.distances,
        fitted=fitted.distances,
        parameters=_parameters(given, fitted_rack, addresses, run),
        history=run.history,
        settings=settings,
        stopped=run.stopped,
        skipped_steps=run.skipped,
        seconds=time.monotonic() - began,
        splits=run.splits,
        structures=tried,
        warnings=notes + run.warnings,
        slopes=run.slopes_found(),
        middles=known.middles,
        held_out_loss=fitted.loss,
        trajectory_db=gains if np.isfinite(gains).all() else None,
    )
    if compares and loss is None:
        pieces = run.pieces(fitted_rack)
        result.advice = advice(fitted_rack, fitted.distances.error_db, run.history, settings, run.stopped, pieces, rate)
    if run.polished is not None:
        result.alike = [(addresses[i], addresses[j]) for i, j in run.polished.alike]
    fitted_rack.provenance = provenance(result)
    if run.history:
        rows = [[h["step"], h["loss"], h["held_out"]] for h in run.history]
        fitted_rack.arrays = {"history_step_loss_held_out": np.array(rows, np.float32)}
    return result


@overload
def fit(
    rack: Session, dry: Source | None, *, sample_rate: float | None = None, **settings: Unpack[MixFitSettings]
) -> MixResult: ...


@overload
def fit(
    rack: Rack,
    dry: Source | Sequence[Source],
    wet: Source | Sequence[Source],
    sample_rate: float | None = None,
    **settings: Unpack[FitSettings],
) -> FitResult: ...


@spelled_out(fit_rack)
def fit(
    rack: Rack | Session,
    dry: Source | Sequence[Source] | None,
    wet: Source | Sequence[Source] | None = None,
    sample_rate: float | None = None,
    *,
    levels: bool | None = None,
    prune: bool | None = None,
    **settings: Any,
) -> FitResult | MixResult:
    """Find the values with which `rack` turns `dry` into `wet`, or with which a session's clips become a mix.

    Args:
        rack: structure and start values; it is not changed. A Rack, or a Session: then `dry` is the mix that is to be reached
            (or None, with `loss=` of targets), and `wet` is left out.
        dry, wet, sample_rate: as in `fit_rack`, or `mixdown.fit_mix`.
        levels, prune: of a session only, as in `mixdown.fit_mix`.
        settings: all others of those: steps, learn, freeze, choices, starts, loss, checkpoint, …

    Returns:
        Of a rack a `FitResult`, of a session a `MixResult`.

    Raises:
        FileNotFoundError, ValueError: recordings or addresses that do not fit; one sentence.
    """
    from ..session.session import Session

    if isinstance(rack, Session):
        from .mixdown import fit_mix

        if wet is not None:
            raise ValueError("a session brings its own recordings; give the mix alone: fit(session, mix)")
        settings |= {name: value for name, value in (("levels", levels), ("prune", prune)) if value is not None}
        return fit_mix(rack, dry, sample_rate, **settings)  # type: ignore[arg-type]
    if wet is None or dry is None:
        raise ValueError("give the dry and the wet recording: fit(rack, dry, wet)")
    rack = as_rack(rack)
    if levels is not None or prune is not None:
        raise TypeError("levels and prune are for a session, not for a rack; leave them out")
    return fit_rack(rack, dry, wet, sample_rate, **settings)


def _best_structures(
    racks: list[Rack],
    opened: dict[str, Sequence[Value]],
    pairs: list[Pair],
    rate: float,
    settings: dict[str, Any],
    loss: Loss,
    which: tuple[Iterable[str] | None, Iterable[str]],
    bar: FitProgress,
) -> tuple[list[Rack], list[Structure], bool]:
    """The racks that are left after the rounds, all that were tried, best first, and whether Ctrl-C ended the rounds.

    Raises:
        KeyboardInterrupt: it came before one was tried.
    """
    dropped: list[Structure] = []
    counts = [len(racks), *(min(len(racks), kept_of(len(racks))) for _ in ROUNDS[1:])]
    costs = [steps + polish_steps for (steps, polish_steps), count in zip(ROUNDS, counts, strict=True) for _ in range(count)]
    number = 0
    for steps, polish_steps in ROUNDS:
        found = list[tuple[Structure, Rack]]()
        cut_short = False
        try:
            for candidate in racks:
                bar.trying(number + 1, len(costs), sum(costs[:number]) / sum(costs))
                number += 1
                short = settings | {"steps": steps, "polish_steps": polish_steps, "window_s": min(settings["window_s"], 4.0)}
                twin = RackTwin(candidate, rate)
                run = Run(twin, pairs, rate, _chosen(twin, *which, pairs[0].dry.shape[0]), short, loss)
                with interrupt.deferred():
                    run.train(FitProgress(steps, False), None, None)
                    run.finish(FitProgress(steps, False), errors=False)
                run.restore_best()
                after = twin.to_rack()
                options = {address: after.get(address) for address in opened}
                found.append((Structure(options, run.measure(after), run.best[0], steps), after))
        except KeyboardInterrupt:
            if not found:
                if not dropped:
                    raise
                return racks, sorted(dropped, key=lambda s: s.score), True
            cut_short = True
        kept = survivors(found)
        dropped += [s for s, _ in found if s not in [k for k, _ in kept]]
        racks = [r for _, r in kept]
        if cut_short:
            break
    return racks, [s for s, _ in kept] + sorted(dropped, key=lambda s: s.score), cut_short


def _chosen(twin: RackTwin, learn: Iterable[str] | None, freeze: Iterable[str], channels: int) -> Learned:
    """What is trained: what `learn` names without what `freeze` does, and without what does nothing as the choices stand."""
    values, resources = twin.learnable(), twin.resource_addresses()
    there = [*values, *resources]
    nothing = {f"{a}.{n}" for a in twin.addresses() for n in idle(twin[a].card, twin[a].constants, channels)}
    usual = {a for a in there if (a in values and a not in nothing) or (a in resources and twin.resource_at(a).requires_grad)}

    def matching(patterns: Iterable[str], freezes: bool = False) -> set[str]:
        found: set[str] = set()
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            hits = [a for a in there if fnmatch(a, pattern) and (a in usual or a == pattern)]
            still = [a for a in there if fnmatch(a, pattern) and a in nothing]
            if not hits and still and freezes:
                continue
            if not hits and still:
                raise ValueError(f"{still[0]} does nothing in this rack and with this sound, so there is nothing to learn")
            if not hits:
                raise ValueError(unknown(pattern, there, "the rack", "learnable parameter"))
            found.update(hits)
        return found

    if learn is not None and not list(learn):
        return Learned([], [])  # only measured
    wanted = usual if learn is None else matching(learn)
    wanted = wanted - matching(freeze, True)
    silent = {a for a in there if twin[a.partition(".")[0]].bypass}
    chosen = [a for a in there if a in wanted and a not in silent]
    if not chosen:
        raise ValueError("no parameter is left to train; add effects, or name more in learn")
    return Learned([a for a in chosen if a in values], [a for a in chosen if a in resources])


def _writer(folder: str | os.PathLike[str] | None) -> Any:
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("tensorboard is not installed; pip install tensorboard, or leave it out") from None
    return SummaryWriter(os.fspath(folder))


def _parameters(before: Rack, after: Rack, addresses: list[str], run: Run) -> list[ParameterResult]:
    errors = run.polished.standard_errors if run.polished is not None else []
    found = []
    for i, address in enumerate(addresses):
        p = run.card(address)
        start, fitted = float(before.get(address)), float(after.get(address))
        result = ParameterResult(address, start, fitted, p.unit, p.min, p.max, p.expected)
        if i < len(errors):
            result.standard_error, result.determined = in_units(p, run.raw[i].item(), errors[i])
        found.append(result)
    return found
