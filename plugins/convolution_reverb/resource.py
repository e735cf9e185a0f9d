"""The response as it is convolved with, from the recorded one: trim, length, decay, cuts, level, pre-delay. The twin does the
same in torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twinrack import _engine
from twinrack.audio import HIGH_CUT_OFF_HZ, LOW_CUT_OFF_HZ, Audio, whole_frames
from twinrack.rack.card import FILTER_SHAPES, Value
from twinrack.resources.response import Response

FADE_SHARE = 0.1  # of what is left, where the length cuts
RING_S = 0.4  # what a low cut adds at the end, at most: 120 dB at 10 Hz


def window(frames: int, values: Mapping[str, Value], sample_rate: float) -> tuple[int, int, np.ndarray]:
    """The used part of a response: its first frame, one past its last, and the fade at its end (ones where nothing is cut)."""
    first = min(whole_frames(float(values["trim_ms"]), sample_rate), frames - 1)
    length = min(frames - first, max(1, round(float(values["length_s"]) * sample_rate)))
    fade = np.ones(length)
    if first + length < frames:
        faded = max(1, int(FADE_SHARE * length))
        fade[-faded:] = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, faded + 1) / (faded + 1))
    return first, first + length, fade


def outputs(response_channels: int, channels: int) -> list[list[int]]:
    """The channels of the response that end in the same output, for each output."""
    true_stereo = response_channels == 4 and channels == 2
    return [[0, 2], [1, 3]] if true_stereo else [[c] for c in range(response_channels)]


def ring_frames(values: Mapping[str, Value], sample_rate: float) -> int:
    """Frames by which the cuts lengthen the response; 0 while they are off."""
    low, high = float(values["low_cut_hz"]), float(values["high_cut_hz"])
    if low > LOW_CUT_OFF_HZ:
        return int(RING_S * 10.0 / low * sample_rate) + 64
    return 64 if high < HIGH_CUT_OFF_HZ else 0


def through_cuts(samples: np.ndarray, values: Mapping[str, Value], sample_rate: float) -> np.ndarray:
    """The response through its cuts, in float64: so little may be left of it that float32 would be heard."""
    on = {"low_cut": float(values["low_cut_hz"]) > LOW_CUT_OFF_HZ, "high_cut": float(values["high_cut_hz"]) < HIGH_CUT_OFF_HZ}
    if not any(on.values()):
        return samples
    padded = np.pad(samples, ((0, 0), (0, ring_frames(values, sample_rate))))[None]
    for shape in (name for name, used in on.items() if used):
        number = FILTER_SHAPES.index(shape)
        c, _ = _engine.design_filters([number], False, [float(values[f"{shape}_hz"])], [0.0], [np.sqrt(0.5)], sample_rate)
        padded = _engine.sweep_forward("svf_cascade", padded, [np.asarray(c, np.float64).reshape(1, 1, 1, 5)], (), 1)[0]
    return np.asarray(padded[0])


def build(values: Mapping[str, Value], response: Response, sample_rate: float, channels: int) -> Audio:
    """The response as the engine convolves with it in a rack of so many channels, (channels, frames) float32."""
    samples = response.at(sample_rate)
    first, last, fade = window(samples.shape[1], values, sample_rate)
    decay = 10.0 ** (-float(np.float32(values["decay_db_per_s"])) / 20.0 * np.arange(last - first) / sample_rate)
    shaped = samples[:, first:last].astype(np.float64) * fade * decay
    shaped = through_cuts(shaped, values, sample_rate)
    if values["normalise"]:
        loudest = max(float(np.sum(shaped[rows] ** 2)) for rows in outputs(samples.shape[0], channels))
        shaped /= max(loudest, 1e-30) ** 0.5
    silence = whole_frames(float(values["pre_delay_ms"]), sample_rate)
    return np.ascontiguousarray(np.pad(shaped, ((0, 0), (silence, 0))), dtype=np.float32)
