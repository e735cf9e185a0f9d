"""The origin of the output's loudest moment: how much of its energy comes from which time of the input, and a check of that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..rack.rack import Rack
from .relevance_map import Relevance, relevance

Numbers = npt.NDArray[np.float64]

MOMENT_S, BEFORE_S, FRAME_S = 0.1, 2.0, 0.01
REMOVED, DRAWS = 0.2, 8  # the share of frames that the check silences, and how often at random


@dataclass(frozen=True, eq=False)
class Origin:
    """A division of the energy of the output's loudest moment over the time of the input.

    Attributes:
        start_s, end_s: of the moment, in seconds of the sound.
        relevance: of the input's samples, as it was divided.
        times_s: of the middles of frames of 10 ms.
        shares: of the energy, by frame; their sum is 1 less what biases and curves add.
        detector: by way of gains that follow the sound, by frame, relative to the energy; no part of the sum.
        now: the share of the input of that moment (latency is compensated); the rest sounded before.
        deletion: the share of the energy that goes away with the fifth of the frames that has the most relevance.
        deletion_random: the same with any fifth of the frames, a mean.
    """

    start_s: float
    end_s: float
    relevance: Relevance
    times_s: Numbers
    shares: Numbers
    detector: Numbers
    now: float
    deletion: float
    deletion_random: float

    @property
    def holds(self) -> bool:
        """Whether removing what is called relevant takes more away than removing anything else."""
        return self.deletion > self.deletion_random

    def __str__(self) -> str:
        doubt = "" if self.holds else "; do not rely on this"
        before = float(self.shares.sum()) - self.now
        return (
            f"Of the output's loudest moment ({self.start_s:.2f} to {self.end_s:.2f} s) {100 * self.now:.0f} % comes from the "
            f"input of that moment and {100 * before:.0f} % from before (checked: without the most relevant fifth of the input "
            f"{100 * self.deletion:.0f} % of its energy is gone, without any fifth {100 * self.deletion_random:.0f} %; the sum "
            f"is conserved within {max(100 * abs(self.relevance.lost), 0.01):.2g} %{doubt})"
        )


def origin(rack: Rack, sound: Audio, output: Audio, rate: float) -> Origin | None:
    """The origin of the output's loudest 0.1 s, in the 2 s before it; None where the output is silent or shorter.

    Args:
        rack: it is not changed; every effect has a twin, and none has a sidechain.
        sound, output: (channels, frames), at `rate` in Hz.
    """
    length = round(MOMENT_S * rate)
    if sound.shape[1] < length:
        return None
    energy = np.concatenate([[0.0], np.cumsum(np.sum(output.astype(np.float64) ** 2, 0))])
    windows = energy[length:] - energy[:-length]
    earliest = min(round(BEFORE_S * rate), windows.size // 2)  # so that there is something before it
    end = earliest + int(np.argmax(windows[earliest:])) + length
    if windows[end - length] <= 0.0:
        return None
    first = max(end - length - round(BEFORE_S * rate), 0)
    part = np.ascontiguousarray(sound[:, first:end])
    moment = ((end - length - first) / rate, (end - first) / rate)
    divided = relevance(rack, part, rate, moment)
    size = round(FRAME_S * rate)
    edges = np.arange(part.shape[1], -1, -size)[::-1]  # whole frames, the last ends with the moment
    edges = edges if edges[0] == 0 else np.concatenate([[0], edges])
    shares, detector = (
        np.add.reduceat(numbers.sum(0), edges[:-1]) / divided.energy for numbers in (divided.input, divided.detector)
    )
    now = float(divided.input[:, part.shape[1] - length :].sum()) / divided.energy
    chosen = np.argsort(-shares)[: max(round(REMOVED * shares.size), 1)]
    whole = _energy(rack, part, rate, length)

    def deletion(frames: npt.NDArray[np.intp]) -> float:
        """The share of the moment's energy that silence in some frames of the input takes away."""
        quiet = part.copy()
        for f in frames:
            quiet[:, edges[f] : edges[f + 1]] = 0.0
        return 1.0 - _energy(rack, quiet, rate, length) / max(whole, 1e-30)

    random = np.random.default_rng(0)
    any_ = [deletion(random.permutation(shares.size)[: chosen.size]) for _ in range(DRAWS)]
    times = first / rate + 0.5 * (edges[1:] + edges[:-1]) / rate
    return Origin(
        (end - length) / rate, end / rate, divided, times, shares, detector, now, deletion(chosen), float(np.mean(any_))
    )


def _energy(rack: Rack, x: Audio, rate: float, length: int) -> float:
    """Of the last `length` frames of what the rack makes of a sound."""
    return float(np.sum(np.asarray(rack.copy()(x, rate))[:, -length:].astype(np.float64) ** 2))
