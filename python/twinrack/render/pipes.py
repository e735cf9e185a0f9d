"""Pipes and devices instead of files: input goes into a temporary file first, and the result into the pipe once complete."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ..system.disk import scratch, special_kind
from .file import Rendered

STANDARD = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_pipe(path: Path, names: Sequence[str]) -> bool:
    """Whether a path is one of these names, a pipe, or a device, rather than a plain file."""
    return str(path) in names or bool(special_kind(path))


def spooled(path: Path, folder: Path, name: str) -> Path:
    """A file in a folder that holds what comes through a pipe; "-" is standard input.

    Raises:
        ValueError: nothing comes, or standard input is closed or a terminal.
    """
    copy = folder / name
    standard = str(path) in STANDARD
    if standard and (sys.stdin is None or sys.stdin.isatty()):
        what = "closed" if sys.stdin is None else "a terminal"
        raise ValueError(f"standard input is {what}; send sound into it, or name a file")
    with sys.stdin.buffer if standard else path.open("rb") as pipe, copy.open("wb") as file:
        shutil.copyfileobj(pipe, file, 1 << 20)
    if not copy.stat().st_size:
        raise ValueError(f"nothing came through {_named(path)}")
    return copy


class Pipes:
    """The files and pipes of one call of `twinrack render`. Use it in a `with` block: the temporary files go with it.

    Args:
        sources: input files; "-" is standard input.
        output: where to; "-" is standard output.
        sidechain: file for the sidechain.
        ending: the format of what goes to an output without a name, such as "flac"; WAV without it.
        others: options that need plain files, by name, and whether they are given.

    Attributes:
        sources, output, sidechain: plain files instead.
        to_standard: the sound goes to standard output, so that nothing else may.

    Raises:
        ValueError: a pipe where none can serve; one sentence.
    """

    def __init__(
        self, sources: Sequence[Path], output: Path, sidechain: Path | None, ending: str | None, others: dict[str, bool]
    ) -> None:
        self.given, self.target, self.key = list(sources), output, sidechain
        self.inward = [p for p in (*sources, *([sidechain] if sidechain is not None else [])) if is_pipe(p, STANDARD)]
        self.outward = is_pipe(output, OUTPUT)
        self.to_standard = self.outward and str(output) in OUTPUT
        self._ending = ending
        self._open_folder = ExitStack()
        if not self.inward and not self.outward:
            return
        which = "standard output" if self.to_standard else str(output) if self.outward else _named(self.inward[0])
        for option, there in others.items():
            if there:
                raise ValueError(f"{option} needs files that stay, and {which} is a pipe; leave one of them out")
        if len(sources) > 1:
            raise ValueError(f"{which} is a pipe, which serves one input and one output; render several files without it")
        if self.outward and sources[0].is_dir():
            raise ValueError(f"a folder does not fit into {which}; name an output folder")
        known = {str(p) if str(p) not in STANDARD else "-" for p in self.inward}
        if len(known) < len(self.inward):
            raise ValueError(f"{_named(self.inward[0])} can be read only once; give the sidechain as a file")
        if self.inward and not self.outward and (output.is_dir() or not output.suffix) and is_pipe(sources[0], STANDARD):
            raise ValueError(f"{_named(sources[0])} gives no name for a file in {output}; name the output file")

    def __enter__(self) -> Self:
        self.sources, self.output, self.sidechain = self.given, self.target, self.key
        if not self.inward and not self.outward:
            return self
        with ExitStack() as until_open:
            folder = until_open.enter_context(scratch())
            self.sources = [spooled(p, folder, "twinrack-pipe-in") if is_pipe(p, STANDARD) else p for p in self.given]
            if self.key is not None and is_pipe(self.key, STANDARD):
                self.sidechain = spooled(self.key, folder, "twinrack-pipe-key")
            if self.outward:
                if self.to_standard and (sys.stdout is None or sys.stdout.isatty()):
                    what = "closed" if sys.stdout is None else "a terminal, which cannot take sound"
                    raise ValueError(f"standard output is {what}; send it into a pipe or a file")
                suffix = f".{self._ending.lstrip('.')}" if self._ending else self.target.suffix or ".wav"
                self.output = folder / f"twinrack-pipe-out{suffix}"
            self._open_folder = until_open.pop_all()
        return self

    def sentence(self, text: str) -> str:
        """A message with the names that were given instead of those of temporary files."""
        for ours, given in ((self.sources[0], self.given[0]), (self.output, self.target), (self.sidechain, self.key)):
            if ours is not None and given is not None and ours != given:
                text = text.replace(str(ours), _named(given)).replace(ours.name, _named(given))
        return text

    def deliver(self, result: Rendered) -> Rendered:
        """Write a complete result into the pipe.

        Raises:
            OSError: nobody reads it any more; one sentence.
        """
        result = replace(result, source=self.given[0], notes=tuple(map(self.sentence, result.notes)))
        if not self.outward:
            return result
        try:
            with self.output.open("rb") as file, self._open() as pipe:
                shutil.copyfileobj(file, pipe, 1 << 20)
        except OSError as error:
            name = "standard output" if self.to_standard else str(self.target)
            if isinstance(error, BrokenPipeError):
                raise OSError(f"what reads {name} has ended, so the sound was not written") from None
            raise OSError(f"the sound could not be written to {name}: {error.strerror or error}") from None
        return replace(result, path=self.target)

    def _open(self) -> BinaryIO:
        if self.to_standard:
            sys.stdout.flush()
            return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        return os.fdopen(os.open(self.target, os.O_WRONLY), "wb")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open_folder.close()


def _named(path: Path) -> str:
    return "standard input" if str(path) in STANDARD else str(path)
