"""The impulse response between two recordings: what is linear and does not change on the way from one to the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import Audio, as_planar, check_rate
from ..checks import must_be
from ..resources.response import LONGEST_S, Response
from ..system.interrupt import check

Numbers = npt.NDArray[np.float64]

USUAL_S = 3.0  # of a response
MOST_CHANNELS = 2
PENALTY = 1e-5  # on a response's energy, relative to the mean power of the dry sound over frequency
MOST_STEPS, STEPS_AT_ONCE = 120, 10
SHORTENED, MUCH_SHORTER = 2, 0.8
BLOCK_S, FEWEST_BLOCKS, ABOVE_FLOOR, LITTLE_MORE = 0.01, 12, 4.0, 1.2
ENOUGH = 1e-20  # of the first gradient's energy
BETTER = 0.98  # energy that so many steps must leave on what is kept apart
SHARE, STRETCH_S = 0.2, 1.0  # kept apart at the end of each stretch of so many seconds


def impulse_response_of(
    dry: npt.ArrayLike,
    wet: npt.ArrayLike,
    sample_rate: float,
    *,
    seconds: float | None = None,
    frames: Sequence[tuple[int, int]] | None = None,
) -> Response:
    """The impulse response with which `dry` comes nearest to `wet`: of a room, a reverb, a cabinet, or any filter.

    Least squares over the whole recording by conjugate gradients, which find the loud parts of a response first and what the
    recording hardly says last; they end where stretches that were kept apart are predicted best (M. Hanke, Conjugate Gradient
    Type Methods for Ill-Posed Problems, 1995). What changes over time (modulation) or with the level (distortion) is in no
    response.

    Where the answer ends in what seems noise, a shorter one is looked for, and taken if it predicts them as well.

    Args:
        dry, wet: (channels, frames) or (frames,), of the same length and channels, one or two; aligned, or `wet` later.
        sample_rate: Hz.
        seconds: length of the response, up to 30 and at most half of the recording; None: 3, or that half.
        frames: stretches of `wet` (begin, end) that are looked at; None: all.

    Returns:
        One channel for mono. For stereo four: left to left, left to right, right to left, right to right, as
        `ConvolutionReverb` takes them. It contains the direct sound, so it is played with `mix` 1 and without `normalise`.

    Raises:
        ValueError: shapes or lengths that do not fit, or a silent recording.
    """
    rate = check_rate(sample_rate)
    x, _ = as_planar(dry, "dry")
    y, _ = as_planar(wet, "wet")
    if x.shape != y.shape:
        raise ValueError(f"dry is {x.shape} and wet is {y.shape}; give them the same channels and length")
    if x.shape[0] > MOST_CHANNELS:
        raise ValueError(f"dry has {x.shape[0]} channels; one or two are possible")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the recordings contain NaN or infinity")
    if not x.any() or not y.any():
        raise ValueError(f"{'wet' if x.any() else 'dry'} is silent, so it says nothing of a response")
    longest = min(LONGEST_S, 0.5 * x.shape[1] / rate)
    if seconds is not None and not 0.0 < seconds <= longest:
        raise must_be("seconds", f"above 0 and at most {longest:.3g}, half of the recording or {LONGEST_S:.0f}", seconds)
    length = max(int(min(USUAL_S if seconds is None else seconds, longest) * rate), 1)
    looked_at = np.zeros(x.shape[1], bool)
    for begin, end in [(0, x.shape[1])] if frames is None else frames:
        looked_at[begin:end] = True
    h, left = _Deconvolution(x, y, length, looked_at, rate).solve()
    for _ in range(SHORTENED):
        shorter = _end(h, rate)
        if shorter > MUCH_SHORTER * h.shape[1]:
            break
        other, left_by_other = _Deconvolution(x, y, shorter, looked_at, rate).solve()
        if left_by_other > left:
            break
        h, left = other, left_by_other
    return Response(h, rate, "read from two recordings")


def _end(h: Numbers, rate: float) -> int:
    """Frames until a response is no more than what the method left everywhere, and a little."""
    size, length = max(int(BLOCK_S * rate), 1), int(h.shape[1])
    blocks = length // size
    if blocks < FEWEST_BLOCKS:
        return length
    power = np.mean(h[:, : blocks * size].reshape(h.shape[0], blocks, size) ** 2, (0, 2))
    above = np.flatnonzero(power > ABOVE_FLOOR * np.median(power[-(blocks // 4) :]))
    return min(int(LITTLE_MORE * (int(above[-1]) + 1) * size), length) if above.size else length


class _Deconvolution:
    """The response from x to y (channels, frames): h (into, from, length), by conjugate gradients."""

    def __init__(self, x: Audio, y: Audio, length: int, looked_at: npt.NDArray[np.bool_], rate: float) -> None:
        self.y, self.length, self.rate = torch.from_numpy(y.astype(np.float64)), length, rate
        stretch = max(int(STRETCH_S * rate), 1)
        apart = np.arange(x.shape[1]) % stretch >= (1.0 - SHARE) * stretch
        self.looked_at, self.apart = torch.from_numpy(looked_at), torch.from_numpy(looked_at & apart)
        self.size = quick_size(x.shape[1] + length)
        sound = torch.from_numpy(x.astype(np.float64))
        self.spectrum = torch.fft.rfft(sound, self.size)
        self.power = float(sound.square().sum()) / x.shape[0]
        # How the sound weighs a filter at each frequency, at the resolution of the response.
        self.short = quick_size(2 * length)
        correlations = torch.fft.irfft(self.spectrum[:, None].conj() * self.spectrum[None], self.size)
        taper = 1.0 - torch.arange(length, dtype=torch.float64) / length
        folded = torch.zeros(*correlations.shape[:2], self.short, dtype=torch.float64)
        folded[..., :length] = correlations[..., :length] * taper
        folded[..., -length + 1 :] = correlations[..., -length + 1 :] * taper[1:].flip(0)
        self.weights = torch.fft.rfft(folded).permute(2, 0, 1)  # bins, from, from

    def solve(self) -> tuple[Numbers, float]:
        """(responses, length), all from the first channel, then all from the second; and the energy that was left in the
        stretches that were kept apart."""
        nearest, steps = np.inf, 0
        for count, h in self._steps(self.looked_at & ~self.apart):
            left = float((self._through(h) - self.y)[:, self.apart].square().sum())
            enough = left >= BETTER * nearest
            if left < nearest:
                nearest, steps = left, count
            if enough:
                break
        h = next(h for count, h in self._steps(self.looked_at) if count >= steps)
        return np.asarray(h.transpose(0, 1).reshape(-1, self.length)), nearest

    def _through(self, h: Tensor) -> Tensor:
        spectrum = (torch.fft.rfft(h, self.size) * self.spectrum).sum(1)
        sound: Tensor = torch.fft.irfft(spectrum, self.size)[:, : self.y.shape[1]]
        return sound

    def _back(self, e: Tensor) -> Tensor:
        """The adjoint of `_through`."""
        products = torch.fft.rfft(e, self.size)[:, None] * self.spectrum.conj()
        h: Tensor = torch.fft.irfft(products, self.size)[..., : self.length]
        return h

    def _steps(self, mask: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The response after each few steps from 0, and their number; preconditioned by the inverse of the sound's spectrum."""
        channels = self.y.shape[0]
        cost = PENALTY * self.power
        own = float(mask.double().mean()) * self.weights + cost * torch.eye(channels, dtype=torch.float64)
        inverse = torch.linalg.inv(own).permute(1, 2, 0)  # from, from, bins

        def precondition(r: Tensor) -> Tensor:
            spectrum = (torch.fft.rfft(r, self.short)[:, None] * inverse).sum(2)
            z: Tensor = torch.fft.irfft(spectrum, self.short)[..., : self.length]
            return z

        h = torch.zeros(channels, channels, self.length, dtype=torch.float64)
        r = self._back(self.y * mask)
        p = z = precondition(r)
        energy = float((r * z).sum())
        first = energy
        for number in range(1, MOST_STEPS + 1):
            check()
            if energy > ENOUGH * first:
                q = self._back(self._through(p) * mask) + cost * p
                step = energy / float((p * q).sum())
                h += step * p
                r -= step * q
                z = precondition(r)
                before, energy = energy, float((r * z).sum())
                p = z + (energy / before) * p
            if number % STEPS_AT_ONCE == 0:
                yield number, h


def quick_size(least: int) -> int:
    """The next size whose transform is quick: a power of two, or three or five times one."""
    return min(odd << max(int(np.ceil(np.log2(least / odd))), 0) for odd in (1, 3, 5))
