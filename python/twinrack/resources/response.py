"""An impulse response: samples with their sample rate, from a file or an array, at any rate that is asked for."""

from __future__ import annotations

import functools
import os
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio import Audio, as_planar, check_rate
from ..checks import count_nan, nan_in
from .resource import Resource

LONGEST_S = 30.0
_PASS, _STOP_DB = 0.92, -120.0  # of the lower Nyquist frequency; attenuation from that frequency itself on
_RING_FRAMES = 2048  # after which the low-pass filter has died away, in frames of the lower rate


class Response(Resource):
    """An impulse response that an effect is given.

    Args:
        samples: (channels, frames) or (frames,); 1 to 16 channels, at most 30 s.
        sample_rate: Hz, 8000 to 384000.
        source: where it came from, for people.

    Raises:
        ValueError: empty, too long, NaN or infinity in it, silent, or of a wrong shape.
    """

    type = "response"
    sample_rate: float

    def __init__(self, samples: npt.ArrayLike, sample_rate: float, source: str = "") -> None:
        array, _ = as_planar(samples, "the impulse response")
        self.sample_rate = check_rate(sample_rate)
        self.source = source
        if array.shape[1] == 0:
            raise ValueError("the impulse response is empty")
        if array.shape[1] > LONGEST_S * self.sample_rate:
            raise ValueError(f"the impulse response lasts {array.shape[1] / self.sample_rate:.1f} s; up to 30 s are possible")
        if not np.isfinite(array).all():
            raise ValueError(f"the impulse response has {nan_in(count_nan(array))}; record or export it again")
        if not array.any():
            raise ValueError("the impulse response is silent")
        self._samples: Audio = array.copy()
        self._samples.flags.writeable = False
        self._at: dict[float, Audio] = {}

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Response:
        """From a sound file.

        Raises:
            FileNotFoundError, ValueError: as for any sound file.
        """
        from ..files.audio_file import read_audio

        samples, sample_rate = read_audio(path)
        return cls(samples, sample_rate, os.fspath(path))

    @classmethod
    def of(cls, given: object) -> Response:
        """From what a user may give: a Response, a path, or (samples, sample_rate)."""
        if isinstance(given, Response):
            return given
        if isinstance(given, (str, os.PathLike)):
            return cls.read(given)
        if isinstance(given, tuple) and len(given) == 2 and np.ndim(given[1]) == 0:
            return cls(given[0], given[1])
        raise TypeError("an impulse response is a path, (samples, sample_rate), or a tr.Response")

    @property
    def samples(self) -> Audio:
        """(channels, frames) float32 at its own rate; not to be written to."""
        return self._samples

    @property
    def channels(self) -> int:
        return int(self._samples.shape[0])

    @property
    def seconds(self) -> float:
        return float(self._samples.shape[1] / self.sample_rate)

    def at(self, sample_rate: float) -> Audio:
        """(channels, frames) float32 at another rate, with the same gain over frequency (see `resampled`)."""
        sample_rate = check_rate(sample_rate)
        if sample_rate == self.sample_rate:
            return self._samples
        if sample_rate not in self._at:
            longest = int(LONGEST_S * sample_rate)
            self._at[sample_rate] = resampled(self._samples, self.sample_rate, sample_rate)[:, :longest].copy()
        return self._at[sample_rate]

    def check(self, address: str, sample_rate: float, channels: int | None) -> None:
        """As `Resource.check`: 1, 2, as many channels as the rack, or 4 for true stereo."""
        if channels is not None and self.channels not in {1, 2, channels, 4 if channels == 2 else 1}:
            raise ValueError(
                f"the response of {address} has {self.channels} channels, the sound {channels}; give 1, 2, as many or 4 for "
                "true stereo"
            )

    def learned(self, numbers: npt.NDArray[np.float32], sample_rate: float) -> Response:
        """The trained response; where training left it, the recording at its own rate."""
        return self if np.array_equal(numbers, self.at(sample_rate)) else Response(numbers, sample_rate)

    def to_patch(self) -> tuple[dict[str, Any], Audio]:
        """As `Resource.to_patch`."""
        return {"sample_rate": self.sample_rate, "source": self.source}, self.samples

    @classmethod
    def from_patch(cls, entry: dict[str, Any], numbers: npt.NDArray[Any]) -> Response:
        """As `Resource.from_patch`."""
        if entry.get("sample_rate") is None:
            raise ValueError("sample_rate is missing")
        return cls(numbers, entry["sample_rate"], entry.get("source", ""))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Response):
            return NotImplemented
        return self.sample_rate == other.sample_rate and np.array_equal(self._samples, other._samples)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Response {self.channels} × {self.seconds:.3g} s at {self.sample_rate:g} Hz>"

    def __reduce__(self) -> Any:
        return Response, (np.array(self._samples), self.sample_rate, self.source)


def _log_gain(place: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Of the low-pass filter at frequencies that count from the lower Nyquist frequency."""
    falling = np.clip((place - _PASS) / (1.0 - _PASS), 0.0, 1.0)
    gain: npt.NDArray[Any] = np.log(10.0) / 20.0 * _STOP_DB * (0.5 - 0.5 * np.cos(np.pi * falling))
    return gain


@functools.cache
def _low_pass_phase() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The minimum phase for that gain, in radians, and its frequencies, computed at 16 times the lower rate, so
    that the filter is causal between its samples as well."""
    times, size = 16, 1 << 17
    place = np.arange(size // 2 + 1) * (2.0 * times / size)
    cepstrum = np.fft.irfft(_log_gain(place), size)
    cepstrum[1 : size // 2] *= 2.0
    cepstrum[size // 2 + 1 :] = 0.0
    return place, np.fft.rfft(cepstrum).imag


def resampled(samples: Audio, from_hz: float, to_hz: float) -> Audio:
    """A response at another rate: the same gain over frequency up to 0.92 of the lower Nyquist frequency, whatever its length
    and wherever it begins; nothing rings before its first frame.

    The spectrum is taken over as it is, times a low-pass filter of minimum phase, so that the result is causal without being
    delayed: low frequencies come at most 4 frames (of the lower rate) later. The phase is that of the logarithmic magnitude's
    Hilbert transform, by the cepstrum (A. V. Oppenheim, R. W. Schafer, Discrete-Time Signal Processing, ch. 13).

    Args:
        samples: (channels, frames) float32.
        from_hz, to_hz: sample rates in Hz.

    Returns:
        (channels, frames) float32, as long as before plus what the filter rings.
    """
    ratio = Fraction(to_hz).limit_denominator(1000) / Fraction(from_hz).limit_denominator(1000)
    ratio = ratio.limit_denominator(1 << 18)
    frames, lower_hz = samples.shape[1], min(from_hz, to_hz)
    seconds = frames / from_hz + 2 * _RING_FRAMES / lower_hz
    turns = int(np.ceil(seconds * from_hz / ratio.denominator))  # of the shortest time that is whole in both rates
    size, new_size = turns * ratio.denominator, turns * ratio.numerator
    place = np.arange(new_size // 2 + 1) * (from_hz / size) / (0.5 * lower_hz)
    low_pass = np.exp(_log_gain(place) + 1j * np.interp(place, *_low_pass_phase()))
    image = np.arange(new_size // 2 + 1) % size  # above the old Nyquist frequency the spectrum repeats
    turned = np.stack(
        [np.fft.irfft(np.fft.fft(channel.astype(np.float64), size)[image] * low_pass, new_size) for channel in samples]
    )
    end = int(np.ceil(frames * ratio))
    ring = np.flatnonzero(np.abs(turned[:, end : new_size - new_size // 4]).max(0) > 1e-6 * np.abs(turned).max())
    return np.ascontiguousarray(turned[:, : end + (int(ring[-1]) + 1 if ring.size else 0)], dtype=np.float32)
