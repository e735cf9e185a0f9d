"""`fit`: what settings make `dry` sound like `wet`?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch

from ..card import Value
from ..effect import unknown
from ..files import check_writable
from ..rack import Rack
from ..twins.rack_twin import RackTwin
from ..twins.speed import keep_memory
from .conditions import Conditions
from .data import Pair, Source, explained_by, load_pairs
from .losses import Loss, SoundTerm, Term, usual
from .polarity import polarized
from .progress import FitProgress
from .result import FitResult, ParameterResult, in_units, provenance
from .run import Learned, Run
from .starts import analysed
from .structures import ROUNDS, Structure, combinations, open_choices, survivors

if TYPE_CHECKING:
    from ..session.session import Session
    from ..stage.stream import LiveStream
    from .mixdown import MixResult

SHORTEST_WINDOW_S = 0.5


@overload
def fit(rack: Session, dry: Source | None, *, sample_rate: float | None = None, **settings: Any) -> MixResult: ...


@overload
def fit(
    rack: Rack,
    dry: Source | Sequence[Source],
    wet: Source | Sequence[Source],
    sample_rate: float | None = None,
    **settings: Any,
) -> FitResult: ...


def fit(
    rack: Rack | Session,
    dry: Source | Sequence[Source] | None,
    wet: Source | Sequence[Source] | None = None,
    sample_rate: float | None = None,
    **settings: Any,
) -> FitResult | MixResult:
    """Find the values with which `rack` turns `dry` into `wet`, or with which a session's clips become a mix.

    Args:
        rack: structure and start values; it is not changed. A Rack, or a Session: then `dry` is the mix that is to be reached
            (or None, with `loss=` of targets), and `wet` is left out.
        dry, wet, sample_rate: as in `fit_rack`, or `mixdown.fit_mix`.
        settings: all others of those.

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
        return fit_mix(rack, dry, sample_rate, **settings)  # type: ignore[arg-type]
    if wet is None or dry is None:
        raise ValueError("give the dry and the wet recording: fit(rack, dry, wet)")
    return fit_rack(rack, dry, wet, sample_rate, **settings)


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
            only measures. A response learns when it is named: "convolution_reverb.impulse_response".
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
        progress: show a progress bar; without, when the terminal can.
        on_step: called after each step with its number and the loss.

    Returns:
        The fitted rack, distances on held-out audio, history, and how well each parameter is determined.

    Raises:
        FileNotFoundError, ValueError: recordings or addresses that do not fit; one sentence.

    What the recordings have beside the processing is said in `result.warnings`, and undone where that is possible: delay (also
    of a fraction of a frame), DC offset and swapped channels are removed from the recordings before training; for inverted
    polarity a Gain is set, or added at the end of the rack; clipping, noise and a different clock are only named.

    Ctrl-C ends it with the best values so far. A step whose loss or gradient is not finite is not taken, and counted; after
    five of them it goes back to the best values with smaller steps. Where the spectrum, phase or envelope drift away while the
    loss falls, `result.warnings` says so (see `drift`).
    """
    for name, number, least in (
        ("steps", steps, 0),
        ("polish_steps", polish_steps, 0),
        ("batch", batch, 1),
        ("patience", patience, 1),
        ("starts", starts, 0),
    ):
        if not isinstance(number, int) or number < least:
            raise ValueError(f"{name} = {number!r} is no whole number from {least} on")
    if not window_s >= SHORTEST_WINDOW_S:
        raise ValueError(f"window_s = {window_s:g} is below {SHORTEST_WINDOW_S:g} s, which holds too little sound to compare")
    if checkpoint is not None:
        check_writable(Path(checkpoint))
    if rack.sidechains:
        raise ValueError(
            f"the rack listens to sidechain {rack.sidechains[0]!r}, which fit does not know; remove the key to fit it"
        )
    began = time.monotonic()
    pairs, rate = load_pairs(dry, wet, sample_rate, align, explained_by(rack) if compares else None)
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
    given, tried = rack, list[Structure]()
    bar = FitProgress(steps, progress)
    keep_memory()
    torch.set_flush_denormal(True)  # decaying tails would cost many times the rest
    with bar:
        try:
            racks = combinations(rack, opened)
            if starts:
                which = _chosen(RackTwin(rack, rate), learn, freeze).values
                racks = [start for r in racks for start in analysed(r, pairs, rate, which, starts)]
            if len(racks) > 1:
                racks, tried = _best_structures(racks, opened, pairs, rate, settings, lowered, (learn, freeze), bar)
            rack = racks[0]
        except BaseException:
            torch.set_flush_denormal(False)
            raise
        twin = RackTwin(rack, rate)
        chosen = _chosen(twin, learn, freeze)
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
            run.train(bar, Path(checkpoint) if checkpoint is not None else None, on_step)
            run.finish(bar)
        except KeyboardInterrupt:
            run.stopped = "interrupted"
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
    fitted_rack.provenance = provenance(result)
    if run.history:
        rows = [[h["step"], h["loss"], h["held_out"]] for h in run.history]
        fitted_rack.arrays = {"history_step_loss_held_out": np.array(rows, np.float32)}
    return result


def _best_structures(
    racks: list[Rack],
    opened: dict[str, Sequence[Value]],
    pairs: list[Pair],
    rate: float,
    settings: dict[str, Any],
    loss: Loss,
    which: tuple[Iterable[str] | None, Iterable[str]],
    bar: FitProgress,
) -> tuple[list[Rack], list[Structure]]:
    """The racks that are left after the rounds, and all that were tried, best first."""
    dropped: list[Structure] = []
    for steps, polish_steps in ROUNDS:
        found = []
        for number, candidate in enumerate(racks):
            bar.trying(number + 1, len(racks))
            short = settings | {"steps": steps, "polish_steps": polish_steps, "window_s": min(settings["window_s"], 4.0)}
            twin = RackTwin(candidate, rate)
            run = Run(twin, pairs, rate, _chosen(twin, *which), short, loss)
            run.train(FitProgress(steps, False), None, None)
            run.finish(FitProgress(steps, False), errors=False)
            run.restore_best()
            after = twin.to_rack()
            options = {address: after.get(address) for address in opened}
            found.append((Structure(options, run.measure(after), run.best[0], steps), after))
        kept = survivors(found)
        dropped += [s for s, _ in found if s not in [k for k, _ in kept]]
        racks = [r for _, r in kept]
    return racks, [s for s, _ in kept] + sorted(dropped, key=lambda s: s.score)


def _chosen(twin: RackTwin, learn: Iterable[str] | None, freeze: Iterable[str]) -> Learned:
    values, resources = twin.learnable(), twin.resource_addresses()
    there = [*values, *resources]
    usual = {a for a in there if a in values or twin.resource_at(a).requires_grad}

    def matching(patterns: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            hits = [a for a in there if fnmatch(a, pattern) and (a in usual or a == pattern)]
            if not hits:
                raise ValueError(unknown(pattern, there, "the rack", "learnable parameter"))
            found.update(hits)
        return found

    if learn is not None and not list(learn):
        return Learned([], [])  # only measured
    wanted = usual if learn is None else matching(learn)
    wanted = wanted - matching(freeze)
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
