"""The protocol of a subject of training; a rack (`trainable_rack`) and the mix of a session (`trainable_mix`) fulfil it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from torch import Tensor, nn

from ..audio import Audio
from ..rack.card import Parameter
from .data import Pair, Split
from .windows import Excerpts, Windows

if TYPE_CHECKING:
    from .losses import Twin


class Player(Protocol):
    """A rack, or a session, with fixed values."""

    def __call__(self, x: Audio, sample_rate: float, /) -> Audio: ...


P = TypeVar("P", bound=Player)


class Trainable(Protocol[P]):
    """A rack or a mix with parameters that are trained.

    Attributes:
        twin: the module that renders with gradients.
        pairs: the recordings, at `rate` in Hz.
        values: trained parameters by address, in the constrained domain, where a whole range is 1.
        arrays: trained resources (weights of networks, responses) by address.
        slopes: how far each value moves with each knob of the conditions, by (address, knob).
        conditions: what was set while each pair was recorded.
        identity: hash of the structure and the start values.
        moves_gain: whether something in it changes its gain over time.
        searches_delays: whether delays are searched by rendering before the first step.
    """

    pairs: list[Pair]
    rate: float
    values: dict[str, nn.Parameter]
    arrays: dict[str, nn.Parameter]
    slopes: dict[tuple[str, str], nn.Parameter]
    conditions: Sequence[Mapping[str, float]]
    identity: str
    moves_gain: bool
    searches_delays: bool

    @property
    def twin(self) -> Twin: ...

    def card(self, address: str) -> Parameter:
        """The parameter at an address of `values`."""

    def step_size(self, address: str) -> float:
        """By what a step of a resource is measured, relative to one of a network's weights."""

    def player(self) -> P:
        """A copy with the present values, which the engine plays."""

    def twin_of(self, player: P) -> Twin:
        """A twin of a player, for terms of the loss on values."""

    def play(self, player: P | None, pair: int) -> Audio:
        """The sound of a pair, by the engine, under the conditions of that pair; None: with nothing done to it."""

    def windows(self, excerpts: Excerpts) -> Windows:
        """The windows of the next step."""

    def render(self, windows: Windows) -> Tensor:
        """The twin's sound of these windows, with the present values and gradients."""

    def polish_window_s(self, window_s: float, compares: bool) -> float | None:
        """Seconds of the windows for the second-order steps; None where there are to be none.

        Args:
            window_s, compares: of the settings.
        """

    def polish_samples(self, count: int) -> int:
        """The number of samples, of `count`, that the second-order steps use."""

    def engine_sounds(self, splits: Sequence[Split]) -> tuple[Callable[[Tensor], Tensor], Tensor] | None:
        """A function that renders many values at once by the engine, and its target; None where only the twin can.

        Args:
            splits: the frames of each pair that are trained on.

        Returns:
            The function takes (k, values) in the constrained domain and gives (k, numbers); the target has (numbers,).
        """

    def remembering(self) -> AbstractContextManager[None]:
        """Meanwhile, what did not change may be kept from one rendering of the same windows to the next."""
