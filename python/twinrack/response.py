"""An impulse response: samples with their sample rate, from a file or an array, at any rate that is asked for."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from .audio import Audio, as_planar, check_rate
from .resource import Resource

LONGEST_S = 30.0


class Response(Resource):
    """An impulse response that an effect is given.

    Args:
        samples: (channels, frames) or (frames,); 1 to 16 channels, at most 30 s.
        sample_rate: Hz, 8000 to 192000.
        source: where it came from, for people.

    Raises:
        ValueError: empty, too long, not finite, silent, or of a wrong shape.
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
            raise ValueError("the impulse response has numbers that are not finite; record or export it anew")
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
        from .files import read_audio

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
        """(channels, frames) float32 at another rate; the gain over frequency stays."""
        sample_rate = check_rate(sample_rate)
        if sample_rate == self.sample_rate:
            return self._samples
        if sample_rate not in self._at:
            import soxr

            turned = soxr.resample(self._samples.T.astype(np.float64), self.sample_rate, sample_rate, quality="VHQ")
            if turned.shape[0] == 0:  # shorter than one frame of the new rate
                turned = self._samples.sum(1, keepdims=True).T
            self._at[sample_rate] = np.ascontiguousarray(turned.T * (self.sample_rate / sample_rate), dtype=np.float32)
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
