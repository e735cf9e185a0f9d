"""Recordings that a rack was trained on, or is to be tested on: dry and wet, with what a table says of each."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..audio import Audio
from ..files.audio_file import FORMATS, read_audio
from .signals import resampled

MOST_ROWS = 100_000


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording.

    Attributes:
        name: of the file, or given.
        dry: (channels, frames).
        wet: what the real thing makes of it, in step; None where there is none.
        metadata: what a table says of it, such as {"speaker": "A", "room": "hall"}.
        held_out: it is not for training.
    """

    name: str
    dry: Audio
    wet: Audio | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    held_out: bool = False


def read_folder(
    dry: Path, sample_rate: float, *, wet: Path | None = None, table: Path | None = None, held_out: bool = False
) -> list[Recording]:
    """The recordings of a folder, or one file.

    Args:
        dry: the folder, or a file.
        sample_rate: Hz, that all are brought to.
        wet: a folder with files of the same names, or one file.
        table: CSV whose column "file" holds the names; its other columns are metadata. A column "held_out" with 1, yes or
            true marks recordings that are not for training.
        held_out: of all.

    Raises:
        FileNotFoundError, ValueError: one sentence.
    """
    rows = read_table(table) if table is not None else {}
    files = [dry] if dry.is_file() else sorted(f for f in dry.iterdir() if f.suffix.lower() in FORMATS) if dry.is_dir() else []
    if not files:
        raise FileNotFoundError(f"{dry} holds no recordings ({', '.join(s[1:] for s in FORMATS)}); give a folder or a file")
    if rows and (missing := [f.name for f in files if f.name not in rows]):
        raise ValueError(f"{table} has no row for {missing[0]}; its column 'file' must name every recording")
    recordings = []
    for file in files:
        sound = _at(file, sample_rate)
        partner = None
        if wet is not None:
            other = wet / file.name if wet.is_dir() else wet
            if not other.is_file():
                raise FileNotFoundError(f"{wet} has no {file.name}; dry and wet files must have the same names")
            partner = _at(other, sample_rate)
            if partner.shape[0] != sound.shape[0]:
                raise ValueError(
                    f"{file.name} has {sound.shape[0]} channels dry and {partner.shape[0]} wet; make them the same"
                )
            frames = min(sound.shape[1], partner.shape[1])
            sound, partner = sound[:, :frames], partner[:, :frames]
        row = dict(rows.get(file.name, {}))
        mark = row.pop("held_out", "").strip().lower() in ("1", "yes", "true")
        recordings.append(Recording(file.name, sound, partner, row, held_out or mark))
    return recordings


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a CSV file by the name in their column "file"."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8; save the table as CSV in UTF-8") from None
    reader = csv.DictReader(text.splitlines())
    if "file" not in (reader.fieldnames or ()):
        raise ValueError(f"{path} has no column 'file'; its first line must name the columns, one of them file")
    rows: dict[str, dict[str, str]] = {}
    for number, row in enumerate(reader, start=2):
        if number > MOST_ROWS:
            raise ValueError(f"{path} has more than {MOST_ROWS} rows; give a table of these recordings only")
        name = (row.pop("file") or "").strip()
        if name in rows:
            raise ValueError(f"{path} names {name} twice; each recording has one row")
        rows[name] = {str(k).strip(): (v or "").strip() for k, v in row.items() if k is not None and isinstance(v, str | None)}
    return rows


def _at(path: Path, sample_rate: float) -> Audio:
    sound, rate = read_audio(path)
    if not np.isfinite(sound).all():
        raise ValueError(f"{path} has NaN or infinity in it; mend the recording first")
    return sound if rate == sample_rate else resampled(sound, rate, sample_rate)


def seconds_of(recordings: Sequence[Recording], sample_rate: float) -> float:
    """Their length together."""
    return float(sum(r.dry.shape[1] for r in recordings)) / sample_rate
