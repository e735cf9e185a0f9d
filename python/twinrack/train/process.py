"""The process around a training: progress, TensorBoard, how torch keeps memory and rounds tiny numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..twins.speed import keep_memory
from .progress import FitProgress
from .run import Board


@contextmanager
def training(
    steps: int, progress: bool | None, tensorboard: str | os.PathLike[str] | None
) -> Iterator[tuple[FitProgress, Board | None]]:
    """The progress bar and TensorBoard's writer of a training, while it runs.

    Raises:
        ValueError: TensorBoard is wanted and not installed.
    """
    with _writer(tensorboard) as board, FitProgress(steps, progress) as bar:
        keep_memory()
        torch.set_flush_denormal(True)  # decaying tails would cost many times the rest
        try:
            yield bar, board
        finally:
            torch.set_flush_denormal(False)


@contextmanager
def _writer(folder: str | os.PathLike[str] | None) -> Iterator[Board | None]:
    if folder is None:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("tensorboard is not installed; pip install tensorboard, or leave it out") from None
    writer = SummaryWriter(os.fspath(folder))
    try:
        yield writer
    finally:
        writer.close()
