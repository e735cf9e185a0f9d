"""Audio as NumPy arrays: conversion to (channels, frames) float32, channel layouts, sample rates."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _engine
from .checks import brief, must_be, to_float

Audio = npt.NDArray[np.float32]
MIN_RATE, MAX_RATE = 8000, 384000
LOW_CUT_OFF_HZ = 10.001  # at or below, a low cut that can be switched off is
HIGH_CUT_OFF_HZ = 19999.0  # at or above, a high cut is


def as_planar(x: npt.ArrayLike, what: str = "audio") -> tuple[Audio, bool]:
    """Bring audio to (channels, frames) float32, C-contiguous, without a copy where it already is.

    Args:
        x: (channels, frames) or (frames,); floats as they are, integers scaled so that full scale is 1.
        what: how to call it in an error.

    Returns:
        The array, and whether it came as one dimension.

    Raises:
        ValueError: wrong shape, no or too many channels, complex or object numbers.
    """
    if isinstance(x, str | os.PathLike):
        raise ValueError(
            f"{what} is the name of a file ({brief(x)}); give the sound: x, rate = soundfile.read(name, "
            "always_2d=True), then x.T; or render files with `twinrack render`"
        )
    a: npt.NDArray[Any] = _as_array(x, what)
    if a.dtype.kind in "iu":
        if a.dtype.itemsize > 4:
            raise ValueError(f"{what} is {a.dtype}; give int8, int16, int32 or floats, whose full scale is known")
        unsigned = a.dtype.kind == "u"
        half = 2.0 ** (8 * a.dtype.itemsize - 1)
        a = (a.astype(np.float64) - (half if unsigned else 0.0)) / half
    elif a.dtype.kind != "f":
        raise ValueError(f"{what} is {a.dtype}; give floats or integers")
    flat = a.ndim == 1
    if flat:
        a = a[None, :]
    if a.ndim != 2:
        raise ValueError(f"{what} has shape {a.shape}; give (channels, frames) or one dimension")
    channels, frames = a.shape
    if channels > _engine.MAX_CHANNELS and frames <= _engine.MAX_CHANNELS:
        raise ValueError(f"{what} has shape {a.shape}, which looks like (frames, channels); give (channels, frames): x.T")
    if not 1 <= channels <= _engine.MAX_CHANNELS:
        raise ValueError(f"{what} has {channels} channels; 1 to {_engine.MAX_CHANNELS} are possible")
    if a.dtype == np.float32:
        return np.ascontiguousarray(a), flat
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite, and the engine says so
        return np.ascontiguousarray(a, dtype=np.float32), flat


def _as_array(x: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    """The argument as an array.

    Raises:
        ValueError: lists of different lengths, or masked samples.
    """
    if isinstance(x, np.ma.MaskedArray) and np.ma.getmaskarray(x).any():
        raise ValueError(f"{what} has {int(np.ma.getmaskarray(x).sum())} masked samples; fill them first: x.filled(0.0)")
    try:
        return np.asarray(x)
    except Exception:  # lists of different lengths, or what an object of somebody else raises
        raise ValueError(f"{what} must be numbers of shape (channels, frames) or (frames,)") from None


Layout = Literal["mono", "stereo"]


def channels_of(layout: Layout | None, channels: int) -> int:
    """The number of channels of a layout; `channels` where the layout is None.

    Raises:
        ValueError: no such layout, or a sound of more than two channels.
    """
    if layout is None:
        return channels
    if layout not in ("mono", "stereo"):
        raise ValueError(f'channels = {brief(layout)}; give "mono", "stereo", or None for those of the sound')
    if channels > 2:
        raise ValueError(f"the sound has {channels} channels; only mono and stereo can be brought to {layout}")
    return 1 if layout == "mono" else 2


def in_layout(x: Audio, layout: Layout | None) -> Audio:
    """A sound, (channels, frames), in a layout: mono on both sides of stereo, or the mean of both sides as mono.

    Raises:
        ValueError: as `channels_of`.
    """
    wanted = channels_of(layout, x.shape[0])
    if wanted == x.shape[0]:
        return x
    return np.repeat(x, 2, axis=0) if wanted == 2 else np.ascontiguousarray(x.mean(0, keepdims=True, dtype=np.float32))


def whole_frames(ms: float, sample_rate: float) -> int:
    """Milliseconds as whole frames, rounded as the engine does, which keeps float32."""
    return int(float(np.float32(ms)) * 1e-3 * sample_rate + 0.5)


def check_rate(sample_rate: float) -> float:
    """The sample rate as a float.

    Raises:
        ValueError: not between 8 and 384 kHz.
    """
    rate = to_float(sample_rate)
    if rate is None or isinstance(sample_rate, bool | np.bool_):
        raise must_be("sample_rate", "a number in Hz, such as 48000", sample_rate)
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(f"sample rate {rate:g} Hz is outside {MIN_RATE} to {MAX_RATE} Hz")
    return rate
