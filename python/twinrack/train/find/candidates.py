"""Candidates: a rack at many positions of its values, rendered by the engine at once, and what of the sound is compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from ...audio import Audio
from ...rack.card import Parameter
from ...rack.rack import Rack
from ...render.many import render_many
from ...twins.constrain import at_position
from ..data import Pair, Split
from .levenberg import Positions, Residuals

LONGEST_S = 60.0  # of a recording that is rendered
COMPARED_S = 24.0  # of all recordings together
AUDIBLE = 1e-3  # of the peak
LEVEL_ONLY = 1e-8  # of the energy, that may change beside the level
AT_ONCE = 16  # renders whose sound is held at the same time


class Candidates:
    """A rack whose values at some addresses are looked for.

    Args:
        rack: structure, and the values that stay.
        addresses: of the values, all continuous.
        pairs: the recordings, at `rate` in Hz.
        splits: frames of each pair that may be looked at.
        compared_s: how much of the recordings is compared, spread over them.
        longest_s: how much of a recording is rendered.

    Attributes:
        cards: the parameters, in the order of the positions.
        start: the rack's own positions, (n,).
        low, high: positions of the ends of what the cards expect, (n,).
        wet: the frames of the target that are compared, (channels, frames), one after the other.
        renders: how many were made.
    """

    def __init__(
        self,
        rack: Rack,
        addresses: Sequence[str],
        pairs: Sequence[Pair],
        splits: Sequence[Split],
        rate: float,
        compared_s: float = COMPARED_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self.rack, self.addresses, self.rate = rack, list(addresses), rate
        self.pairs, self.splits = list(pairs), list(splits)
        self.limits = compared_s, longest_s
        self.cards = [parameter_at(rack, a) for a in self.addresses]
        self.start = np.array([p.position(float(rack.get(a))) for a, p in zip(self.addresses, self.cards, strict=True)])
        self.low, self.high = (np.array([p.position(p.expected[end]) for p in self.cards]) for end in (0, 1))
        self._excerpts = _excerpts(pairs, splits, rate, compared_s, longest_s)
        compared = [p.wet[:, a:b] for p, (parts, _) in zip(pairs, self._excerpts, strict=True) for a, b in parts]
        self.wet = np.concatenate(compared, 1)
        self._scale = np.float32(1.0 / max(float(np.sqrt(np.mean(self.wet.astype(np.float64) ** 2))), 1e-12))
        self.renders = 0

    def of(self, rack: Rack, addresses: Sequence[str] | None = None) -> Candidates:
        """The same recordings with another rack, or other addresses."""
        names = self.addresses if addresses is None else addresses
        return Candidates(rack, names, self.pairs, self.splits, self.rate, *self.limits)

    def shortened(self, seconds: float) -> Candidates:
        """The same with so much of the recordings' beginnings."""
        return Candidates(self.rack, self.addresses, self.pairs, self.splits, self.rate, seconds, seconds)

    def values(self, positions: Positions) -> dict[str, float]:
        """Values in user units by address."""
        return {a: float(p.at(u)) for a, p, u in zip(self.addresses, self.cards, positions, strict=True)}

    def rack_at(self, positions: Positions) -> Rack:
        """A copy of the rack with these values."""
        rack = self.rack.copy()
        for i, (address, value) in enumerate(self.values(positions).items()):
            if positions[i] != self.start[i]:  # else it stays exactly as it is
                rack.set(address, value)
        return rack

    def place(self, values: dict[str, float], positions: Positions) -> Positions:
        """The positions, with some values changed; those of other addresses are left out."""
        moved = positions.copy()
        for i, (address, p) in enumerate(zip(self.addresses, self.cards, strict=True)):
            if address in values:
                moved[i] = p.position(min(max(values[address], p.min), p.max))
        return moved

    def indices(self, effect: str) -> list[int]:
        """Places in the positions of an effect's values."""
        return [i for i, a in enumerate(self.addresses) if a.partition(".")[0] == effect]

    def sounds(self, many: npt.NDArray[np.float64]) -> Audio:
        """The compared frames of renders at (k, n) positions: (k, channels, frames)."""
        columns = {a: _column(p, many[:, i]) for i, (a, p) in enumerate(zip(self.addresses, self.cards, strict=True))}
        result = np.empty((len(many), *self.wet.shape), np.float32)
        at = 0
        for pair, (parts, longest) in zip(self.pairs, self._excerpts, strict=True):
            if not parts:
                continue
            dry = np.ascontiguousarray(pair.dry[:, :longest])
            rendered = np.asarray(render_many([self.rack] * len(many), dry, self.rate, columns))
            for a, b in parts:
                result[:, :, at : at + b - a] = rendered[:, :, a:b]
                at += b - a
        self.renders += len(many)
        return result

    def set_level(self, positions: Positions) -> bool:
        """Whether one of the values makes all of the sound louder or quieter."""
        levels = [i for i, p in enumerate(self.cards) if p.unit == "dB"]
        if not levels:
            return False
        many = np.repeat(positions[None], len(levels) + 1, 0)
        for row, i in zip(many[1:], levels, strict=True):
            p = self.cards[i]
            value = float(p.at(row[i]))
            row[i] = p.position(value - 1.0 if value > 0.5 * (p.min + p.max) else value + 1.0)
        here, *others = self.sounds(many).astype(np.float64)
        own = max(float(np.sum(here * here)), 1e-30)
        for y in others:
            gain = float(np.sum(y * here)) / own
            left = float(np.sum((y - gain * here) ** 2))
            if abs(abs(20.0 * np.log10(max(gain, 1e-9))) - 1.0) < 0.01 and left < LEVEL_ONLY * own:
                return True
        return False

    def batches(self, many: npt.NDArray[np.float64]) -> Iterator[Audio]:
        """The same of a few positions after the other, so that little memory is needed."""
        for first in range(0, len(many), AT_ONCE):
            yield self.sounds(many[first : first + AT_ONCE])

    def waveform(self, many: npt.NDArray[np.float64]) -> Residuals:
        """Differences from `wet`, (k, numbers), scaled so that silence has a mean square of 1."""
        result = np.empty((len(many), self.wet.size), np.float32)
        first = 0
        for y in self.batches(many):
            y -= self.wet
            y *= self._scale
            result[first : first + len(y)] = y.reshape(len(y), -1)
            first += len(y)
        return result


def parameter_at(rack: Rack, address: str) -> Parameter:
    """The parameter at an address of a rack."""
    effect, _, name = address.partition(".")
    p: Parameter = rack[effect].card.addresses[name]
    return p


def _column(p: Parameter, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    values = at_position(p, torch.from_numpy(np.clip(positions, 0.0, 1.0)))
    return np.asarray(values.clamp(p.min, p.max))


def _excerpts(
    pairs: Sequence[Pair], splits: Sequence[Split], rate: float, compared_s: float, longest_s: float
) -> list[tuple[list[tuple[int, int]], int]]:
    """Of each pair the frames that are compared, and how many frames are rendered for them.

    Where there is more than enough, stretches of a second or so are taken that are spread over what may be looked at.
    """
    ends = [_first_frames(p, rate, compared_s, longest_s) for p in pairs]
    allowed = [[(a, min(b, end)) for a, b in s.train if a < end] for s, end in zip(splits, ends, strict=True)]
    total = sum(b - a for parts in allowed for a, b in parts)
    share = min(1.0, compared_s * rate / max(total, 1))
    result = []
    for parts in allowed:
        chosen = []
        for a, b in parts:
            pieces = max(1, round((b - a) / (2.0 * rate))) if share < 1.0 else 1
            edges = np.linspace(a, b, pieces + 1).astype(int)
            for start, end in itertools.pairwise(edges.tolist()):
                chosen.append((start, start + max(int((end - start) * share), 1)))
        result.append((chosen, max((b for _, b in chosen), default=0)))
    return result


def _first_frames(pair: Pair, rate: float, compared_s: float, longest_s: float) -> int:
    """How many frames of a recording are rendered: more than `longest_s` where there is not sound enough until there."""
    loud = np.abs(pair.dry).max(0) > AUDIBLE * float(np.abs(pair.dry).max())
    late = np.flatnonzero(np.cumsum(loud) >= int(0.5 * compared_s * rate))
    return max(int(longest_s * rate), int(late[0]) + 1 if late.size else 0) if pair.frames > longest_s * rate else pair.frames
