"""The sounds of a listening test: at one loudness, equally long, with the anchors that a MUSHRA test needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import soxr

from ..audio import Audio
from ..checks import brief
from ..measure.difference import difference_db
from ..measure.loudness import loudness

LEAST_S, MOST_S = 0.5, 60.0
QUIETER_DB = 1.0  # than full scale, after the loudness was matched
SILENT_LUFS = -69.0
FADE_S = 0.005  # at both ends, as sounds are played in loops
ANCHORS = {"anchor 3.5 kHz": 3500.0, "anchor 7 kHz": 7000.0}  # ITU-R BS.1534-3, 5.1: limits of the pass-band in Hz
LOW_ANCHOR, MID_ANCHOR = ANCHORS
LEAST_ANCHOR_DB = -60.0  # that an anchor must take away, relative to the reference
REFERENCE = "hidden reference"


@dataclass(frozen=True)
class Item:
    """One recording of a test in all its conditions.

    Attributes:
        name: shown to nobody before the end.
        conditions: sounds by the name of what made them, each (channels, frames), one or two channels, equally long.
        reference: what they should sound like; None where there is no such thing.
    """

    name: str
    conditions: Mapping[str, Audio]
    reference: Audio | None = None


@dataclass(frozen=True)
class Prepared:
    """An item as it is played.

    Attributes:
        name: of the item.
        sounds: by name, the reference, where there is one, under `REFERENCE`; float32, peaks below full scale.
        gained_db: what each was turned up or down by.
        given: the sounds before that, for measures.
    """

    name: str
    sounds: Mapping[str, Audio]
    gained_db: Mapping[str, float]
    given: Mapping[str, Audio] = field(repr=False)


def prepared(item: Item, rate: float, *, anchors: bool = False, match: bool = True) -> Prepared:
    """An item at one loudness: that of its reference, or else of its quietest sound.

    Args:
        item: with sounds at `rate`.
        rate: Hz.
        anchors: add the reference through 3.5 and 7 kHz low-passes.
        match: give all the same loudness (ITU-R BS.1770).

    Raises:
        ValueError: sounds that do not fit each other, are silent, too short or long, or have NaN; one sentence with the item.
    """
    who = brief(item.name)
    given = {} if item.reference is None else {REFERENCE: item.reference}
    given |= dict(item.conditions)
    sounds = {name: np.atleast_2d(np.asarray(x, np.float32)) for name, x in given.items()}
    first = next(iter(sounds.values()))
    for name, x in sounds.items():
        if x.shape != first.shape or x.shape[0] > 2:
            raise ValueError(
                f"{who}: the sounds are {_shape(first)} and {_shape(x)} ({brief(name)}); give all alike, of one or two channels"
            )
        if not np.isfinite(x).all():
            raise ValueError(f"{who}: {brief(name)} has NaN or infinity in it")
    if not LEAST_S * rate <= first.shape[1] <= MOST_S * rate:
        raise ValueError(f"{who} has {first.shape[1] / rate:.1f} s; give {LEAST_S:g} to {MOST_S:g} s (8 to 12 s are usual)")
    if anchors:
        sounds |= {name: low_passed(sounds[REFERENCE], rate, hz) for name, hz in ANCHORS.items()}
    if anchors:
        for name, hz in ANCHORS.items():
            if difference_db(sounds[name], sounds[REFERENCE]) < LEAST_ANCHOR_DB:
                raise ValueError(
                    f"{who} has nothing above {hz / 1000:g} kHz, so the anchor is the reference itself; take a brighter sound, "
                    "a higher sample rate, or the kind bs1116, which has no anchors"
                )
    levels = {name: float(loudness(x, rate).integrated) for name, x in sounds.items()}
    if silent := next((name for name, level in levels.items() if level < SILENT_LUFS), None):
        raise ValueError(f"{who}: {brief(silent)} is silent")
    aim = levels.get(REFERENCE, min(levels.values()))
    gains = {name: 10 ** ((aim - level) / 20) if match else 1.0 for name, level in levels.items()}
    peak = max(float(np.max(np.abs(x))) * gains[name] for name, x in sounds.items())
    lower = min(1.0, 10 ** (-QUIETER_DB / 20) / peak)
    edges = _edges(first.shape[1], rate)
    played = {name: (x * np.float32(gains[name] * lower) * edges).astype(np.float32) for name, x in sounds.items()}
    return Prepared(item.name, played, {name: round(20 * float(np.log10(g * lower)), 2) for name, g in gains.items()}, sounds)


def low_passed(x: Audio, rate: float, hz: float) -> Audio:
    """A sound without what lies above a frequency, by a steep linear-phase filter: down from `hz` on, as BS.1534-3 asks.

    The filter is that of a change of the sample rate to 2.2 times the frequency, and back.
    """
    low = 2.2 * hz
    if low >= rate:
        return x
    small = soxr.resample(np.ascontiguousarray(x.T), rate, low, quality="VHQ")
    back = np.asarray(soxr.resample(small, low, rate, quality="VHQ"), np.float32).T
    out = np.zeros_like(x)
    frames = min(back.shape[1], x.shape[1])
    out[:, :frames] = back[:, :frames]
    return out


def _edges(frames: int, rate: float) -> Audio:
    edges = np.ones(frames, np.float32)
    ramp = np.linspace(0.0, 1.0, max(int(FADE_S * rate), 2), dtype=np.float32)
    edges[: ramp.size], edges[-ramp.size :] = ramp, ramp[::-1]
    return edges


def _shape(x: Audio) -> str:
    return f"{x.shape[0]} channels × {x.shape[1]} frames"
