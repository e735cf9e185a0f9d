"""One training: first-order steps with checks on held-out audio, then second-order steps; the best values are kept."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..audio import Audio
from ..measure import drift
from ..measure.distances import Distances, distances
from ..measure.gain_over_time import trajectory_error_db
from ..rack.card import Value
from ..rack.rack import Rack
from ..system import interrupt
from ..system.disk import atomic
from ..system.interrupt import check
from ..twins.constrain import value_at
from .data import Split
from .losses import STFT, Loss, SoundTerm, Term, Waveform
from .polish import Polished, polish
from .progress import FitProgress
from .result import ParameterResult, in_units
from .scan import SENSITIVE, scan
from .settings import Settings
from .stream_updater import StreamUpdater
from .trainable import P, Trainable
from .windows import Excerpts, Windows

EDGE = 0.04  # training starts at least so far inside a range: at its very end the slope is 0
POLISH_BELOW = 0.7  # relative residual under which the waveforms agree enough for the second-order steps
CHECK_EVERY = 10
SCAN_S = 3.0
CLEARLY_NEARER = 0.93
STEEPEST = 1.0  # norm of the gradient of all weights of networks, above which it is shortened
BACK_AFTER = 5  # skipped steps one after the other, after which the best values return and the steps become smaller
INTERRUPTED = "interrupted"


class InterruptedFitError(KeyboardInterrupt):
    """The command that runs a fit was asked to end; `rack` has the best values so far, or is None before any were found."""

    def __init__(self, rack: Rack | None) -> None:
        super().__init__()
        self.rack = rack


@dataclass(frozen=True)
class Assessment:
    """Of a rack or mix on held-out audio: distances, the loss, and the error of its gain over time in dB; NaN where there is no
    such number."""

    distances: Distances
    loss: float
    trajectory_db: float


Schedule = torch.optim.lr_scheduler.LambdaLR


class Board(Protocol):
    """TensorBoard's writer."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...


class HasValues(Protocol):
    """A rack or session, by addresses."""

    def get(self, address: str, /) -> Value: ...


class Run(Generic[P]):
    """The state of one training: the present values, the best so far, the record.

    Args:
        trainable: the rack or mix.
        settings: checked.
        board: gets every check.
        updater: a live stream that plays the training.
    """

    def __init__(
        self,
        trainable: Trainable[P],
        settings: Settings,
        board: Board | None = None,
        updater: StreamUpdater | None = None,
    ) -> None:
        self.trainable, self.settings = trainable, settings
        self._loss, self._board, self._updater = settings.loss, board, updater
        self.pairs, self.rate = trainable.pairs, trainable.rate
        self._raw = list(trainable.values.values())
        for u in trainable.twin.parameters():
            u.requires_grad_(False)
        for u in self.trained():
            u.requires_grad_(True)
        self.excerpts = Excerpts(
            self.pairs,
            self.rate,
            window_s=settings.window_s,
            batch=settings.batch,
            validation=settings.validation,
            seed=settings.seed,
        )
        self.history: list[dict[str, float]] = []
        self.warnings: list[str] = []
        self.skipped = 0  # steps
        self.polished: Polished | None = None
        self.best = (float("inf"), self._now())  # score and values
        self._drift = drift.Drift()
        self._parts_of_loss = dict[str, float]()
        self._delays_unclear = True  # whether the search has not found where delays begin
        self._first_step = self._skipped_in_a_row = self._checks_without_improvement = 0

    @property
    def splits(self) -> list[Split]:
        """The frames of each pair that are trained on, and those that are held out."""
        return self.excerpts.splits

    def trained(self) -> list[nn.Parameter]:
        """All trained parameters: values, resources, slopes of knobs."""
        t = self.trainable
        return [*self._raw, *t.arrays.values(), *t.slopes.values()]

    def slopes(self) -> dict[tuple[str, str], float]:
        """How far each trained value moves with each knob, in the constrained domain."""
        return {at: slope.item() for at, slope in self.trainable.slopes.items()}

    def drop_slopes(self) -> None:
        """Let knobs move nothing, as at the start."""
        self.trainable.slopes.clear()

    def present(self) -> dict[str, float]:
        """Trained values in user units."""
        t = self.trainable
        return {a: float(value_at(t.card(a), u.detach())) for a, u in t.values.items()}

    def _now(self) -> list[Tensor]:
        return [u.detach().clone() for u in self.trained()]

    @torch.no_grad()
    def restore_best(self) -> None:
        """Go back to the best values so far."""
        for u, value in zip(self.trained(), self.best[1], strict=True):
            u.copy_(value)

    def complete(
        self,
        bar: FitProgress,
        checkpoint: Path | None = None,
        on_step: Callable[[int, float], None] | None = None,
    ) -> str:
        """Train, polish, and go back to the best values.

        Returns:
            Why the training stopped; INTERRUPTED after Ctrl-C.
        """
        try:
            with interrupt.deferred():
                stopped = self.train(bar, checkpoint, on_step)
                self.finish(bar)
        except KeyboardInterrupt:
            stopped = INTERRUPTED
        self.restore_best()
        return stopped

    # --- held-out audio ----------------------------------------------------------------------------------------------

    def measure(self, player: P | None) -> Distances:
        """Distances on held-out audio; None is the sound with nothing done to it."""
        return distances(self.held_out(player), self.rate)

    def assess(self, player: P | None) -> Assessment:
        """Distances, loss and error of the gain on held-out audio.

        Args:
            player: with the twin's structure; None is the sound with nothing done to it.
        """
        pieces = self.held_out(player)
        d = distances(pieces, self.rate)
        loss = trajectory = float("nan")
        if player is not None:
            values = 0.0 if self.settings.compares else self._score_of_values(player)
            loss = self._score(d, pieces) + values
        if self.trainable.moves_gain:
            dry = [p.dry[:, a:b] for p, parts in zip(self.pairs, self.splits, strict=True) for a, b in parts.held_out]
            trajectory = trajectory_error_db([(x, y, t) for x, (y, t) in zip(dry, pieces, strict=True)], self.rate)
        return Assessment(d, loss, trajectory)

    def held_out(self, player: P | None) -> list[tuple[Audio, Audio]]:
        """Result and target of each held-out stretch, rendered by the engine from the beginning of each pair."""
        pieces: list[tuple[Audio, Audio]] = []
        for i, (pair, parts) in enumerate(zip(self.pairs, self.splits, strict=True)):
            y = self.trainable.play(player, i)
            pieces += [(y[:, a:b], pair.wet[:, a:b]) for a, b in parts.held_out]
        return pieces

    def _check(self, step: int, loss: float) -> bool:
        """Measure on held-out audio; True when it is the best so far."""
        check()
        pieces = self.held_out(self.trainable.player())
        d = distances(pieces, self.rate)
        held_out = self._score(d, pieces) + (0.0 if self.settings.compares else self._score_of_values())
        figures = drift.figures(pieces, self.rate) if self.settings.compares else {}
        self.warnings += self._drift.check(step, figures)
        row = {"step": float(step), "loss": loss, "held_out": held_out, **d.to_json(), **self.present(), **self._parts_of_loss}
        row |= {f"drift.{name}": value for name, value in figures.items()}
        self.history.append(row)
        if self._board is not None:
            for name, number in row.items():
                if name != "step":
                    self._board.add_scalar(name.replace(".", "/", 1), number, step)
        if not held_out < self.best[0]:
            return False
        self.best = (held_out, self._now())
        return True

    @torch.no_grad()
    def _score_of_values(self, player: P | None = None) -> float:
        """Terms on the values of a player, or on the present ones. They count where they say what is to be reached; beside a
        recording they only guide."""
        twin = self.trainable.twin if player is None else self.trainable.twin_of(player)
        return float(sum(self._loss.on_values(twin, list(self.trainable.values)).values()))

    def _score(self, d: Distances, pieces: list[tuple[Audio, Audio]]) -> float:
        """The loss on held-out audio, without the terms on the values."""
        known: dict[type[Term], float] = {STFT: d.stft, Waveform: 10 ** (d.error_db / 20)}
        score = float(sum(w * known[type(term)] for w, term in self._loss.terms if type(term) in known))
        rest = Loss([(w, term) for w, term in self._loss.terms if isinstance(term, SoundTerm) and type(term) not in known])
        if rest.terms:
            with torch.no_grad():
                groups = [(torch.from_numpy(y)[None], torch.from_numpy(t)[None]) for y, t in pieces]
                score += float(sum(rest.on_sound(groups, self.rate).values()))
        return score

    # --- first order -------------------------------------------------------------------------------------------------

    def keep_start(self) -> None:
        """Measure the present values, so that only better ones replace them."""
        self._check(0, float("nan"))

    def train(
        self, bar: FitProgress, checkpoint: Path | None = None, on_step: Callable[[int, float], None] | None = None
    ) -> str:
        """Steps of Adam; why they ended."""
        done = "all steps done"
        if not self.trained():
            return done
        steps = self.settings.steps
        with torch.no_grad():
            for u in self._raw:
                u.clamp_(EDGE, 1.0 - EDGE)
        optimizer = self._optimizer()
        schedule = Schedule(optimizer, lambda n: 0.51 + 0.49 * math.cos(math.pi * n / max(steps, 1)))
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint, optimizer, schedule)
        if self._first_step == 0 and self.settings.compares:
            self._drift.check(0, drift.figures(self.held_out(self.trainable.player()), self.rate))
        for step in range(self._first_step, steps):
            if step == 0 or (step == steps // 3 and self._delays_unclear):  # again when the rest has come nearer
                self._search_delays(bar)
            loss = self._step(optimizer)
            with warnings.catch_warnings():  # a skipped first step is meant
                warnings.simplefilter("ignore", UserWarning)
                schedule.step()
            if on_step is not None:
                on_step(step + 1, loss)
            if self._updater is not None:
                self._updater.after_step(step + 1)
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
                better = self._check(step + 1, loss)
                self._checks_without_improvement = 0 if better else self._checks_without_improvement + 1
                if checkpoint is not None:
                    self._save(checkpoint, step + 1, optimizer, schedule)
            bar.step(step + 1, loss, self.present(), self.history[-1].get("error_db") if self.history else None)
            if self._skipped_in_a_row >= BACK_AFTER:
                self._go_back(optimizer, schedule)
            if self._checks_without_improvement >= self.settings.patience:
                return f"no improvement on held-out audio, stopped at step {step + 1}"
        return done

    def _optimizer(self) -> torch.optim.Optimizer:
        t, rate, of_networks = self.trainable, self.settings.learning_rate, self.settings.network_learning_rate
        groups = [{"params": [u], "lr": rate * t.card(a).learning_step} for a, u in t.values.items()]
        groups += [{"params": [u], "lr": rate} for u in t.slopes.values()]
        groups += [{"params": [u], "lr": of_networks * t.step_size(a)} for a, u in t.arrays.items()]
        return torch.optim.Adam(groups, betas=(0.9, 0.98), eps=1e-12)

    def _step(self, optimizer: torch.optim.Optimizer) -> float:
        check()
        optimizer.zero_grad()
        windows = self._windows()
        loss = self._loss_of(self.trainable.render(windows), windows)
        value = float(loss.detach())
        if np.isfinite(value):
            torch.autograd.backward(loss)
            grads = [u.grad for u in self.trained() if u.grad is not None]
            if all(bool(torch.isfinite(g).all()) for g in grads):
                if self.trainable.arrays:
                    nn.utils.clip_grad_norm_(list(self.trainable.arrays.values()), STEEPEST)
                optimizer.step()
                if self.trainable.slopes:  # knobs move about a position, which must be one
                    with torch.no_grad():
                        for u in self._raw:
                            u.clamp_(0.0, 1.0)
                self._skipped_in_a_row = 0
                return value
        self.skipped += 1
        self._skipped_in_a_row += 1
        return value

    def _windows(self) -> Windows:
        return self.trainable.windows(self.excerpts) if self.settings.compares else self.excerpts.whole_pair()

    def _loss_of(self, y: Tensor, windows: Windows) -> Tensor:
        groups: list[tuple[Tensor, Tensor]] = []
        for i, stretches in enumerate(windows.parts):
            by_length: dict[int, list[tuple[int, int]]] = {}
            for a, b in stretches:
                by_length.setdefault(b - a, []).append((a, b))
            for group in by_length.values():
                results = torch.stack([y[i, :, a:b] for a, b in group])
                targets = torch.stack([windows.wet[i, :, a:b] for a, b in group])
                groups.append((results, targets))
        if not groups:
            return y.sum() * float("nan")
        parts = self._loss.on_sound(groups, self.rate)
        parts |= self._loss.on_values(self.trainable.twin, list(self.trainable.values))
        self._parts_of_loss = {f"loss.{name}": float(part.detach()) for name, part in parts.items()}
        return torch.stack(list(parts.values())).sum()

    def _go_back(self, optimizer: torch.optim.Optimizer, schedule: Schedule) -> None:
        """To the best values, with smaller steps, as every loss is NaN or infinity."""
        self.restore_best()
        optimizer.state.clear()
        schedule.base_lrs = [rate / 10.0 for rate in schedule.base_lrs]
        for group in optimizer.param_groups:
            group["lr"] /= 10.0
        self._skipped_in_a_row = 0

    def _search_delays(self, bar: FitProgress) -> None:
        """Move delays to where they begin (see `scan`)."""
        t = self.trainable
        if not t.searches_delays:
            return
        sensitive = [(u, t.card(a)) for a, u in t.values.items() if t.card(a).learning_step < SENSITIVE]
        if sensitive and self._loss.weight_of(Waveform) > 0:
            bar.searching([p.id for _, p in sensitive])
            self._delays_unclear = scan(sensitive, *self.sound(SCAN_S)) > CLEARLY_NEARER

    # --- second order ------------------------------------------------------------------------------------------------

    def sound(self, longest_s: float) -> tuple[Callable[[], Tensor], Tensor]:
        """A function that renders the trained parts of one set of windows, cut to `longest_s`, and its target, flat."""
        windows = self._windows()
        longest = int(longest_s * self.rate)
        stretches = [(i, a, min(b, longest)) for i, group in enumerate(windows.parts) for a, b in group if a < longest]
        if not stretches:  # all that is trained on comes later
            longest = windows.dry.shape[-1]
            stretches = [(i, a, b) for i, group in enumerate(windows.parts) for a, b in group]
        shorter = Windows(windows.dry[..., :longest], windows.wet, windows.parts, windows.pairs, windows.starts)
        target = torch.cat([windows.wet[i, :, a:b].reshape(-1) for i, a, b in stretches])

        def sound() -> Tensor:
            check()
            with torch.no_grad():
                y = self.trainable.render(shorter)
            return torch.cat([y[i, :, a:b].reshape(-1) for i, a, b in stretches])

        return sound, target

    def finish(self, bar: FitProgress, errors: bool = True) -> None:
        """Second-order steps from the best values, where the waveforms agree enough, and how well each value is determined.

        None where a network, a response or a knob is trained: its part in the sound hides how well values are determined.
        """
        self.restore_best()
        t, settings = self.trainable, self.settings
        longest_s = t.polish_window_s(settings.window_s, settings.compares)
        if t.arrays or t.slopes or not self._raw or longest_s is None:
            return
        engine = t.engine_sounds(self.splits) if settings.compares else None
        if engine is not None:
            sounds, target = engine

            def sound() -> Tensor:
                check()
                return sounds(torch.stack([u.detach() for u in self._raw])[None])[0]

        else:
            sounds = None
            sound, target = self.sound(longest_s)
        relative = float(torch.linalg.vector_norm(target - sound()) / torch.linalg.vector_norm(target))
        limit = settings.polish_steps if relative < POLISH_BELOW and self._loss.weight_of(Waveform) > 0 else 0
        count = t.polish_samples(target.numel()) if sounds is None else target.numel()
        if count < target.numel():
            chosen = torch.from_numpy(np.sort(self.excerpts.random.choice(target.numel(), count, replace=False)))
            sound, target = _picked(sound, chosen), target[chosen]

        def report(iteration: int, residual: float) -> None:
            bar.polishing(iteration, limit, residual, self.present())

        with t.remembering():
            self.polished = polish(self._raw, sound, target, limit, report, errors, sounds)
        if self.polished.iterations:
            step = (self.history[-1]["step"] if self.history else 0.0) + self.polished.iterations
            self._check(int(step), self.polished.after)

    def parameters(self, before: HasValues, after: HasValues) -> list[ParameterResult]:
        """Each trained value that `after` has, with its standard error where it is known."""
        errors = self.polished.standard_errors if self.polished is not None else []
        results = []
        for i, (address, u) in enumerate(self.trainable.values.items()):
            p = self.trainable.card(address)
            try:
                fitted = float(after.get(address))
            except ValueError:  # its effect was left out
                continue
            try:
                began = float(before.get(address))
            except ValueError:  # its effect was added
                began = float(p.default)
            result = ParameterResult(address, began, fitted, p.unit, p.min, p.max, p.expected, jnd=p.jnd_at(fitted))
            if i < len(errors):
                result.standard_error, result.determined = in_units(p, u.item(), errors[i])
            results.append(result)
        return results

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """The identity of a training: a checkpoint is continued only where it is equal."""
        return {
            "settings": self.settings.record(),
            "rack": self.trainable.identity,
            "conditions": list(self.trainable.conditions),
            "recordings": [[p.dry_hash, p.wet_hash, p.latency_frames] for p in self.pairs],
        }

    def _save(self, path: Path, step: int, optimizer: torch.optim.Optimizer, schedule: Schedule) -> None:
        state = {
            "of": self._identity(),
            "step": step,
            "values": self._now(),
            "drift": [self._drift.best, sorted(self._drift.suspected), self._drift.reported],
            "counts": [self.skipped, self._skipped_in_a_row, self._checks_without_improvement, self._delays_unclear],
            "warnings": self.warnings,
            "best": list(self.best),
            "history": self.history,
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random": self.excerpts.random.bit_generator.state,
        }
        with atomic(path) as beside:
            torch.save(state, beside)

    @torch.no_grad()
    def _resume(self, path: Path, optimizer: torch.optim.Optimizer, schedule: Schedule) -> None:
        try:
            state = torch.load(path, weights_only=True)
            identity = state["of"]
        except Exception as error:
            raise ValueError(f"{path} is not a checkpoint of a fit ({type(error).__name__}); delete it to start anew") from None
        if identity != self._identity():
            raise ValueError(f"{path} is a checkpoint of other recordings, parameters or settings; delete it to start anew")
        for u, value in zip(self.trained(), state["values"], strict=True):
            u.copy_(value)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        self.excerpts.random.bit_generator.state = state["random"]
        best, suspected, reported = state["drift"]
        self._drift = drift.Drift({name: tuple(seen) for name, seen in best.items()}, set(suspected), reported)
        self.skipped, self._skipped_in_a_row, self._checks_without_improvement, self._delays_unclear = state["counts"]
        self.warnings = state["warnings"]
        self._first_step, self.history = state["step"], state["history"]
        self.best = (state["best"][0], state["best"][1])


def _picked(sound: Callable[[], Tensor], indices: Tensor) -> Callable[[], Tensor]:
    return lambda: sound()[indices]
