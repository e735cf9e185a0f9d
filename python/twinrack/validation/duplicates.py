"""Recordings that hold the same sound, at another level or somewhat degraded, by their fingerprints.

J. Haitsma, T. Kalker, A highly robust audio fingerprinting system, ISMIR 2002: one bit for each band and frame, the sign of the
difference of energies of neighbouring bands between neighbouring frames. Two different sounds agree in half of the bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from .recordings import Recording

SIZE_S, HOP_S = 0.128, 0.016
EDGES_HZ = np.geomspace(200.0, 3500.0, 18)
SHORTEST_S = 1.0
SAME = 0.75  # of the bits
QUIET = 1e-10
AT_ONCE = 256  # frames

Bits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Duplicate:
    """Two recordings that hold the same sound.

    Attributes:
        first, second: their names.
        seconds: of the sound that they share.
        later_s: by how much it comes later in the second.
        leaks: one is for training and the other held out.
    """

    first: str
    second: str
    seconds: float
    later_s: float
    leaks: bool

    def __str__(self) -> str:
        text = f"{self.first} and {self.second} hold the same {self.seconds:.1f} s"
        return f"{text}, one for training and one held out: held-out figures say too little" if self.leaks else text


def fingerprint(x: Audio, sample_rate: float) -> Bits:
    """Bits (bands, frames) as -1 and 1; 0 where it is silent."""
    size, hop = round(SIZE_S * sample_rate), round(HOP_S * sample_rate)
    if x.shape[1] < size + hop:
        return np.zeros((EDGES_HZ.size - 2, 0), np.float32)
    window = np.hanning(size)
    places = np.searchsorted(np.fft.rfftfreq(size, 1.0 / sample_rate), EDGES_HZ)
    parts = []
    starts = np.arange(0, x.shape[1] - size + 1, hop)
    for first in range(0, starts.size, AT_ONCE):
        some = starts[first : first + AT_ONCE]
        power = np.zeros((some.size, size // 2 + 1))
        for channel in x:  # powers, as channels may be each other's opposite
            frames = np.stack([channel[s : s + size] for s in some]).astype(np.float64)
            power += np.abs(np.fft.rfft(frames * window, axis=-1)) ** 2
        parts.append(np.add.reduceat(power, places, axis=1)[:, :-1])
    energy = np.concatenate(parts)
    across = energy[:, :-1] - energy[:, 1:]
    bits = np.sign(across[1:] - across[:-1])
    audible = energy.sum(1) > QUIET * size**2
    bits[~(audible[1:] & audible[:-1])] = 0.0
    return np.asarray(bits.T, np.float32)


def duplicates(recordings: Sequence[Recording], sample_rate: float) -> list[Duplicate]:
    """All pairs that hold the same sound for a second or longer."""
    prints = [fingerprint(r.dry, sample_rate) for r in recordings]
    shortest = round(SHORTEST_S / HOP_S)
    pairs = []
    for j in range(len(recordings)):
        for i in range(j):
            if min(prints[i].shape[1], prints[j].shape[1]) < shortest:
                continue
            seconds, later = _shared(prints[i], prints[j], shortest)
            if seconds > 0.0:
                a, b = recordings[i], recordings[j]
                pairs.append(Duplicate(a.name, b.name, seconds, later, a.held_out != b.held_out))
    return pairs


def _shared(a: Bits, b: Bits, shortest: int) -> tuple[float, float]:
    """Seconds that two fingerprints share, and by how much they come later in the second; 0 where they share nothing."""
    size = 1 << (a.shape[1] + b.shape[1]).bit_length()
    spectra = [np.fft.rfft(p, size, axis=1) for p in (a, b)]
    cross = np.fft.irfft((np.conj(spectra[0]) * spectra[1]).sum(0), size)
    lags = np.concatenate([np.arange(b.shape[1]), np.arange(-a.shape[1] + 1, 0)])
    lag = int(lags[np.argmax(cross[lags % size])])
    first = max(0, -lag)
    count = min(a.shape[1] - first, b.shape[1] - first - lag)
    if count < shortest:
        return 0.0, 0.0
    agree = (a[:, first : first + count] * b[:, first + lag : first + lag + count]).mean(0)
    smooth = np.convolve(agree, np.full(shortest, 1.0 / shortest), "valid")
    same = int(np.count_nonzero(smooth > 2.0 * SAME - 1.0))
    return ((same + shortest - 1) * HOP_S if same else 0.0), lag * HOP_S
