"""One training through a mix: as `run`, with a session's twin for a rack's and all its stems for the dry sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..audio import Audio
from ..rack.card import Parameter
from ..session.clip import Clip
from ..session.fingerprint import hash_of
from ..session.session import Session
from ..session.twin import SessionTwin
from ..twins.curves import TICK_FRAMES
from .data import Pair
from .losses import Waveform
from .polish import polish
from .progress import FitProgress
from .run import POLISH_BELOW, Run

POLISH_WINDOW_S = 2.7
SETTLE_S = 1.5
POLISH_NUMBERS = 24e6  # samples times parameters that the second-order steps keep, about


class Stacked:
    """A session that is given the sound of all its clips in one array, (channels with clips x width, frames)."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __call__(self, stems: Audio, rate: float) -> Audio:
        return with_stems(self.session, stems).render()

    def get(self, address: str) -> Any:
        return self.session.get(address)


def with_stems(session: Session, stems: Audio) -> Session:
    """The session with arrays in place of its clips."""
    made = session.copy()
    made.end = f"{stems.shape[1]} frames"
    inputs = [c for c in made if c.clips]
    for i, channel in enumerate(inputs):
        channel.clips = [Clip(stems[session.width * i : session.width * (i + 1)])]
    return made


class MixRun(Run):
    """The state of one training through a mix."""

    twin: SessionTwin

    def _identity_of_start(self) -> tuple[str, bool]:
        session = self.twin.to_session()
        values = {a: session.get(a) for a in session.addresses()}
        return hash_of([repr(session), {a: v for a, v in values.items()}]), False

    def made(self) -> Stacked:
        return Stacked(self.twin.to_session())

    @torch.no_grad()
    def _twin_of(self, rack: Any) -> SessionTwin:
        twin = SessionTwin(rack.session)
        twin(torch.from_numpy(self.pairs[0].dry)[None])  # for targets that look at channels
        return twin

    def _untouched(self, pair: Pair) -> Audio:
        """All stems added up."""
        width = pair.wet.shape[0]
        total: Audio = pair.dry.reshape(-1, width, pair.frames).sum(0)
        return total

    def card(self, address: str) -> Parameter:
        return self.twin.parameter(address)

    def _windows(self) -> tuple[Tensor, Tensor, list[list[tuple[int, int]]], list[int]]:
        """As many windows of the mix as belong to a step."""
        if not self.loss_compares():
            return super()._windows()
        pair, length = self.pairs[0], min(int(self.settings["window_s"] * self.rate), self.pairs[0].frames)
        places = [self._place(0, length) for _ in range(self.settings["batch"])]
        self._starts = torch.tensor([start for start, _ in places])
        dry = torch.from_numpy(np.stack([pair.dry[:, s : s + length] for s, _ in places]))
        wet = torch.from_numpy(np.stack([pair.wet[:, s : s + length] for s, _ in places]))
        return dry, wet, [inside for _, inside in places], [0] * len(places)

    def _place(self, pair: int, length: int) -> tuple[int, list[tuple[int, int]]]:
        """Windows begin where values may move."""
        start, inside = super()._place(pair, length)
        less = start % TICK_FRAMES
        return start - less, [(a + less, min(b + less, length)) for a, b in inside if a + less < length]

    def _settling(self, length: int) -> int:
        return max(length // 4, min(length // 2, int(SETTLE_S * self.rate)))  # of reverbs that all stems share

    def _render(self, dry: Tensor, which: Any) -> Tensor:
        found: Tensor = self.twin(dry, first_frame=self._starts)
        return found

    def _search(self, bar: FitProgress) -> None:
        """Delays in a mix are small beside the rest; they begin where the session has them."""

    def finish(self, bar: FitProgress, errors: bool = True) -> None:
        """Second-order steps on some of the samples of a short window; only what a value changes is computed again."""
        self.restore_best()
        if not self.raw or not self.loss_compares():
            return
        whole, target = self._sound(POLISH_WINDOW_S)
        relative = float(torch.linalg.vector_norm(target - whole()) / torch.linalg.vector_norm(target))
        limit = self.settings["polish_steps"] if relative < POLISH_BELOW and self.loss.weight_of(Waveform) > 0 else 0
        count = min(target.numel(), int(POLISH_NUMBERS / len(self.raw)))
        some = torch.from_numpy(np.sort(self.random.choice(target.numel(), count, replace=False)))
        with self.twin.remembering():
            self.polished = polish(self.raw, _part(whole, some), target[some], limit, self._told(bar, limit), errors)
        if self.polished.iterations:
            step = (self.history[-1]["step"] if self.history else 0.0) + self.polished.iterations
            self._check(int(step), self.polished.after)

    def _told(self, bar: FitProgress, limit: int) -> Callable[[int, float], None]:
        return lambda n, r: bar.polishing(n, limit, r, self.present())


def _part(whole: Callable[[], Tensor], some: Tensor) -> Callable[[], Tensor]:
    return lambda: whole()[some]
