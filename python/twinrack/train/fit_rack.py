"""`fit_rack`: the values with which a rack turns a dry recording into a wet one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..checks import check_number
from ..measure.residual import residual_of
from ..rack.card import Value
from ..rack.rack import Rack
from ..rack.signatures import spelled_out
from ..system import interrupt
from ..twins.rack_twin import RackTwin
from .addresses import Learned, Patterns, learned_in_rack, patterns_of
from .advice import advice, verdict
from .conditions import Conditions
from .data import Pair, Source, explained_by, load_pairs
from .find.blocks import REACHED
from .find.values import Findings, find_values
from .fit_outside import fit_outside, outside
from .losses import Loss, Term
from .polarity import polarized
from .process import training
from .progress import FitProgress
from .responses import lacks_response, with_response
from .result import FitResult, give_provenance
from .rounds import Rounds, starting_racks
from .run import INTERRUPTED, POLISH_BELOW, Assessment, Run
from .run import InterruptedFitError as InterruptedFitError
from .settings import MOST_MINUTES, RackSettings, checked_alignment, checked_checkpoint, lowered
from .stream_updater import StreamUpdater
from .structures import Structure, open_choices
from .trainable_rack import TrainableRack

if TYPE_CHECKING:
    from ..stage.stream import LiveStream


USUAL_STEPS = 300  # of Adam
LAST_STEPS = 6  # second-order steps after a search that reached the target


@spelled_out()
def fit_rack(
    rack: Rack,
    dry: Source | Sequence[Source],
    wet: Source | Sequence[Source],
    sample_rate: float | None = None,
    *,
    steps: int | None = None,
    learn: Iterable[str] | None = None,
    freeze: Iterable[str] = (),
    choices: Iterable[str] | Mapping[str, Sequence[Value]] | None = None,
    minutes: float | None = None,
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
        steps: None searches for the values: block by block through the chain by renders of the engine, first by levels in
            bands and then by the waveform (see `find.blocks`); where the rack's structure does not fit, also other options,
            types of bands and a gain at the end, which `result.notes` name. A number takes so many steps of Adam from the
            rack's own values instead, in the constrained domain (where each whole range is 1), the step size falling along
            a cosine; so does None, with 300, where a search is not possible: with a loss, conditions, a live stream, a
            checkpoint or start values of your own, and for networks and responses, which learn after it. A rack that is
            one ConvolutionReverb without a response gets it by deconvolution (see `measure.deconvolution`).
        learn: addresses to train, with * for any ("compressor.*"); without, everything learnable, networks too; an empty list
            only measures. Values that do nothing as the choices stand, such as the gain of a low cut, are left out unless
            they are named. A response learns when it is named: "convolution_reverb.impulse_response".
        freeze: addresses that keep their start values.
        choices: addresses of choices and switches that are open, with * for any ("compressor.*"), or the options to try of
            each. A search tries those that are open, one change after the other, where the present ones do not fit; None
            opens those that a person would try, and () none. With steps all combinations are tried in short rounds and the
            best continues (see `structures`); None is none.
        minutes: of a search, after which it begins nothing new; it then ends within some ten seconds. Its findings then
            depend on how fast the machine is. None: until it is done.
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
        compares: False where `wet` is not a target and the loss says what to reach (see `match`).
        progress: False is silent; otherwise a bar on a terminal, and elsewhere a line every 10 s on standard error.
        on_step: called after each step with its number and the loss.

    Returns:
        The fitted rack, distances on held-out audio, history, and how well each parameter is determined.

    Raises:
        FileNotFoundError, ValueError: recordings or addresses that do not fit; one sentence.

    Other differences between the recordings are named in `result.warnings`, and undone where that is possible: delay (also
    of a fraction of a frame), DC offset and swapped channels are removed from the recordings before training; for inverted
    polarity a Gain is set, or added at the end of the rack; clipping, noise and a different clock are only named.

    Ctrl-C ends it with the best values so far. A step whose loss or gradient is NaN or infinity is not taken, and counted;
    after five of them it goes back to the best values with smaller steps. Where the spectrum, phase or envelope drift away
    while the loss falls, `result.warnings` says so (see `drift`).
    """
    searches = (
        steps is None and loss is None and waveform_weight > 0 and compares and not conditions and not starts
        and live is None and checkpoint is None
    )  # fmt: skip
    settings = RackSettings(
        steps=USUAL_STEPS if steps is None else steps,
        learning_rate=learning_rate,
        stft_weight=stft_weight,
        waveform_weight=waveform_weight,
        polish_steps=polish_steps,
        window_s=window_s,
        batch=batch,
        validation=validation,
        patience=patience,
        seed=seed,
        network_learning_rate=network_learning_rate,
        compares=compares,
        loss=lowered(loss, stft_weight, waveform_weight, compares),
        starts=starts,
        minutes=None if minutes is None else check_number(minutes, "minutes", 0.0, MOST_MINUTES),
    )
    if minutes is not None and not searches:
        raise ValueError(
            "minutes is for a search; leave it out where steps, a loss, conditions, starts, live or a checkpoint are given"
        )
    align = checked_alignment(align)
    checkpoint_file = checked_checkpoint(checkpoint)
    if rack.sidechains:
        raise ValueError(
            f"the rack listens to sidechain {rack.sidechains[0]!r}, which fit does not know; remove the key to fit it"
        )
    began = time.monotonic()
    pairs, rate = load_pairs(dry, wet, sample_rate, align, explained_by(rack) if compares else None)
    opened = open_choices(rack, () if choices is None else choices)
    notes, frozen = [note for p in pairs for note in p.notes], patterns_of(freeze)
    wanted = None if learn is None else patterns_of(learn)
    channels = pairs[0].dry.shape[0]
    unread = lacks_response(rack, channels) if searches and learn is None and not choices else None
    if compares and unread is None:
        prepared = polarized(rack, pairs, rate, opened, fixed=live is not None)
        rack, pairs, notes = prepared.rack, prepared.pairs, notes + prepared.notes
        frozen += [f"{prepared.added}.*"] if prepared.added is not None else []
    if outside(rack):
        if not searches:
            raise ValueError(
                f"{outside(rack)} has no twin, so only a plain fit is possible: without steps, loss, conditions, starts, live "
                "and checkpoint"
            )
        with training(settings.steps, progress, tensorboard) as (bar, _):
            result = fit_outside(rack, pairs, rate, settings, wanted, frozen, opened, bar)
        result.warnings = notes + result.warnings
        result.seconds = time.monotonic() - began
        return result
    known = Conditions(rack, conditions, len(pairs))
    if known and (starts or choices):
        raise ValueError("conditions cannot be combined with starts or choices; find these on pairs of one condition first")
    with training(settings.steps, progress, tensorboard) as (bar, board):
        findings = None
        if unread is not None:
            found, note = with_response(rack, unread, pairs, rate, validation)
            wanted, notes = patterns_of([]), [*notes, note]
            rounds = starting_racks(found, {}, pairs, rate, settings, wanted, frozen, bar)
        elif searches:
            findings = _searched(rack, pairs, rate, settings, wanted, frozen, None if choices is None else opened, bar)
        if findings is not None:
            rounds, pairs = Rounds([findings.rack], findings.tried, findings.interrupted), findings.pairs
            notes += findings.notes
        elif unread is None:
            rounds = starting_racks(rack, opened, pairs, rate, settings, wanted, frozen, bar)
        twin = RackTwin(rounds.racks[0], rate)
        learned = learned_in_rack(twin, wanted, frozen, pairs[0].dry.shape[0])
        learned = Learned([a for a in learned.values if a not in known.fixed], learned.resources)
        if findings is not None and not learned.resources and findings.energy < POLISH_BELOW**2:
            last = min(settings.polish_steps, LAST_STEPS) if findings.energy <= REACHED else settings.polish_steps
            settings = replace(settings, steps=0, polish_steps=last)
        settings = replace(settings, learn=[*learned.values, *learned.resources], choices=list(opened))
        updater = None if live is None else StreamUpdater(live, rounds.racks[0], twin)
        run = Run(TrainableRack(twin, pairs, rate, learned, known), settings, board, updater)
        start = run.assess(rack)
        if findings is not None:
            run.keep_start()
        stopped = INTERRUPTED if rounds.interrupted else run.complete(bar, checkpoint_file, on_step)
        if findings is not None and stopped != INTERRUPTED and settings.steps == 0:
            stopped = "the search ended"
        if stopped == INTERRUPTED and interrupt.received():  # the command ends now, and has no time to measure
            raise InterruptedFitError(twin.to_rack() if run.history else None)
    result = _result(run, settings, rack, start, rounds.tried, stopped, loss is None)
    result.warnings, result.middles = notes + run.warnings, known.middles
    if findings is not None or unread is not None:
        result.residual = residual_of(run.held_out(result.rack), rate)
        result.advice = verdict(result.rack, result.residual) or result.advice
    result.seconds = time.monotonic() - began
    give_provenance(result, rack)
    if updater is not None:
        updater.set_all(result.rack)
    return result


def _searched(
    rack: Rack,
    pairs: list[Pair],
    rate: float,
    settings: RackSettings,
    learn: Patterns | None,
    freeze: Patterns,
    opened: dict[str, Sequence[Value]] | None,
    bar: FitProgress,
) -> Findings:
    """The findings of a search by the engine.

    Raises:
        KeyboardInterrupt: Ctrl-C, before anything was found.
    """
    channels = pairs[0].dry.shape[0]

    def learned(rack: Rack) -> list[str]:
        twin = RackTwin(rack, rate)
        if not twin.learnable():
            return []
        return learned_in_rack(twin, learn, freeze, channels).values

    return find_values(
        rack, pairs, rate, learned,
        validation=settings.validation, opened=opened, may_add=learn is None, seed=settings.seed, seconds=settings.seconds,
        report=bar.finding,
    )  # fmt: skip


def _result(
    run: Run[Rack],
    settings: RackSettings,
    given: Rack,
    start: Assessment,
    tried: list[Structure],
    stopped: str,
    usual_loss: bool,
) -> FitResult:
    """The result of a finished run; of the start, where that is nearer."""
    rack = run.trainable.player()
    fitted = run.assess(rack)
    if not _nearer(fitted, start, settings.compares and usual_loss):
        rack, fitted, stopped = given.copy(), start, f"{stopped}; nothing better than the start was found"
        run.drop_slopes()
    nothing = run.assess(None)
    gains = nothing.trajectory_db, start.trajectory_db, fitted.trajectory_db
    result = FitResult(
        rack=rack,
        start_rack=given.copy(),
        pairs=run.pairs,
        sample_rate=run.rate,
        nothing=nothing.distances,
        start=start.distances,
        fitted=fitted.distances,
        parameters=run.parameters(given, rack),
        history=run.history,
        settings=settings.record(),
        stopped=stopped,
        skipped_steps=run.skipped,
        seconds=0.0,
        splits=run.splits,
        structures=tried,
        slopes=run.slopes(),
        held_out_loss=fitted.loss,
        trajectory_db=gains if np.isfinite(gains).all() else None,
    )
    if settings.compares and usual_loss:
        pieces = run.held_out(rack)
        result.advice = advice(rack, fitted.distances.error_db, run.history, settings, stopped, pieces, run.rate)
    if run.polished is not None:
        addresses = list(run.trainable.values)
        result.alike = [(addresses[i], addresses[j]) for i, j in run.polished.alike]
    if run.history:
        rows = [[h["step"], h["loss"], h["held_out"]] for h in run.history]
        rack.arrays = {"history_step_loss_held_out": np.array(rows, np.float32)}
    return result


def _nearer(fitted: Assessment, start: Assessment, by_distances: bool) -> bool:
    """Whether a fit is not worse than its start: by its distances to the recording, or by its loss."""
    if not by_distances:
        return fitted.loss <= start.loss
    before, after = start.distances, fitted.distances
    return not (after.error_db + 10 * after.stft > before.error_db + 10 * before.stft and after.stft > before.stft)
