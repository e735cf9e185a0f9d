"""Windows of the recordings for training steps: random excerpts, and the frames of each that are not held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .data import Pair, split

PLACES = 20  # random places that are tried before the beginning is taken
LEAST_S = 0.1  # of a stretch, to train on it


@dataclass(frozen=True)
class Windows:
    """The excerpts of one step.

    Attributes:
        dry, wet: (windows, channels, frames).
        parts: frames of each window that are trained on, as (start, end).
        pairs: which pair each window is of.
        starts: where each window starts in its pair, in frames, (windows,).
    """

    dry: Tensor
    wet: Tensor
    parts: list[list[tuple[int, int]]]
    pairs: list[int]
    starts: Tensor


class Excerpts:
    """Draws windows from pairs of recordings, all of one rate.

    Args:
        pairs: the recordings.
        rate: Hz.
        window_s: length of a window; shorter recordings are taken whole.
        batch: windows of one step.
        validation: hold out every fifth stretch.
        seed: of the random places.
    """

    def __init__(self, pairs: Sequence[Pair], rate: float, *, window_s: float, batch: int, validation: bool, seed: int) -> None:
        self.pairs, self.rate, self.window_s, self.batch = list(pairs), rate, window_s, batch
        self.splits = [split(p.frames, rate, validation).after(p.compared_from) for p in pairs]
        self.random = np.random.default_rng(seed)
        self._next = 0

    def whole_pair(self) -> Windows:
        """One pair as a whole, each in turn: for targets, which hold for a whole sound."""
        i = self._next % len(self.pairs)
        self._next += 1
        dry = torch.from_numpy(self.pairs[i].dry.copy())[None]
        return Windows(dry, dry, [[(0, self.pairs[i].frames)]], [i], torch.zeros(1, dtype=torch.int64))

    def of_pairs(self) -> Windows:
        """A window of each pair, or of a random choice of `batch` of them."""
        length = min(min(p.frames for p in self.pairs), int(self.window_s * self.rate))
        chosen = list(range(len(self.pairs)))
        if len(chosen) > self.batch:
            chosen = sorted(self.random.choice(len(self.pairs), self.batch, replace=False).tolist())
        return self._cut(chosen, [self._place(i, length, length // 4) for i in chosen], length)

    def of_first_pair(self, warm_up_s: float, grid: int) -> Windows:
        """`batch` windows of the first pair.

        Args:
            warm_up_s: beginning of a window that is not trained on; at least a quarter of the window, at most half of it.
            grid: windows start at multiples of so many frames.
        """
        length = min(int(self.window_s * self.rate), self.pairs[0].frames)
        warm_up = max(length // 4, min(length // 2, int(warm_up_s * self.rate)))
        places = []
        for _ in range(self.batch):
            start, parts = self._place(0, length, warm_up)
            earlier = start % grid
            moved = [(a + earlier, min(b + earlier, length)) for a, b in parts if a + earlier < length]
            places.append((start - earlier, moved))
        return self._cut([0] * self.batch, places, length)

    def _cut(self, pairs: list[int], places: list[tuple[int, list[tuple[int, int]]]], length: int) -> Windows:
        starts = [start for start, _ in places]
        dry, wet = (
            torch.from_numpy(np.stack([x[:, start : start + length] for x, start in zip(sounds, starts, strict=True)]))
            for sounds in ([self.pairs[i].dry for i in pairs], [self.pairs[i].wet for i in pairs])
        )
        return Windows(dry, wet, [parts for _, parts in places], pairs, torch.tensor(starts))

    def _place(self, pair: int, length: int, warm_up: int) -> tuple[int, list[tuple[int, int]]]:
        """Where a window of one pair starts, and the frames in it that are trained on: some, wherever chance puts it.

        The first `warm_up` frames are left out, as what came before the window still sounds in the recording.
        """
        for start in [*(int(self.random.integers(0, self.pairs[pair].frames - length + 1)) for _ in range(PLACES)), 0]:
            first = start if start == 0 else start + warm_up
            parts = [(max(a, first) - start, min(b, start + length) - start) for a, b in self.splits[pair].train]
            parts = [(a, b) for a, b in parts if b - a >= LEAST_S * self.rate]
            if parts:
                return start, parts
        return 0, [(0, length)]
