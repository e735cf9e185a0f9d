"""From the recorded response to the one that is convolved with: trim, length, decay, level, pre-delay. The twin does the
same in torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twinrack.audio import Audio, whole_frames
from twinrack.card import Value

FADE_SHARE = 0.1  # of what is left, where the length cuts


def window(frames: int, values: Mapping[str, Value], sample_rate: float) -> tuple[int, int, np.ndarray]:
    """What is kept: its first frame, one past its last, and the fade at its end (ones where nothing is cut)."""
    first = min(whole_frames(float(values["trim_ms"]), sample_rate), frames - 1)
    kept = min(frames - first, max(1, round(float(values["length_s"]) * sample_rate)))
    fade = np.ones(kept)
    if first + kept < frames:
        length = max(1, int(FADE_SHARE * kept))
        fade[-length:] = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, length + 1) / (length + 1))
    return first, first + kept, fade


def outputs(channels: int) -> list[list[int]]:
    """Which channels of the response end in the same output."""
    return [[0, 2], [1, 3]] if channels == 4 else [[c] for c in range(channels)]


def build(values: Mapping[str, Value], samples: Audio, sample_rate: float) -> Audio:
    """The response as the engine convolves with it, (channels, frames) float32."""
    first, last, fade = window(samples.shape[1], values, sample_rate)
    decay = 10.0 ** (-float(np.float32(values["decay_db_per_s"])) / 20.0 * np.arange(last - first) / sample_rate)
    shaped = samples[:, first:last].astype(np.float64) * fade * decay
    if values["normalise"]:
        loudest = max(float(np.sum(shaped[rows] ** 2)) for rows in outputs(samples.shape[0]))
        shaped /= max(loudest, 1e-30) ** 0.5
    silence = whole_frames(float(values["pre_delay_ms"]), sample_rate)
    return np.ascontiguousarray(np.pad(shaped, ((0, 0), (silence, 0))), dtype=np.float32)
