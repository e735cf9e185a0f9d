"""WAV only: sample layouts that the engine unpacks itself, and the `bext` chunk of EBU Tech 3285."""

from __future__ import annotations

from pathlib import Path

from ..formats.pcm import Layout
from ..formats.riff import find_samples, read_wave


def wav_layout(path: Path, channels: int, frames: int) -> Layout | None:
    """The sample layout of a WAV file that the engine can unpack; None for other files."""
    wave = read_wave(path)
    if wave is None:
        return None
    layout = find_samples(path, wave).layout
    plain = layout is not None and layout.code is not None and layout.channels == channels and layout.frames >= frames
    return layout if plain else None


def broadcast_chunk(path: Path) -> bytes | None:
    """The content of a WAV file's `bext` chunk (EBU Tech 3285), or None."""
    wave = read_wave(path)
    chunk = None if wave is None else wave.find(b"bext")
    if chunk is None or not 602 <= chunk.size < 1 << 20:
        return None
    with path.open("rb") as file:
        file.seek(chunk.at)
        return file.read(chunk.size)


def make_broadcast(description: str, originator: str, date: str, time: str, first_frame: int) -> bytes:
    """A `bext` chunk, version 1.

    Args:
        date, time: yyyy-mm-dd, hh:mm:ss.
        first_frame: of the file on the timeline, counted from midnight.
    """
    fields = ((description, 256), (originator, 32), ("", 32), (date, 10), (time, 8))
    text = b"".join(t.encode("ascii", "replace")[:size].ljust(size, b"\0") for t, size in fields)
    return text + first_frame.to_bytes(8, "little") + (1).to_bytes(2, "little") + bytes(64 + 190)
