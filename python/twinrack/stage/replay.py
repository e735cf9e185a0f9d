"""Replay of a take: the live stream's mixer over the recorded input, with every change at its frame, to the same samples."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from .. import _engine
from ..audio import Audio
from ..formats.sound import library_name
from ..rack import patch
from .line import Line, Safety
from .mixer import first_requests, make_mixer
from .take import DRY, PROCESSED, read_events, read_head


@dataclass(frozen=True)
class Replay:
    """A take rendered again.

    Attributes:
        audio: (outputs, frames) float32.
        sample_rate: Hz.
        exact_from: the first frame, counted in the take, from which on it must equal what was heard.
        equal: whether it does, bit for bit.
        difference_db: the largest difference from there on, in dBFS; -inf where it is equal.
    """

    audio: Audio
    sample_rate: float
    exact_from: int
    equal: bool
    difference_db: float

    def __str__(self) -> str:
        seconds = self.audio.shape[1] / self.sample_rate
        start = f" from {self.exact_from / self.sample_rate:.2f} s on" if self.exact_from else ""
        if self.equal:
            return f"{seconds:.1f} s: equal to what was heard, bit for bit{start}"
        return f"{seconds:.1f} s: differs from what was heard by up to {self.difference_db:.1f} dBFS{start}"


def replay(folder: str | os.PathLike[str], *, block_frames: int = 4096) -> Replay:
    """Render a take again, offline, with every change at its frame.

    Args:
        folder: written by `LiveStream.record`.
        block_frames: how much at once; the result does not depend on it.

    Raises:
        FileNotFoundError: there is no take, or a part of it is missing.
        ValueError: the take is broken, was changed, or is of a newer twinrack.
    """
    folder = Path(folder)
    head = read_head(folder)
    rate, first = float(head["sample_rate"]), int(head["first_frame"])
    lines = []
    for line in head["lines"]:
        rack = patch.load(folder / line["rack"])
        rack.prepare(rate, len(line["inputs"]), first_frame=first)
        lines.append(Line(**{**line, "rack": rack}))
    mixer = make_mixer(lines, head["inputs"], head["outputs"], rate, first)
    for control, index, value in first_requests(lines, Safety(**head["safety"])):
        mixer.set_control(control, index, value)
    if head["exact_from"]:
        mixer.set_control(_engine.MixerControl.fade, 0, 1.0)  # it sounded already
    by_name = {line.name: line for line in lines}
    written = min(soundfile.info(library_name(folder / name)).frames for name in (DRY, PROCESSED))
    parts, at, count = [], 0, int(head["frames"]) if head["complete"] else written
    events = read_events(folder)
    with soundfile.SoundFile(library_name(folder / DRY)) as dry:
        for event in [*events, {"frame": first + count}]:
            end = min(max(int(event["frame"]) - first, at), count)
            while at < end:
                x = dry.read(min(block_frames, end - at), dtype="float32", always_2d=True).T[: head["inputs"]]
                if x.shape[1] == 0:
                    raise ValueError(f"{folder / DRY} ends after {at} frames; the take has {count}")
                parts.append(mixer.process(np.ascontiguousarray(x)))
                at += x.shape[1]
            _apply(event, mixer, by_name, folder)
    y = np.concatenate(parts, 1) if parts else np.zeros((head["outputs"], 0), np.float32)
    recorded = soundfile.read(library_name(folder / PROCESSED), dtype="float32", always_2d=True)[0].T
    begin = int(head["exact_from"]) - first
    a, b = y[:, begin:], recorded[:, begin : y.shape[1]]
    equal = a.shape == b.shape and bool(np.array_equal(a, b))
    largest = 0.0 if equal or a.shape != b.shape else float(np.max(np.abs(a - b), initial=0.0))
    difference = 20.0 * np.log10(largest) if largest > 0 else (-np.inf if equal else np.inf)
    return Replay(y, rate, begin, equal, float(difference))


def _apply(event: dict[str, Any], mixer: _engine.Mixer, lines: dict[str, Line], folder: Path) -> None:
    if "ask" in event:
        mixer.set_control(getattr(_engine.MixerControl, event["ask"]), event["index"], event["value"])
        return
    if "line" not in event:
        return
    line = lines[event["line"]]
    if "set" in event:
        line.rack.set(event["set"], event["to"])
    elif "bypass" in event:
        line.rack[event["bypass"]].bypass = event["to"]
    elif event["rack"] is None:
        raise ValueError(f"{folder} cannot be rendered again: {event['why']}")
    else:
        other = patch.load(folder / event["rack"])
        line.rack.running.hand_over(other.running)
        line.rack = other
