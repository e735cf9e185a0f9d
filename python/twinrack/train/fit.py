"""`fit`: what settings make `dry` sound like `wet`?"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..audio import Audio
from ..card import Parameter, Value
from ..effect import unknown
from ..files import atomic, check_writable
from ..rack import Rack
from ..twins.constrain import to_value
from ..twins.rack_twin import RackTwin
from ..twins.speed import keep_memory
from .data import Pair, Source, load_pairs, split
from .distances import Distances, distances
from .losses import STFT, Loss, SoundTerm, Term, Waveform, usual
from .polish import Polished, polish
from .progress import FitProgress
from .result import FitResult, ParameterResult, in_units, provenance
from .scan import SENSITIVE, scan
from .starts import analysed
from .structures import ROUNDS, Structure, combinations, open_choices, survivors

if TYPE_CHECKING:
    pass

EDGE = 0.04  # training starts at least so far inside a range: at its very end the slope is 0
POLISH_BELOW = 0.7  # relative residual under which the waveforms agree enough for the second-order steps
CHECK_EVERY = 10
SCAN_S = 3.0
CLEARLY_NEARER = 0.93
SHORTEST_WINDOW_S = 0.5


def fit(
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
    learning_rate: float = 0.012,
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
    progress: bool | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> FitResult:
    """Find the values with which `rack` turns `dry` into `wet`.

    Args:
        rack: structure and start values; it is not changed.
        dry, wet: (channels, frames) arrays, files, lists of either, or two folders whose files have the same names.
        sample_rate: Hz; needed for arrays.
        steps: of Adam, in the constrained domain (where each whole range is 1), the step size falling along a cosine.
        learn: addresses to train, with * for any ("compressor.*"); without, everything learnable.
        freeze: addresses that keep their start values.
        choices: addresses of choices and switches that are open, with * for any ("compressor.*"), or the options to try of
            each: all combinations are tried in short rounds and the best goes on (see `structures`).
        starts: take start values from the recordings, where there is an analysis for the effect (see `starts`): so many at
            most, tried like choices; 0 begins with the rack's own values.
        learning_rate: size of the first steps.
        loss: what is lowered (see `losses`); without, the next two.
        stft_weight, waveform_weight: of `losses.STFT` and `losses.Waveform`.
        polish_steps: at most so many second-order steps afterwards, where the waveforms come close (see `polish`).
        window_s: longer recordings are trained in random windows of this length, started from silence.
        batch: windows in one step.
        validation: hold out every fifth stretch; False trains and measures on everything.
        patience: checks (one each 10 steps) without improvement on held-out audio after which it stops.
        align: True finds and removes the latency of `wet`, False does not, a number is the latency in frames.
        seed: of the windows.
        checkpoint: file that holds the state after each check, and is continued from where it exists.
        progress: show a progress bar; without, when the terminal can.
        on_step: called after each step with its number and the loss.

    Returns:
        The fitted rack, distances on held-out audio, history, and how well each parameter is determined.

    Raises:
        FileNotFoundError, ValueError: recordings or addresses that do not fit; one sentence.

    Ctrl-C ends it with the best values so far. A step whose loss or gradient is not finite is not taken, and counted.
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
    pairs, rate = load_pairs(dry, wet, sample_rate, align)
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
    }
    lowered = usual(stft_weight, waveform_weight) if loss is None else Loss() + loss
    if not any(isinstance(term, SoundTerm) and weight > 0 for weight, term in lowered.terms):
        raise ValueError("the loss has no term on the sound; add one, such as losses.STFT()")
    settings["loss"] = str(lowered)
    opened = open_choices(rack, choices)
    learn, freeze = list(learn) if learn is not None and not isinstance(learn, str) else learn, list(freeze)
    given, tried = rack, list[Structure]()
    bar = FitProgress(steps, progress)
    keep_memory()
    torch.set_flush_denormal(True)  # decaying tails would cost many times the rest
    with bar:
        try:
            racks = combinations(rack, opened)
            if starts:
                which = _chosen(RackTwin(rack, rate), learn, freeze)
                racks = [start for r in racks for start in analysed(r, pairs, rate, which, starts)]
            if len(racks) > 1:
                racks, tried = _best_structures(racks, opened, pairs, rate, settings, lowered, (learn, freeze), bar)
            rack = racks[0]
        except BaseException:
            torch.set_flush_denormal(False)
            raise
        twin = RackTwin(rack, rate)
        addresses = _chosen(twin, learn, freeze)
        settings |= {"learn": addresses, "choices": list(opened), "starts": starts}
        run = _Run(twin, pairs, rate, addresses, settings, lowered)
        start = run.measure(given)
        try:
            run.train(bar, Path(checkpoint) if checkpoint is not None else None, on_step)
            run.finish(bar)
        except KeyboardInterrupt:
            run.stopped = "interrupted"
        finally:
            torch.set_flush_denormal(False)
    run.restore_best()
    fitted_rack = twin.to_rack()
    fitted = run.measure(fitted_rack)
    if fitted.error_db + 10 * fitted.stft > start.error_db + 10 * start.stft and fitted.stft > start.stft:
        fitted_rack, fitted, run.stopped = given.copy(), start, f"{run.stopped}; nothing better than the start was found"
    result = FitResult(
        rack=fitted_rack,
        start_rack=given.copy(),
        pairs=pairs,
        sample_rate=rate,
        nothing=run.measure(None),
        start=start,
        fitted=fitted,
        parameters=_parameters(given, fitted_rack, addresses, run),
        history=run.history,
        settings=settings,
        stopped=run.stopped,
        skipped_steps=run.skipped,
        seconds=time.monotonic() - began,
        splits=run.splits,
        structures=tried,
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
            run = _Run(twin, pairs, rate, _chosen(twin, *which), short, loss)
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


def _chosen(twin: RackTwin, learn: Iterable[str] | None, freeze: Iterable[str]) -> list[str]:
    there = twin.learnable()

    def matching(patterns: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            hits = [a for a in there if fnmatch(a, pattern)]
            if not hits:
                raise ValueError(unknown(pattern, there, "the rack").replace("parameter", "learnable parameter"))
            found.update(hits)
        return found

    wanted = set(there) if learn is None else matching(learn)
    wanted -= matching(freeze)
    silent = {a for a in there if twin[a.partition(".")[0]].bypass}
    chosen = [a for a in there if a in wanted and a not in silent]
    if not chosen:
        raise ValueError("no parameter is left to train; add effects, or name more in learn")
    return chosen


class _Run:
    """The state of one training: the twin, the best values so far, the record."""

    def __init__(
        self, twin: RackTwin, pairs: list[Pair], rate: float, addresses: list[str], settings: dict[str, Any], loss: Loss
    ) -> None:
        self.loss, self.parts = loss, dict[str, float]()
        self.twin, self.pairs, self.rate, self.settings = twin, pairs, rate, settings
        self.addresses = addresses
        self.raw: list[nn.Parameter] = [twin.raw_of(a) for a in addresses]
        for u in twin.parameters():
            u.requires_grad_(False)
        for u in self.raw:
            u.requires_grad_(True)
        self.splits = [split(p.frames, rate, settings["validation"]) for p in pairs]
        self.random = np.random.default_rng(settings["seed"])
        self.history: list[dict[str, float]] = []
        self.skipped = 0
        self.unclear = True  # whether the search has not found where delays begin
        self.stopped = "all steps done"
        self.polished: Polished | None = None
        self.best = (float("inf"), [u.item() for u in self.raw])
        self.first_step = 0

    # --- what is compared --------------------------------------------------------------------------------------------

    def measure(self, rack: Rack | None) -> Distances:
        """Distances on held-out audio; None is the dry sound."""
        return distances(self._held_out(rack), self.rate)

    def _held_out(self, rack: Rack | None) -> list[tuple[Audio, Audio]]:
        """Result and target of each held-out stretch, rendered by the engine from the beginning of each pair."""
        pieces: list[tuple[Audio, Audio]] = []
        for pair, parts in zip(self.pairs, self.splits, strict=True):
            y = pair.dry if rack is None else rack(pair.dry, self.rate)
            pieces += [(y[:, a:b], pair.wet[:, a:b]) for a, b in parts.held_out]
        return pieces

    def _windows(self) -> tuple[Tensor, Tensor, list[list[tuple[int, int]]]]:
        """Dry and wet windows of one step, and the frames of each that are trained on."""
        longest = int(self.settings["window_s"] * self.rate)
        shortest = min(min(p.frames for p in self.pairs), longest)
        chosen = list(range(len(self.pairs)))
        if len(chosen) > self.settings["batch"]:
            chosen = sorted(self.random.choice(len(self.pairs), self.settings["batch"], replace=False).tolist())
        dry, wet, parts = [], [], []
        for i in chosen:
            pair = self.pairs[i]
            start, inside = self._place(i, shortest)
            dry.append(pair.dry[:, start : start + shortest])
            wet.append(pair.wet[:, start : start + shortest])
            parts.append(inside)
        return torch.from_numpy(np.stack(dry)), torch.from_numpy(np.stack(wet)), parts

    def _place(self, pair: int, length: int) -> tuple[int, list[tuple[int, int]]]:
        """Where a window of one pair starts, and the frames in it that are trained on: some, wherever chance puts it."""
        for start in [*(int(self.random.integers(0, self.pairs[pair].frames - length + 1)) for _ in range(20)), 0]:
            settled = start if start == 0 else start + length // 4  # what came before the window has died away
            inside = [(max(a, settled) - start, min(b, start + length) - start) for a, b in self.splits[pair].train]
            inside = [(a, b) for a, b in inside if b - a >= 0.1 * self.rate]
            if inside:
                return start, inside
        return 0, [(0, length)]

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
        steps = self.settings["steps"]
        with torch.no_grad():
            for u in self.raw:
                u.clamp_(EDGE, 1.0 - EDGE)
        rate = self.settings["learning_rate"]
        groups = [
            {"params": [u], "lr": rate * self._card(a).learning_step} for a, u in zip(self.addresses, self.raw, strict=True)
        ]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.98), eps=1e-12)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 0.51 + 0.49 * math.cos(math.pi * n / max(steps, 1)))
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint, optimizer, schedule)
        without = 0
        for step in range(self.first_step, steps):
            if step == 0 or (step == steps // 3 and self.unclear):  # again when the rest has come nearer
                self._search(bar)
            loss = self._step(optimizer)
            with warnings.catch_warnings():  # a skipped first step is meant
                warnings.simplefilter("ignore", UserWarning)
                schedule.step()
            if on_step is not None:
                on_step(step + 1, loss)
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
                better = self._check(step + 1, loss)
                without = 0 if better else without + 1
                if checkpoint is not None:
                    self._save(checkpoint, step + 1, optimizer, schedule)
            bar.step(step + 1, loss, self.present())
            if without >= self.settings["patience"]:
                self.stopped = f"no improvement on held-out audio, stopped at step {step + 1}"
                return

    def _step(self, optimizer: torch.optim.Optimizer) -> float:
        optimizer.zero_grad()
        dry, wet, parts = self._windows()
        loss = self._loss(self.twin(dry), wet, parts)
        value = float(loss.detach())
        if np.isfinite(value):
            torch.autograd.backward(loss)
            grads = [u.grad for u in self.raw if u.grad is not None]
            if all(bool(torch.isfinite(g).all()) for g in grads):
                optimizer.step()
                return value
        self.skipped += 1
        return value

    def _check(self, step: int, loss: float) -> bool:
        """Measure on held-out audio; True when it is the best so far."""
        pieces = self._held_out(self.twin.to_rack())
        d = distances(pieces, self.rate)
        held_out = self._score(d, pieces)
        row = {"step": float(step), "loss": loss, "held_out": held_out, **d.to_json(), **self.present(), **self.parts}
        self.history.append(row)
        if held_out >= self.best[0]:
            return False
        self.best = (held_out, [u.item() for u in self.raw])
        return True

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
        dry, wet, parts = self._windows()
        longest = int(longest_s * self.rate)
        stretches = [(i, a, min(b, longest)) for i, group in enumerate(parts) for a, b in group if a < longest]
        if not stretches:  # all that is trained on comes later
            longest = dry.shape[-1]
            stretches = [(i, a, b) for i, group in enumerate(parts) for a, b in group]
        dry = dry[..., :longest]
        target = torch.cat([wet[i, :, a:b].reshape(-1) for i, a, b in stretches])

        def sound() -> Tensor:
            with torch.no_grad():
                y = self.twin(dry)
            return torch.cat([y[i, :, a:b].reshape(-1) for i, a, b in stretches])

        return sound, target

    def _search(self, bar: FitProgress) -> None:
        """Where delays begin (see `scan`)."""
        sensitive = [(u, self._card(a)) for a, u in zip(self.addresses, self.raw, strict=True)]
        sensitive = [(u, p) for u, p in sensitive if p.learning_step < SENSITIVE]
        if sensitive and self.loss.weight_of(Waveform) > 0:
            bar.searching([p.id for _, p in sensitive])
            self.unclear = scan(sensitive, *self._sound(SCAN_S)) > CLEARLY_NEARER

    def finish(self, bar: FitProgress, errors: bool = True) -> None:
        """Second-order steps from the best values, where the waveforms agree enough, and how well each value is determined."""
        self.restore_best()
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
        return {a: float(to_value(self._card(a), u.detach())) for a, u in zip(self.addresses, self.raw, strict=True)}

    def _card(self, address: str) -> Parameter:
        effect, _, name = address.partition(".")
        return self.twin[effect].card.addresses[name]

    @torch.no_grad()
    def restore_best(self) -> None:
        if np.isfinite(self.best[0]):
            for u, value in zip(self.raw, self.best[1], strict=True):
                u.fill_(value)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on to be continued."""
        return {"settings": self.settings, "recordings": [[p.dry_hash, p.wet_hash, p.latency_frames] for p in self.pairs]}

    def _save(self, path: Path, step: int, optimizer: Any, schedule: Any) -> None:
        state = {
            "of": self._identity(),
            "step": step,
            "raw": [u.item() for u in self.raw],
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
        for u, value in zip(self.raw, state["raw"], strict=True):
            u.fill_(value)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        self.random.bit_generator.state = state["random"]
        self.first_step, self.history = state["step"], state["history"]
        self.best = (state["best"][0], state["best"][1])


def _parameters(before: Rack, after: Rack, addresses: list[str], run: _Run) -> list[ParameterResult]:
    errors = run.polished.standard_errors if run.polished is not None else []
    found = []
    for i, address in enumerate(addresses):
        p = run._card(address)
        start, fitted = float(before.get(address)), float(after.get(address))
        result = ParameterResult(address, start, fitted, p.unit, p.min, p.max, p.expected)
        if i < len(errors):
            result.standard_error, result.determined = in_units(p, run.raw[i].item(), errors[i])
        found.append(result)
    return found
