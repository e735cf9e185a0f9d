"""One training: the state of the twin, the steps, the checks on held-out audio, the best values so far."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..audio import Audio
from ..measure import drift
from ..measure.distances import Distances, distances
from ..measure.gain_over_time import moves_gain, trajectory_error_db
from ..rack.card import Parameter
from ..rack.fingerprint import fingerprint
from ..rack.rack import Rack
from ..system.disk import atomic
from ..system.interrupt import check
from ..twins.constrain import value_at
from ..twins.rack_twin import RackTwin
from .conditions import Conditions
from .data import Pair, split
from .losses import STFT, Loss, SoundTerm, Term, Waveform
from .polish import Polished, polish
from .progress import FitProgress
from .scan import SENSITIVE, scan

if TYPE_CHECKING:
    from .follow import Follower

EDGE = 0.04  # training starts at least so far inside a range: at its very end the slope is 0
POLISH_BELOW = 0.7  # relative residual under which the waveforms agree enough for the second-order steps
CHECK_EVERY = 10
SCAN_S = 3.0
CLEARLY_NEARER = 0.93
STEEPEST = 1.0  # norm of the gradient of all weights of networks, above which it is shortened
BACK_AFTER = 5  # skipped steps one after the other, after which the best values return and the steps become smaller


@dataclass(frozen=True)
class Learned:
    """What is trained: addresses of values, and of resources (weights of networks, responses)."""

    values: list[str]
    resources: list[str]


@dataclass(frozen=True)
class Assessment:
    """Of a rack on held-out audio: distances, what is lowered, and how far its gain over time is off in dB; NaN where there is
    no such number."""

    distances: Distances
    loss: float
    trajectory_db: float


class Run:
    """The state of one training: the twin, the best values so far, the record."""

    def __init__(
        self,
        twin: Any,
        pairs: list[Pair],
        rate: float,
        learned: Learned,
        settings: dict[str, Any],
        loss: Loss,
        conditions: Conditions | None = None,
    ) -> None:
        self.loss, self.parts = loss, dict[str, float]()
        self.twin, self.pairs, self.rate, self.settings = twin, pairs, rate, settings
        self.addresses = learned.values
        self.raw: list[nn.Parameter] = [twin.raw_of(a) for a in learned.values]
        self.arrays: dict[str, nn.Parameter] = {a: twin.resource_at(a) for a in learned.resources}
        self.conditions = conditions or Conditions(Rack(), (), len(pairs))
        self.slopes = {
            (a, knob): nn.Parameter(torch.zeros((), dtype=torch.float64))
            for knob in self.conditions.knobs
            for a in self.addresses
        }
        for u in twin.parameters():
            u.requires_grad_(False)
        for u in self.trained():
            u.requires_grad_(True)
        self.drift = drift.Drift()
        self.began, self.moves_gain = self._identity_of_start()
        self.warnings: list[str] = []
        self.splits = [split(p.frames, rate, settings["validation"]) for p in pairs]
        self.random = np.random.default_rng(settings["seed"])
        self.history: list[dict[str, float]] = []
        self.skipped = 0
        self.unclear = True  # whether the search has not found where delays begin
        self.stopped = "all steps done"
        self.polished: Polished | None = None
        self.best = (float("inf"), self._now())
        self.first_step = self.skipped_now = self.without = self.turn = 0
        self._starts = torch.zeros(1, dtype=torch.int64)  # of the windows
        self.follower: Follower | None = None  # a live stream that hears the training
        self.board: Any = None  # TensorBoard's writer

    # --- what is trained ---------------------------------------------------------------------------------------------

    def _identity_of_start(self) -> tuple[str, bool]:
        """A hash of what it begins with, and whether that changes its gain over time."""
        begin = self.twin.to_rack()
        return fingerprint(begin), moves_gain(begin)

    def made(self) -> Any:
        """What plays the present values: something that is called with a sound and its rate."""
        return self.twin.to_rack()

    def _twin_of(self, rack: Any) -> Any:
        return RackTwin(rack, self.rate)

    def _untouched(self, pair: Pair) -> Audio:
        """What is compared where nothing is done."""
        return pair.dry

    def trained(self) -> list[nn.Parameter]:
        """Everything that is trained: values, resources, slopes of knobs."""
        return [*self.raw, *self.arrays.values(), *self.slopes.values()]

    def _now(self) -> list[Tensor]:
        return [u.detach().clone() for u in self.trained()]

    # --- what is compared --------------------------------------------------------------------------------------------

    def measure(self, rack: Any) -> Distances:
        """Distances on held-out audio; None is the dry sound."""
        return distances(self._held_out(rack), self.rate)

    def assess(self, rack: Any) -> Assessment:
        """All that is said of a rack with the twin's structure, or of the dry sound, from one rendering of held-out audio."""
        pieces = self._held_out(rack)
        d = distances(pieces, self.rate)
        loss = trajectory = float("nan")
        if rack is not None:
            values = 0.0 if self.loss_compares() else self._value_score(self._twin_of(rack))
            loss = self._score(d, pieces) + values
        if self.moves_gain:
            dry = [p.dry[:, a:b] for p, parts in zip(self.pairs, self.splits, strict=True) for a, b in parts.held_out]
            trajectory = trajectory_error_db([(x, y, t) for x, (y, t) in zip(dry, pieces, strict=True)], self.rate)
        return Assessment(d, loss, trajectory)

    def pieces(self, rack: Any) -> list[tuple[Audio, Audio]]:
        """Result and target of each held-out stretch."""
        return self._held_out(rack)

    def _held_out(self, rack: Any) -> list[tuple[Audio, Audio]]:
        """Result and target of each held-out stretch, rendered by the engine from the beginning of each pair."""
        pieces: list[tuple[Audio, Audio]] = []
        slopes = self.slopes_found()
        for i, (pair, parts) in enumerate(zip(self.pairs, self.splits, strict=True)):
            there = None if rack is None else self.conditions.rack_of(rack, i, slopes)
            y = self._untouched(pair) if there is None else there(pair.dry, self.rate)
            pieces += [(y[:, a:b], pair.wet[:, a:b]) for a, b in parts.held_out]
        return pieces

    def slopes_found(self) -> dict[tuple[str, str], float]:
        """How far each trained value moves with each knob, in the constrained domain."""
        return {at: slope.item() for at, slope in self.slopes.items()}

    def _render(self, dry: Tensor, which: Sequence[int]) -> Tensor:
        """The twin's sound of windows of these pairs, each under its condition."""
        if not self.conditions:
            y: Tensor = self.twin(dry, first_frame=self._starts)
            return y
        raw = dict(zip(self.addresses, self.raw, strict=True))
        return self.twin(dry, values=self.conditions.values_of(self.twin, which, raw, self.slopes), first_frame=self._starts)  # type: ignore[no-any-return]

    def _windows(self) -> tuple[Tensor, Tensor, list[list[tuple[int, int]]], list[int]]:
        """Dry and wet windows of one step, the frames of each that are trained on, and which pairs they are of."""
        if not self.loss_compares():  # what is to be reached holds for a whole sound: one after the other
            i = self.turn % len(self.pairs)
            self.turn += 1
            whole = torch.from_numpy(self.pairs[i].dry.copy())[None]
            self._starts = torch.zeros(1, dtype=torch.int64)
            return whole, whole, [[(0, self.pairs[i].frames)]], [i]
        longest = int(self.settings["window_s"] * self.rate)
        shortest = min(min(p.frames for p in self.pairs), longest)
        chosen = list(range(len(self.pairs)))
        if len(chosen) > self.settings["batch"]:
            chosen = sorted(self.random.choice(len(self.pairs), self.settings["batch"], replace=False).tolist())
        dry, wet, parts, starts = [], [], [], []
        for i in chosen:
            pair = self.pairs[i]
            start, inside = self._place(i, shortest)
            starts.append(start)
            dry.append(pair.dry[:, start : start + shortest])
            wet.append(pair.wet[:, start : start + shortest])
            parts.append(inside)
        self._starts = torch.tensor(starts)
        return torch.from_numpy(np.stack(dry)), torch.from_numpy(np.stack(wet)), parts, chosen

    def _place(self, pair: int, length: int) -> tuple[int, list[tuple[int, int]]]:
        """Where a window of one pair starts, and the frames in it that are trained on: some, wherever chance puts it."""
        for start in [*(int(self.random.integers(0, self.pairs[pair].frames - length + 1)) for _ in range(20)), 0]:
            settled = start if start == 0 else start + self._settling(length)  # what came before the window has died away
            inside = [(max(a, settled) - start, min(b, start + length) - start) for a, b in self.splits[pair].train]
            inside = [(a, b) for a, b in inside if b - a >= 0.1 * self.rate]
            if inside:
                return start, inside
        return 0, [(0, length)]

    def _settling(self, length: int) -> int:
        """How many frames of a window count as its beginning."""
        return length // 4

    def _loss(self, y: Tensor, wet: Tensor, parts: list[list[tuple[int, int]]]) -> Tensor:
        groups: list[tuple[Tensor, Tensor]] = []
        for i, stretches in enumerate(parts):
            by_length: dict[int, list[tuple[int, int]]] = {}
            for a, b in stretches:
                by_length.setdefault(b - a, []).append((a, b))
            for group in by_length.values():
                mine = torch.stack([y[i, :, a:b] for a, b in group])
                theirs = torch.stack([wet[i, :, a:b] for a, b in group])
                groups.append((mine, theirs))
        if not groups:
            return y.sum() * float("nan")
        parts_of_loss = self.loss.on_sound(groups, self.rate) | self.loss.on_values(self.twin, self.addresses)
        self.parts = {f"loss.{name}": float(part.detach()) for name, part in parts_of_loss.items()}
        return torch.stack(list(parts_of_loss.values())).sum()

    # --- first order -------------------------------------------------------------------------------------------------

    def train(self, bar: FitProgress, checkpoint: Path | None, on_step: Callable[[int, float], None] | None) -> None:
        if not self.trained():
            return
        steps = self.settings["steps"]
        with torch.no_grad():
            for u in self.raw:
                u.clamp_(EDGE, 1.0 - EDGE)
        rate = self.settings["learning_rate"]
        groups = [
            {"params": [u], "lr": rate * self.card(a).learning_step} for a, u in zip(self.addresses, self.raw, strict=True)
        ]
        weights = self.settings["network_learning_rate"]
        groups += [{"params": [u], "lr": rate} for u in self.slopes.values()]
        groups += [{"params": [u], "lr": weights * self._size(a)} for a, u in self.arrays.items()]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.98), eps=1e-12)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 0.51 + 0.49 * math.cos(math.pi * n / max(steps, 1)))
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint, optimizer, schedule)
        follower = self.follower
        if self.first_step == 0 and self.loss_compares():
            self.drift.check(0, drift.figures(self._held_out(self.made()), self.rate))
        for step in range(self.first_step, steps):
            if step == 0 or (step == steps // 3 and self.unclear):  # again when the rest has come nearer
                self._search(bar)
            loss = self._step(optimizer)
            with warnings.catch_warnings():  # a skipped first step is meant
                warnings.simplefilter("ignore", UserWarning)
                schedule.step()
            if on_step is not None:
                on_step(step + 1, loss)
            if follower is not None:
                follower.step(step + 1, self.twin)
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
                better = self._check(step + 1, loss)
                self.without = 0 if better else self.without + 1
                if checkpoint is not None:
                    self._save(checkpoint, step + 1, optimizer, schedule)
            bar.step(step + 1, loss, self.present(), self.history[-1].get("error_db") if self.history else None)
            if self.skipped_now >= BACK_AFTER:
                self._go_back(optimizer, schedule)
            if self.without >= self.settings["patience"]:
                self.stopped = f"no improvement on held-out audio, stopped at step {step + 1}"
                return

    def _step(self, optimizer: torch.optim.Optimizer) -> float:
        check()
        optimizer.zero_grad()
        dry, wet, parts, which = self._windows()
        loss = self._loss(self._render(dry, which), wet, parts)
        value = float(loss.detach())
        if np.isfinite(value):
            torch.autograd.backward(loss)
            grads = [u.grad for u in self.trained() if u.grad is not None]
            if all(bool(torch.isfinite(g).all()) for g in grads):
                if self.arrays:
                    nn.utils.clip_grad_norm_(list(self.arrays.values()), STEEPEST)
                optimizer.step()
                if self.slopes:  # knobs move about a position, which must be one
                    with torch.no_grad():
                        for u in self.raw:
                            u.clamp_(0.0, 1.0)
                self.skipped_now = 0
                return value
        self.skipped += 1
        self.skipped_now += 1
        return value

    def _go_back(self, optimizer: torch.optim.Optimizer, schedule: Any) -> None:
        """Nothing finite comes any more: to the best values, with smaller steps."""
        self.restore_best()
        optimizer.state.clear()
        schedule.base_lrs = [rate / 10.0 for rate in schedule.base_lrs]
        for group in optimizer.param_groups:
            group["lr"] /= 10.0
        self.skipped_now = 0

    def _size(self, address: str) -> float:
        """What a step of a resource is measured by: weights of networks by 1, a response by its peak."""
        effect, _, name = address.partition(".")
        kind = next(r["type"] for r in self.twin[effect].card.resources if r["id"] == name)
        return 1.0 if kind != "response" else 0.1 * float(self.arrays[address].detach().abs().max())

    def _check(self, step: int, loss: float) -> bool:
        """Measure on held-out audio; True when it is the best so far."""
        check()
        pieces = self._held_out(self.made())
        d = distances(pieces, self.rate)
        held_out = self._score(d, pieces) + self._value_score()
        watched = drift.figures(pieces, self.rate) if self.loss_compares() else {}
        self.warnings += self.drift.check(step, watched)
        row = {"step": float(step), "loss": loss, "held_out": held_out, **d.to_json(), **self.present(), **self.parts}
        row |= {f"drift.{name}": value for name, value in watched.items()}
        self.history.append(row)
        if self.board is not None:
            for name, number in row.items():
                if name != "step":
                    self.board.add_scalar(name.replace(".", "/", 1), number, step)
        if not held_out < self.best[0]:
            return False
        self.best = (held_out, self._now())
        return True

    def loss_compares(self) -> bool:
        """False where nothing is compared with `wet`: what is reached for stands in the loss."""
        return bool(self.settings.get("compares", True))

    @torch.no_grad()
    def _value_score(self, twin: RackTwin | None = None) -> float:
        """Terms on the values, where they are what is to be reached; elsewhere they only guide."""
        if self.loss_compares():
            return 0.0
        return float(sum(self.loss.on_values(twin or self.twin, self.addresses).values()))

    def _score(self, d: Distances, pieces: list[tuple[Audio, Audio]]) -> float:
        """The loss on held-out audio, without the terms on the values."""
        known: dict[type[Term], float] = {STFT: d.stft, Waveform: 10 ** (d.error_db / 20)}
        found = float(sum(w * known[type(term)] for w, term in self.loss.terms if type(term) in known))
        rest = Loss([(w, term) for w, term in self.loss.terms if isinstance(term, SoundTerm) and type(term) not in known])
        if rest.terms:
            with torch.no_grad():
                groups = [(torch.from_numpy(y)[None], torch.from_numpy(t)[None]) for y, t in pieces]
                found += float(sum(rest.on_sound(groups, self.rate).values()))
        return found

    # --- second order ------------------------------------------------------------------------------------------------

    def _sound(self, longest_s: float) -> tuple[Callable[[], Tensor], Tensor]:
        """A function that renders one set of windows, cut to `longest_s`, and what it should give."""
        dry, wet, parts, which = self._windows()
        longest = int(longest_s * self.rate)
        stretches = [(i, a, min(b, longest)) for i, group in enumerate(parts) for a, b in group if a < longest]
        if not stretches:  # all that is trained on comes later
            longest = dry.shape[-1]
            stretches = [(i, a, b) for i, group in enumerate(parts) for a, b in group]
        dry = dry[..., :longest]
        target = torch.cat([wet[i, :, a:b].reshape(-1) for i, a, b in stretches])

        def sound() -> Tensor:
            check()
            with torch.no_grad():
                y = self._render(dry, which)
            return torch.cat([y[i, :, a:b].reshape(-1) for i, a, b in stretches])

        return sound, target

    def _search(self, bar: FitProgress) -> None:
        """Where delays begin (see `scan`)."""
        sensitive = [(u, self.card(a)) for a, u in zip(self.addresses, self.raw, strict=True)]
        sensitive = [(u, p) for u, p in sensitive if p.learning_step < SENSITIVE]
        if sensitive and self.loss.weight_of(Waveform) > 0:
            bar.searching([p.id for _, p in sensitive])
            self.unclear = scan(sensitive, *self._sound(SCAN_S)) > CLEARLY_NEARER

    def finish(self, bar: FitProgress, errors: bool = True) -> None:
        """Second-order steps from the best values, where the waveforms agree enough, and how well each value is determined."""
        self.restore_best()
        if self.arrays or self.slopes or not self.raw:
            return  # what a network or a knob makes of the rest says nothing about the values
        sound, target = self._sound(self.settings["window_s"])
        relative = float(torch.linalg.vector_norm(target - sound()) / torch.linalg.vector_norm(target))
        limit = self.settings["polish_steps"] if relative < POLISH_BELOW and self.loss.weight_of(Waveform) > 0 else 0
        self.polished = polish(self.raw, sound, target, limit, lambda n, r: bar.polishing(n, limit, r, self.present()), errors)
        if self.polished.iterations:
            step = (self.history[-1]["step"] if self.history else 0.0) + self.polished.iterations
            self._check(int(step), self.polished.after)

    # --- keeping -----------------------------------------------------------------------------------------------------

    def present(self) -> dict[str, float]:
        """Trained values in user units."""
        return {a: float(value_at(self.card(a), u.detach())) for a, u in zip(self.addresses, self.raw, strict=True)}

    def card(self, address: str) -> Parameter:
        effect, _, name = address.partition(".")
        found: Parameter = self.twin[effect].card.addresses[name]
        return found

    @torch.no_grad()
    def restore_best(self) -> None:
        for u, value in zip(self.trained(), self.best[1], strict=True):
            u.copy_(value)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on to be continued."""
        return {
            "settings": self.settings,
            "rack": self.began,
            "conditions": self.conditions.given,
            "recordings": [[p.dry_hash, p.wet_hash, p.latency_frames] for p in self.pairs],
        }

    def _save(self, path: Path, step: int, optimizer: Any, schedule: Any) -> None:
        state = {
            "of": self._identity(),
            "step": step,
            "values": self._now(),
            "drift": [self.drift.best, sorted(self.drift.waiting), self.drift.said],
            "counts": [self.skipped, self.skipped_now, self.without, self.unclear],
            "warnings": self.warnings,
            "best": list(self.best),
            "history": self.history,
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random": self.random.bit_generator.state,
        }
        with atomic(path) as beside:
            torch.save(state, beside)

    @torch.no_grad()
    def _resume(self, path: Path, optimizer: Any, schedule: Any) -> None:
        try:
            state = torch.load(path, weights_only=True)
            made_for = state["of"]
        except Exception as error:
            raise ValueError(f"{path} is not a checkpoint of a fit ({type(error).__name__}); delete it to start anew") from None
        if made_for != self._identity():
            raise ValueError(f"{path} is a checkpoint of other recordings, parameters or settings; delete it to start anew")
        for u, value in zip(self.trained(), state["values"], strict=True):
            u.copy_(value)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        self.random.bit_generator.state = state["random"]
        best, waiting, said = state["drift"]
        self.drift = drift.Drift({name: tuple(seen) for name, seen in best.items()}, set(waiting), said)
        self.skipped, self.skipped_now, self.without, self.unclear = state["counts"]
        self.warnings = state["warnings"]
        self.first_step, self.history = state["step"], state["history"]
        self.best = (state["best"][0], state["best"][1])
