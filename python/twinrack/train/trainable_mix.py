"""A session that is trained through its mix, with all stems as the dry sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from ..audio import Audio
from ..rack.card import Parameter
from ..session.fingerprint import hash_of
from ..session.twin import SessionTwin
from ..twins.curves import TICK_FRAMES
from .data import Pair, Split
from .stems import Stacked
from .windows import Excerpts, Windows

POLISH_WINDOW_S = 2.7
WARM_UP_S = 1.5  # of reverbs that all stems share
POLISH_NUMBERS = 24e6  # samples times parameters that the second-order steps keep, about


class TrainableMix:
    """A session in training (see `trainable.Trainable`).

    Args:
        twin: of the session; it is trained in place.
        pair: all stems in one array, (channels with clips x width, frames), and the mix.
        values: addresses that are trained.
    """

    searches_delays = False  # delays in a mix are small beside the rest; they begin where the session has them
    moves_gain = False

    def __init__(self, twin: SessionTwin, pair: Pair, values: Sequence[str]) -> None:
        self.twin, self.pairs, self.rate = twin, [pair], twin.session.sample_rate
        self.values = {a: twin.raw_of(a) for a in values}
        self.arrays: dict[str, nn.Parameter] = {}
        self.slopes: dict[tuple[str, str], nn.Parameter] = {}
        self.conditions: Sequence[Mapping[str, float]] = []
        session = twin.to_session()
        self.identity = hash_of([repr(session), {a: session.get(a) for a in session.addresses()}])

    def card(self, address: str) -> Parameter:
        return self.twin.parameter(address)

    def step_size(self, address: str) -> float:
        return 1.0

    def player(self) -> Stacked:
        return Stacked(self.twin.to_session())

    @torch.no_grad()
    def twin_of(self, player: Stacked) -> SessionTwin:
        twin = SessionTwin(player.session)
        twin(torch.from_numpy(self.pairs[0].dry)[None])  # for targets that look at channels
        return twin

    def play(self, player: Stacked | None, pair: int) -> Audio:
        stems, width = self.pairs[pair].dry, self.pairs[pair].wet.shape[0]
        if player is not None:
            return player(stems, self.rate)
        total: Audio = stems.reshape(-1, width, self.pairs[pair].frames).sum(0)
        return total

    def windows(self, excerpts: Excerpts) -> Windows:
        return excerpts.of_first_pair(WARM_UP_S, TICK_FRAMES)  # values move at ticks

    def render(self, windows: Windows) -> Tensor:
        y: Tensor = self.twin(windows.dry, first_frame=windows.starts)
        return y

    def polish_window_s(self, window_s: float, compares: bool) -> float | None:
        return POLISH_WINDOW_S if compares else None

    def polish_samples(self, count: int) -> int:
        return min(count, int(POLISH_NUMBERS / len(self.values)))

    def engine_sounds(self, splits: Sequence[Split]) -> None:
        return None

    def remembering(self) -> AbstractContextManager[None]:
        return self.twin.remembering()
