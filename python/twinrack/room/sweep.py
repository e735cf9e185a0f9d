"""The exponential sine sweep, and the impulse response from what comes back of it (A. Farina, Simultaneous Measurement of
Impulse Response and Distortion with a Swept-Sine Technique, AES Convention 108, 2000)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..audio import Audio, as_planar, check_rate
from ..checks import check_number, count_nan, nan_in
from ..measure.deconvolution import quick_size

Numbers = npt.NDArray[np.float64]

LOWEST_HZ, HIGHEST_SHARE = 10.0, 0.48  # of the sample rate
KNOWN_SHARE = 0.45  # of the sample rate, from which the answer fades out: a sweep that ends says little there
SILENCE = 1e-7  # of a sweep's mean power over frequency; what it says less of is not divided by
FADE_S = 0.01


@dataclass(frozen=True)
class Sweep:
    """A sine whose frequency rises by the same ratio in each second, to be played and recorded.

    Attributes:
        sample_rate: Hz, 8000 to 384000.
        seconds: its length, 0.5 to 60; twice as long is 3 dB further above the noise.
        level_db: its peak in dBFS, at most 0.

    Raises:
        ValueError: values outside these ranges.
    """

    sample_rate: float = 48000.0
    seconds: float = 6.0
    level_db: float = -20.0

    def __post_init__(self) -> None:
        check_rate(self.sample_rate)
        check_number(self.seconds, "seconds", 0.5, 60.0)
        check_number(self.level_db, "level_db", -90.0, 0.0)

    @cached_property
    def samples(self) -> Audio:
        """(frames,) float32; it fades in and out over 10 ms."""
        time = np.arange(round(self.seconds * self.sample_rate)) / self.sample_rate
        ratio = np.log(HIGHEST_SHARE * self.sample_rate / LOWEST_HZ)
        phase = 2.0 * np.pi * LOWEST_HZ * self.seconds / ratio * np.expm1(time / self.seconds * ratio)
        fade = np.clip(np.minimum(time, time[-1] - time) / FADE_S, 0.0, 1.0)
        return np.asarray(10.0 ** (self.level_db / 20.0) * np.sin(phase) * (0.5 - 0.5 * np.cos(np.pi * fade)), np.float32)

    def response_of(self, recording: npt.ArrayLike, seconds: float = 1.0) -> Numbers:
        """The impulse response on the way from the sweep to a recording of it.

        Harmonics that a loudspeaker adds come out before the direct sound, and are cut off with what lies before it.

        Args:
            recording: (channels, frames) or (frames,) at the sweep's rate; it may begin any time before the sweep arrives.
            seconds: of the response, from the first frame of the recording's direct sound on.

        Returns:
            (channels, frames) float64; its first 2 ms lie before the direct sound of the channel where that comes first.

        Raises:
            ValueError: NaN, a recording shorter than the sweep, or one in which the sweep does not stand out.
        """
        y, _ = as_planar(recording, "the recording")
        nan = count_nan(y)
        if nan:
            raise ValueError(f"the recording has {nan_in(nan)}")
        x = self.samples
        if y.shape[1] < len(x):
            raise ValueError(
                f"the recording lasts {y.shape[1] / self.sample_rate:.2f} s, the sweep {self.seconds:g} s; record all of it"
            )
        before = round(2.0 * BEFORE_S * self.sample_rate)  # where the recording begins with the sweep
        return begun(deconvolved(x, np.pad(y, ((0, 0), (before, 0))), self.sample_rate), self.sample_rate, seconds)


def deconvolved(x: npt.ArrayLike, y: Audio, sample_rate: float) -> Numbers:
    """The response from a sweep x (frames,) to y (channels, frames), as long as y; later frames may lie before its begin."""
    size = quick_size(y.shape[1] + np.shape(x)[0])
    spectrum = np.fft.rfft(np.asarray(x, np.float64), size)
    power = np.abs(spectrum) ** 2
    share = np.fft.rfftfreq(size)  # of the sample rate
    known = 0.5 + 0.5 * np.cos(np.pi * np.clip((share - KNOWN_SHARE) / (HIGHEST_SHARE - KNOWN_SHARE), 0.0, 1.0))
    known *= np.clip(share * sample_rate / LOWEST_HZ, 0.0, 1.0)
    inverse = known * spectrum.conj() / (power + SILENCE * power.mean())
    return np.asarray(np.fft.irfft(np.fft.rfft(y.astype(np.float64), size) * inverse, size)[:, : y.shape[1]])


BEFORE_S = 0.002  # kept before the direct sound
ONSET = 0.1  # of the peak: where the direct sound begins
ONSET_S = 0.02  # before the peak, in which it is looked for: a harmonic of the loudspeaker comes earlier
CLEAR = 16.0  # how far the peak must stand above the root mean square; of noise it is 14, of a subwoofer 17 and more


def begun(h: Numbers, sample_rate: float, seconds: float) -> Numbers:
    """A response (channels, frames) from 2 ms before its first direct sound on.

    Raises:
        ValueError: `seconds` outside 0.01 to 30, or no direct sound.
    """
    seconds = check_number(seconds, "seconds", 0.01, 30.0)
    if not np.all(np.abs(h).max(1) > CLEAR * np.sqrt(np.mean(h**2, 1))):
        raise ValueError("the sweep does not stand out of the recording; record it louder, or check that it is this sweep")
    first = min(onset(row, sample_rate) for row in h)
    begin = max(first - round(BEFORE_S * sample_rate), 0)
    return h[:, begin : begin + round(seconds * sample_rate)].copy()


def onset(h: Numbers, sample_rate: float) -> int:
    """The frame in which the direct sound of a response (frames,) begins."""
    size = np.abs(h)
    peak = int(np.argmax(size))
    begin = max(peak - round(ONSET_S * sample_rate), 0)
    return begin + int(np.argmax(size[begin : peak + 1] >= ONSET * size[peak]))
