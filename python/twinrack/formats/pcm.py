"""Uncompressed samples: their layout in a file, and decoding to float32."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio
from ..system.disk import shown

Kind = Literal["signed", "unsigned", "float"]
SCAN = 1 << 20  # samples at once, where all of a file has to be looked at


@dataclass(frozen=True)
class Layout:
    """The layout of the frames in a file.

    Attributes:
        start: the first byte.
        bytes: of a sample's container; bits: of it that are the sample.
        below: the sample's bits lie at the bottom of a larger container; otherwise at the top, as the formats ask for.
        big: most significant byte first.
    """

    start: int
    channels: int
    sample_rate: int
    frames: int
    kind: Kind
    bytes: int
    bits: int
    below: bool = False
    big: bool = False

    @property
    def frame_bytes(self) -> int:
        return self.bytes * self.channels

    @property
    def code(self) -> int | None:
        """The sample format for the engine's unpacker: bytes of an integer, 0 for a 32-bit float; None for other layouts."""
        if self.big or self.below:
            return None
        if self.kind == "float":
            return 0 if self.bytes == 4 else None
        return self.bytes if self.kind == "signed" and self.bytes in (2, 3, 4) else None


def decode(layout: Layout, data: bytes | bytearray | memoryview, frames: int) -> Audio:
    """Bytes as (channels, frames) float32, full scale 1."""
    if layout.code is not None:
        return _engine.unpack(data, layout.code, layout.channels, frames)
    if layout.kind == "float":
        flat = np.frombuffer(data, f"{'>' if layout.big else '<'}f{layout.bytes}", frames * layout.channels)
        x = flat.astype(np.float32)
    else:
        steps = _on_top(layout, data, frames * layout.channels)
        if layout.below:
            steps = steps << (8 * layout.bytes - layout.bits)
        x = steps.astype(np.float32) * np.float32(2.0**-31)
    return np.ascontiguousarray(x.reshape(frames, layout.channels).T)


def _on_top(layout: Layout, data: bytes | bytearray | memoryview, count: int) -> npt.NDArray[np.int32]:
    """Whole containers in the upper bytes of int32."""
    packed = np.frombuffer(data, np.uint8, count * layout.bytes).reshape(count, layout.bytes)
    wide = np.zeros((count, 4), np.uint8)
    wide[:, 4 - layout.bytes :] = packed[:, ::-1] if layout.big else packed
    if layout.kind == "unsigned":
        wide[:, 3] ^= 0x80
    steps: npt.NDArray[np.int32] = wide.view("<i4")[:, 0]
    return steps


def place_bits(path: Path, layout: Layout) -> tuple[Layout, bool]:
    """The layout with the position of the bits in larger containers, top or bottom, found from the samples.

    At the top (as RIFF's documents say) the unused bits below are all zero; at the bottom (as ALSA's S24_LE) the unused bits
    above are copies of the sign, or all zero.

    Returns:
        The layout, and whether both would be possible although there is sound; it is then read as at the top.
    """
    unused = 8 * layout.bytes - layout.bits
    if layout.kind != "signed" or unused <= 0:
        return layout, False
    zeros_below = sign_above = zeros_above = True
    sound = False
    size = SCAN * layout.bytes
    with path.open("rb") as file:
        file.seek(layout.start)
        left = layout.frames * layout.frame_bytes
        while left > 0 and (data := file.read(min(size, left))):
            left -= len(data)
            steps = _on_top(layout, data, len(data) // layout.bytes) >> (32 - 8 * layout.bytes)
            sound |= bool(steps.any())
            zeros_below &= not bool((steps & ((1 << unused) - 1)).any())
            sign_above &= bool(((steps >> (layout.bits - 1)) + 1 <= 1).all() and ((steps >> (layout.bits - 1)) >= -1).all())
            zeros_above &= bool((steps >> layout.bits == 0).all())
            if not zeros_below and not (sign_above or zeros_above):
                return layout, False
    if zeros_below:
        return layout, sound and (sign_above or zeros_above)
    return replace(layout, below=True), False


class PcmSound:
    """A file of uncompressed samples, open for reading; any stretch, from any thread."""

    exact = True

    def __init__(self, path: Path, layout: Layout, notes: list[str]) -> None:
        self.path, self.layout, self.notes = path, layout, notes
        self.sample_rate, self.channels, self.frames = layout.sample_rate, layout.channels, layout.frames
        self._bytes = bytearray()
        self._lock = threading.Lock()
        self._file: io.FileIO | None = io.FileIO(path)

    def read(self, start: int, count: int) -> Audio:
        """Frames of it, (channels, at most count).

        Raises:
            ValueError: the file cannot be read any more.
        """
        count = min(count, self.frames - start)
        size = count * self.layout.frame_bytes
        with self._lock:
            assert self._file is not None
            if len(self._bytes) < size:
                self._bytes = bytearray(size)
            view = memoryview(self._bytes)[:size]
            try:
                self._file.seek(self.layout.start + start * self.layout.frame_bytes)
                filled = _fill(self._file, view)
            except OSError as error:
                why = error.strerror or str(error)
                raise ValueError(
                    f"{shown(self.path)} cannot be read at frame {start} ({why}); is it damaged, or gone?"
                ) from None
            if filled != size:
                raise ValueError(
                    f"{shown(self.path)} ends before frame {start + count}, although it had {self.frames} when it was opened"
                )
            return decode(self.layout, view, count)

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def _fill(file: io.FileIO, view: memoryview) -> int:
    """Read until a buffer is full: one call gives 2 GiB at most."""
    done = 0
    while done < len(view) and (got := file.readinto(view[done:])):
        done += got
    return done
