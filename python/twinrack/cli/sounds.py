"""Recordings that commands are given."""

from __future__ import annotations

from pathlib import Path

from ..audio import Audio


def read_sound(path: Path) -> tuple[Audio, int]:
    """A recording, (channels, frames), and its sample rate in Hz."""
    from ..files.audio_file import read_audio

    return read_audio(path)


def read_like(path: Path, sound: Audio, rate: int) -> Audio:
    """A recording that must be as long as another one."""
    other, own_rate = read_sound(path)
    if own_rate != rate:
        raise ValueError(f"{path.name} has a sample rate of {own_rate} Hz, the recording {rate} Hz; convert one of them")
    if other.shape[1] != sound.shape[1]:
        raise ValueError(f"{path.name} has {other.shape[1]} frames, the recording {sound.shape[1]}; both must be as long")
    return other
