"""Recordings that a live stream plays in place of its input."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio import Audio, as_planar
from ..checks import count_nan, nan_in
from ..files.audio_file import read_audio

Recording = npt.ArrayLike | str | os.PathLike[str]
Play = Recording | tuple[Recording] | tuple[Recording, Recording | None]


def read_recordings(play: Play, sample_rate: float) -> tuple[Audio, Audio]:
    """The dry recording and its target, (channels, frames) float32; a target that is None, or left out, has no channels.

    Raises:
        ValueError: not one or two recordings, another sample rate, unequal lengths, no frames, or NaN or infinity.
    """
    pair: Sequence[Any] = play if isinstance(play, tuple | list) else (play, None)
    if not 1 <= len(pair) <= 2 or pair[0] is None or any(isinstance(item, bool | int | float) for item in pair):
        raise ValueError("play takes a recording, or (dry, target): files, or arrays (channels, frames) at the stream's rate")
    recordings = []
    for item, what in zip(pair, ("dry", "target"), strict=False):
        if item is None:
            continue
        if isinstance(item, str | os.PathLike):
            x, file_rate = read_audio(item)
            if file_rate != sample_rate:
                raise ValueError(
                    f"{item} has {file_rate:g} Hz, the stream {sample_rate:g} Hz; "
                    "resample it, or open the stream with that rate"
                )
        else:
            x = as_planar(item, what)[0]
        if x.shape[1] == 0:
            raise ValueError(f"the {what} recording is empty")
        nan = count_nan(x)
        if nan:
            raise ValueError(f"the {what} recording has {nan_in(nan)}")
        recordings.append(np.ascontiguousarray(x, np.float32))
    dry = recordings[0]
    if len(recordings) == 1:
        return dry, np.zeros((0, dry.shape[1]), np.float32)
    if dry.shape[1] != recordings[1].shape[1]:
        raise ValueError(f"dry has {dry.shape[1]} frames, target {recordings[1].shape[1]}; make them equal")
    return dry, recordings[1]
