"""Render sinks: audio files, or a raw float32 spool for two-pass normalisation and resume."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..audio import MAX_RATE, Audio
from ..files.audio_file import AudioWriter
from ..files.wav import make_broadcast
from ..measure.files import file_loudness
from ..measure.loudness import Loudness
from ..render.level import Finish
from ..system.disk import atomic, mark_finished, mark_unfinished

BLOCK = 1 << 16
LONGEST_TAIL = MAX_RATE * 130


class AudioFiles:
    """Audio files of one sound or several, written block by block; they appear complete or not at all.

    Args:
        paths: of each sound; several are several formats of it.
        rate, to_rate: Hz, of the blocks and of the files.
        frames: about how many will be written.
        first_frame: where they begin on the timeline.
        finish: gives the processing that each sound, by its number, goes through before it is written.
    """

    def __init__(
        self,
        paths: Sequence[Sequence[Path]],
        rate: int,
        to_rate: int,
        channels: int,
        bits: int,
        *,
        frames: int,
        tags: Mapping[str, str],
        first_frame: int,
        finish: Callable[[int], Finish],
    ) -> None:
        self._stack = ExitStack()
        self.frames = 0
        self._finishes = [finish(i) for i in range(len(paths))]
        self._channels = channels
        maker = tags.get("artist") or "twinrack"
        # no time of day: the same session gives the same file
        broadcast = make_broadcast(tags.get("title", ""), maker, tags.get("date", ""), "", first_frame * to_rate // rate)
        # a tail may follow
        more: dict[str, Any] = {"tags": tags, "frames": (frames + LONGEST_TAIL) * to_rate // rate, "broadcast": broadcast}
        self.writers: list[list[AudioWriter]] = []
        try:
            for sound in paths:
                formats = [self._stack.enter_context(AudioWriter(p, to_rate, channels, bits, **more)) for p in sound]
                self.writers.append(formats)
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise

    def write(self, blocks: Sequence[Audio], last: bool = False) -> None:
        """The next block of every sound."""
        for x, finish, writers in zip(blocks, self._finishes, self.writers, strict=True):
            y = finish(x, last)
            if y.shape[1]:
                for writer in writers:
                    writer.write(y)
        self.frames += blocks[0].shape[1]

    def finish(self) -> None:
        """Write what the processing still holds; no more blocks follow."""
        empty = np.zeros((self._channels, 0), np.float32)
        self.write([empty] * len(self.writers), last=True)

    def measured(self) -> list[Loudness]:
        """Loudness of the first sound's files, read back; nothing more can be written."""
        return [file_loudness(writer.written()) for writer in self.writers[0]]

    @property
    def clipped(self) -> int:
        """Samples beyond full scale in files of integers."""
        return sum(max((w.clipped for w in writers), default=0) for writers in self.writers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)


class Spool:
    """Raw float32 frames of every sound, in a folder beside the result, with what is needed to go on after a crash.

    Args:
        folder: created if it is missing.
        count: how many sounds.
        identity: of what is rendered and how; a spool of another identity is not continued.
        resume: continue the spool that is in the folder, if it fits.
    """

    def __init__(self, folder: Path, count: int, channels: int, identity: str, resume: bool) -> None:
        self.folder, self.channels, self.identity = folder, channels, identity
        self.state: dict[str, Any] | None = None
        self.frames = 0
        if folder.exists() and resume:
            self.state = self._read_state()
        if self.state is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        else:
            self.frames = int(self.state["meta"]["samples"])
        mark_unfinished(folder)
        self.paths = [folder / f"{i}.f32" for i in range(count)]
        self._files = [path.open("r+b" if self.state is not None else "wb") for path in self.paths]
        for file in self._files:
            file.truncate(4 * self.frames * channels)
            file.seek(0, os.SEEK_END)

    def _read_state(self) -> dict[str, Any] | None:
        try:
            with np.load(self.folder / "state.npz", allow_pickle=False) as data:
                arrays = {name: data[name] for name in data.files}
            meta = json.loads(bytes(arrays.pop("meta")).decode())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None
        if meta.get("identity") != self.identity:
            return None
        sizes = [path.stat().st_size for path in sorted(self.folder.glob("*.f32"))]
        if not sizes or min(sizes) < 4 * meta["samples"] * self.channels:
            return None
        return {"meta": meta, "arrays": arrays}

    def write(self, blocks: Sequence[Audio]) -> None:
        """The next block of every sound."""
        for x, file in zip(blocks, self._files, strict=True):
            np.ascontiguousarray(x.T).tofile(file)
        self.frames += blocks[0].shape[1]

    def keep(self, meta: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        """Write a checkpoint: all that is needed to go on from here."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        meta = {**meta, "identity": self.identity, "samples": self.frames}
        content = io.BytesIO()
        entries: dict[str, Any] = {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays}
        np.savez(content, **entries)
        with atomic(self.folder / "state.npz") as beside, beside.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())

    def read(self, frames: int = BLOCK, sounds: int | None = None) -> Any:
        """All frames, a block of every sound at a time, or of the first `sounds` of them."""
        for file in self._files:
            file.flush()
        for start in range(0, self.frames, frames):
            count = min(frames, self.frames - start)
            yield [
                np.ascontiguousarray(
                    np.fromfile(p, np.float32, count * self.channels, offset=4 * start * self.channels)
                    .reshape(-1, self.channels)
                    .T
                )
                for p in self.paths[:sounds]
            ]

    def close(self) -> None:
        """Nothing more is written; a later rendering can continue."""
        mark_finished(self.folder)
        for file in self._files:
            file.close()

    def remove(self) -> None:
        """Remove the folder."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        mark_finished(self.folder)
