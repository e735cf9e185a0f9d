"""`fit_mix`: the values with which a session's clips become a mix, or reach targets."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..audio import Audio, as_planar
from ..checks import count_nan, nan_in
from ..files.audio_file import read_audio
from ..files.hashing import hash_audio
from ..measure.distances import Distances, distances
from ..rack.signatures import spelled_out
from ..session.render import sources
from ..session.session import Session
from ..session.twin import SessionTwin
from ..version import __version__
from .addresses import learned_in_mix
from .data import Explained, Pair, Source, aligned
from .initial_mix import initial_mix
from .losses import Loss, Term
from .polarity import CHANNELS, OPTIONS, SIGNS, polarities, sides_of
from .process import training
from .result import ParameterResult
from .run import INTERRUPTED, Assessment, Run
from .settings import MixSettings, checked_alignment, checked_checkpoint, lowered
from .stems import Stacked
from .targets import Heard, Target
from .trainable_mix import TrainableMix

NEEDLESS = 1.02  # an effect is left out where without it the error grows by less than this


@dataclass
class MixResult:
    """Result of a fit through a mix.

    Attributes:
        session: with the fitted values, and without what was pruned.
        start_session: as it was given.
        nothing, start, fitted: distances on held-out audio: of the stems added up, of the session before, and after.
        parameters: each trained value, where it began and ended, and whether the mix determines it.
        pruned: effects and sends that were left out, and by how much the error grew, in dB.
        history: one row for each check.
    """

    session: Session
    start_session: Session
    sample_rate: float
    nothing: Distances
    start: Distances
    fitted: Distances
    parameters: list[ParameterResult]
    settings: dict[str, Any]
    stopped: str
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)
    pruned: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    gaps: dict[str, tuple[float, float, str]] = field(default_factory=dict)  # of targets: before, after, unit

    def __str__(self) -> str:
        count = len(self.parameters)
        lines = [f"fit of {count} values through the mix in {self.seconds:.0f} s ({self.stopped}), on held-out audio:"]
        if self.gaps:
            for name, (before, after, unit) in self.gaps.items():
                lines.append(f"  {name.removeprefix('reach '):<14}{before:8.2f} -> {after:.2f} {unit} away")
        else:
            lines += [
                f"  stems added up {self.nothing}", f"  at the start   {self.start}", f"  fitted         {self.fitted}"
            ]  # fmt: skip
        if self.pruned:
            lines.append(f"  does not matter, so it was left out: {', '.join(self.pruned)}")
        vague = [f"{p.address} ({p.text})" for p in self.parameters if p.determined is False]
        if vague:
            more = f" and {len(vague) - 12} more" if len(vague) > 12 else ""
            lines.append(f"  the mix does not determine: {', '.join(vague[:12])}{more}")
        outside = [f"{p.address} ({p.text})" for p in self.parameters if not p.inside_expected and p.determined is not False]
        if outside:
            lines.append(f"  outside the expected range: {', '.join(outside[:12])}")
        lines += [f"  warning: {note}" for note in self.warnings]
        return "\n".join(lines)

    __repr__ = __str__


@spelled_out()
def fit_mix(
    session: Session,
    mix: Source | None,
    sample_rate: float | None = None,
    *,
    steps: int = 300,
    learn: Iterable[str] | None = None,
    freeze: Iterable[str] = (),
    learning_rate: float = 0.012,
    loss: Loss | Term | None = None,
    stft_weight: float = 1.0,
    waveform_weight: float = 1.0,
    polish_steps: int = 12,
    window_s: float = 3.0,
    batch: int = 2,
    levels: bool = True,
    prune: bool = False,
    validation: bool = True,
    patience: int = 15,
    align: bool | int = True,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    tensorboard: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> MixResult:
    """Find the values with which a session's clips become a mix, or reach targets.

    Args:
        session: structure and start values; it is not changed. Its recordings are the stems.
        mix: the reference: a file, or an array (width, frames); None where `loss` consists of `targets`.
        sample_rate: Hz, of an array; it must be the session's.
        steps: of Adam, in the constrained domain, on one window each.
        learn: addresses to train, with * for any ("*.gain_db", "vocals.*"); without: everything that is learnable, but for
            what another gain stage covers (width, the faders of groups, returns and the master, makeup and output levels, the
            pan of sends), fine settings such as a knee or a Q, which a mix of many stems hardly determines, and the values of
            costly effects such as reverbs (see `role` and `costly` in the cards).
        freeze: addresses that keep their start values.
        learning_rate: size of the first steps.
        loss: what is lowered (see `losses` and `targets`); without, the next two.
        stft_weight, waveform_weight: of `losses.STFT` and `losses.Waveform`.
        polish_steps: at most so many second-order steps afterwards.
        window_s, batch: seconds and number of the excerpts that a step looks at, so memory does not grow with the mix.
        levels: begin with the levels and pans that linear least squares finds (see `initial_mix`).
        prune: leave out effects and sends without which the mix is as near, by 2 %.
        validation, patience, align, seed, checkpoint, tensorboard, progress, on_step: as in `fit`.

    Returns:
        The fitted session, distances on held-out audio, and how well each value is determined.

    Raises:
        FileNotFoundError, ValueError: recordings or addresses that do not fit; one sentence.
    """
    compares = mix is not None
    settings = MixSettings(
        steps=steps,
        learning_rate=learning_rate,
        stft_weight=stft_weight,
        waveform_weight=waveform_weight,
        polish_steps=polish_steps,
        window_s=window_s,
        batch=batch,
        validation=validation and compares,
        patience=patience,
        seed=seed,
        compares=compares,
        loss=lowered(loss, stft_weight, waveform_weight, compares),
        levels=levels,
    )
    align = checked_alignment(align)
    checkpoint_file = checked_checkpoint(checkpoint)
    if not compares and loss is None:
        raise ValueError("there is neither a mix nor a loss; give the mix, or a loss of targets such as targets.Loudness(-16)")
    began = time.monotonic()
    pair = _pair(session, mix, sample_rate, align)
    session, notes = _polarized(session, pair)
    twin = SessionTwin(session)
    learned = learned_in_mix(twin, learn, freeze)
    settings = replace(settings, learn=learned)
    with training(settings.steps, progress, tensorboard) as (bar, board):
        if levels and compares:
            twin = SessionTwin(initial_mix(session, pair.dry, pair.wet, learned))
        run = Run(TrainableMix(twin, pair, learned), settings, board)
        start = run.assess(Stacked(session))
        gaps_before = _gaps(run)
        stopped = run.complete(bar, checkpoint_file, on_step)
    fitted_session = twin.to_session()
    fitted = run.assess(Stacked(fitted_session))
    if not fitted.loss <= start.loss:
        fitted_session, fitted = session.copy(), start
        stopped = f"{stopped}; nothing better than the start was found"
    gaps = {name: (gaps_before[name][0], gap, unit) for name, (gap, unit) in _gaps(run).items()}
    nothing = distances(run.held_out(None), session.sample_rate) if compares else start.distances
    pruned: dict[str, float] = {}
    if prune and compares and not stopped.startswith(INTERRUPTED):
        try:
            fitted_session, pruned, fitted = _pruned(run, fitted_session, fitted)
        except KeyboardInterrupt:
            stopped = f"{INTERRUPTED} before anything was left out"
    result = MixResult(
        session=fitted_session,
        start_session=session.copy(),
        sample_rate=session.sample_rate,
        nothing=nothing,
        start=start.distances,
        fitted=fitted.distances,
        parameters=run.parameters(session, fitted_session),
        settings=settings.record(),
        stopped=stopped,
        seconds=time.monotonic() - began,
        history=run.history,
        pruned=pruned,
        warnings=[*pair.notes, *notes, *run.warnings],
        gaps=gaps,
    )
    fitted_session.provenance = provenance(result, pair)
    return result


def _pair(session: Session, mix: Source | None, sample_rate: float | None, align: bool | int) -> Pair:
    """The stems in one array, beside the mix, of one length."""
    if mix is None:
        stems = _stack(session, None)
        return Pair("the session", stems, stems[: session.width], 0, hash_audio(stems), "")
    if isinstance(mix, str | os.PathLike):
        wet, rate = read_audio(mix)
        name = str(mix)
    else:
        wet, name = as_planar(mix, "the mix")[0], "the mix"
        rate = int(sample_rate or session.sample_rate)
    if rate != session.sample_rate or (sample_rate is not None and sample_rate != session.sample_rate):
        raise ValueError(f"{name} has {sample_rate or rate:g} Hz, the session {session.sample_rate:g} Hz; resample the mix")
    if wet.shape[0] != session.width:
        raise ValueError(f"{name} has {wet.shape[0]} channels, the session {session.width}; give one of {session.width}")
    if not np.isfinite(wet).all():
        raise ValueError(f"{name} has {nan_in(count_nan(wet))}; repair it")
    if not np.any(np.abs(wet) > 1e-5):
        raise ValueError(f"{name} is silent; nothing can be learned from it")
    stems = _stack(session, wet.shape[1])
    if not np.any(stems):
        raise ValueError("the session's clips are silent; nothing can be learned from them")
    total = stems.reshape(-1, session.width, stems.shape[1]).sum(0)
    pair = Pair(name, total, wet, 0, hash_audio(stems), hash_audio(wet))
    begun_together = aligned(pair, rate, align, Explained(distorts=True, gains=True, tails=True), "the sum of the stems", name)
    before = max(0, -begun_together.latency_frames)
    wet = np.pad(begun_together.wet, ((0, 0), (before, stems.shape[1] - before - begun_together.frames)))
    return replace(begun_together, dry=stems, wet=wet)


def _polarized(session: Session, pair: Pair) -> tuple[Session, list[str]]:
    """The session with the polarity of the mix, and sentences to report."""
    sides = sides_of([pair])
    if sides is None or (-1 not in sides and session.master.polarity == "normal"):
        return session, []
    stems = pair.dry.reshape(-1, session.width, pair.frames)
    own = sides_of([replace(pair, polarity=polarities(stems.sum(0), Stacked(session)(pair.dry, session.sample_rate)))]) or (
        1,
        1,
    )
    turn = (sides[0] * own[0], sides[1] * own[1])
    if turn == (1, 1):
        return session, []
    inverted = session.copy()
    before = SIGNS[session.master.polarity]
    inverted.master.polarity = OPTIONS[(before[0] * turn[0], before[1] * turn[1])]
    note = f"{pair.name} has the other polarity than the session{CHANNELS[OPTIONS[turn]]}"
    return inverted, [f"{note}; the master's polarity was set to {inverted.master.polarity}"]


def _stack(session: Session, frames: int | None) -> Audio:
    if not any(channel.clips for channel in session):
        raise ValueError(f"session {session.name!r} has no clips, so there are no stems to mix")
    return np.ascontiguousarray(np.concatenate(list(sources(session, frames).values())))


def _gaps(run: Run[Stacked]) -> dict[str, tuple[float, str]]:
    """How far away each target is, and its unit; empty where a mix is to be reached."""
    if run.settings.compares:
        return {}
    player = run.trainable.player()
    y = torch.from_numpy(player(run.pairs[0].dry, run.rate))[None]
    terms = [term for _, term in run.settings.loss.terms]
    with torch.no_grad():
        gaps = {t.name: (float(t.gap(y, run.rate)), t.unit) for t in terms if isinstance(t, Target)}
        of_channels = [t for t in terms if isinstance(t, Heard)]
        if of_channels:
            twin = run.trainable.twin_of(player)
            gaps |= {t.name: (float(t.gap(twin)), t.unit) for t in of_channels}
        return gaps


def _pruned(run: Run[Stacked], session: Session, fitted: Assessment) -> tuple[Session, dict[str, float], Assessment]:
    """Take out effects and sends that do not matter, one by one, those that matter least first."""

    def error(candidate: Session) -> float:
        return float(10.0 ** (run.measure(Stacked(candidate)).error_db / 20.0))

    base, alone = error(session), {}
    for channel in session:
        names = [f"{channel.name}.{a}" for a, e in channel.rack.addresses().items() if not e.bypass]
        for name in [*names, *(f"{channel.name}.sends.{s.to}" for s in channel.sends)]:
            alone[name] = error(_without(session, name))
    pruned: dict[str, float] = {}
    for name in sorted(alone, key=lambda n: alone[n]):
        if alone[name] > NEEDLESS * base:
            break
        without = _without(session, name)
        now = error(without)
        if now <= NEEDLESS * base:
            session, pruned[name] = without, 20.0 * float(np.log10(now / base))
    return session, pruned, run.assess(Stacked(session)) if pruned else fitted


def _without(session: Session, name: str) -> Session:
    """A copy without one effect or send, by its address."""
    copy = session.copy()
    channel, below = copy.split(name)
    if below.startswith("sends."):
        channel.sends = [s for s in channel.sends if s.to != below.removeprefix("sends.")]
    else:
        effect = channel.rack[below]
        if any(item is effect for item in channel.rack.root.items) and effect.card.latency == "none":
            channel.rack.remove(below)
        else:
            effect.bypass = True
    prefix = f"{below}." if below.startswith("sends.") or below not in channel.rack.addresses() else None
    if prefix is not None:
        channel.automation = {a: p for a, p in channel.automation.items() if not a.startswith(prefix)}
    return copy


def provenance(r: MixResult, pair: Pair) -> dict[str, Any]:
    """Where the values came from, as it is written into the session."""
    return {
        "made_by": f"twinrack {__version__} fit through a mix, torch {torch.__version__}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "mix": {
            "name": Path(pair.name).name,
            "sha256": pair.wet_hash,
            "latency_frames": pair.latency_frames,
            "delay_frames": round(pair.delay_frames, 3),
            "polarity": list(pair.polarity),
        },
        "warnings": r.warnings,
        "stems_sha256": pair.dry_hash,
        "settings": r.settings,
        "stopped": r.stopped,
        "held_out": {"nothing": r.nothing.to_json(), "start": r.start.to_json(), "fitted": r.fitted.to_json()},
        "standard_errors": {p.address: p.standard_error for p in r.parameters},
        "not_determined": [p.address for p in r.parameters if p.determined is False],
        "pruned": r.pruned,
        "reviews": [],
    }
