"""A rack that is trained on pairs of dry and wet recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from ..audio import Audio
from ..measure.gain_over_time import moves_gain
from ..rack.card import Parameter
from ..rack.fingerprint import fingerprint
from ..rack.rack import Rack
from ..twins.constrain import position_of
from ..twins.rack_twin import RackTwin
from .addresses import Learned
from .conditions import Conditions
from .data import Pair, Split
from .find.candidates import Candidates
from .windows import Excerpts, Windows

POLISHED_S = 6.0  # of the recordings together
RESPONSE_STEP = 0.1  # of a response's peak, for a step of 1 of a network's weights


class TrainableRack:
    """A rack in training (see `trainable.Trainable`).

    Args:
        twin: of the rack; it is trained in place.
        pairs: the recordings, at `rate` in Hz.
        learned: what is trained.
        conditions: what was set while each pair was recorded.
    """

    searches_delays = True

    def __init__(
        self, twin: RackTwin, pairs: list[Pair], rate: float, learned: Learned, conditions: Conditions | None = None
    ) -> None:
        self.twin, self.pairs, self.rate = twin, pairs, rate
        self._conditions = conditions or Conditions(Rack(), (), len(pairs))
        self.conditions: Sequence[Mapping[str, float]] = self._conditions.given
        self.values = {a: twin.raw_of(a) for a in learned.values}
        self.arrays = {a: twin.resource_at(a) for a in learned.resources}
        self.slopes = {
            (a, knob): nn.Parameter(torch.zeros((), dtype=torch.float64))
            for knob in self._conditions.knobs
            for a in learned.values
        }
        start = twin.to_rack()
        self.identity, self.moves_gain = fingerprint(start), moves_gain(start)

    def card(self, address: str) -> Parameter:
        effect, _, name = address.partition(".")
        return self.twin[effect].card.addresses[name]

    def step_size(self, address: str) -> float:
        effect, _, name = address.partition(".")
        kind = next(r["type"] for r in self.twin[effect].card.resources if r["id"] == name)
        return 1.0 if kind != "response" else RESPONSE_STEP * float(self.arrays[address].detach().abs().max())

    def player(self) -> Rack:
        return self.twin.to_rack()

    def twin_of(self, player: Rack) -> RackTwin:
        return RackTwin(player, self.rate)

    def play(self, player: Rack | None, pair: int) -> Audio:
        dry = self.pairs[pair].dry
        if player is None:
            return dry
        slopes = {at: slope.item() for at, slope in self.slopes.items()}
        return self._conditions.rack_of(player, pair, slopes)(dry, self.rate)

    def windows(self, excerpts: Excerpts) -> Windows:
        return excerpts.of_pairs()

    def render(self, windows: Windows) -> Tensor:
        values = None
        if self._conditions:
            values = self._conditions.values_of(self.twin, windows.pairs, self.values, self.slopes)
        y: Tensor = self.twin(windows.dry, values=values, first_frame=windows.starts)
        return y

    def polish_window_s(self, window_s: float, compares: bool) -> float | None:
        return window_s

    def polish_samples(self, count: int) -> int:
        return count

    def engine_sounds(self, splits: Sequence[Split]) -> tuple[Callable[[Tensor], Tensor], Tensor] | None:
        if self.arrays or self._conditions or not self.values:
            return None
        c = Candidates(self.player(), list(self.values), self.pairs, splits, self.rate, compared_s=POLISHED_S)

        def sounds(many: Tensor) -> Tensor:
            y = c.sounds(position_of(many).numpy())
            return torch.from_numpy(y.reshape(len(y), -1))

        return sounds, torch.from_numpy(c.wet.reshape(-1))

    def remembering(self) -> AbstractContextManager[None]:
        return nullcontext()
