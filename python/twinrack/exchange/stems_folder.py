"""A folder of stems as a session: one track for each recording, from the beginning."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from ..files.audio_file import FORMATS, AudioFile
from ..session.clip import Clip
from ..session.session import MAX_CHANNELS, Session
from .text import channel_name

ENDINGS = (*FORMATS, ".aifc", ".au", ".caf", ".opus", ".rf64", ".w64", ".wave")
_MOST_NAMED = 10


def read_stems(folder: str | os.PathLike[str], **settings: Any) -> Session:
    """A session with a track for each audio file of a folder, in the order of their names (2 before 10).

    Files in folders below it, hidden files and files that are not audio by their ending are left alone. Tracks are called as
    the files are, without signs that channel names may not have.

    Args:
        folder: where the files are.
        settings: as in `Session`: name (the folder's when not given), sample_rate in Hz (that of most files), width (2), tempo,
            end, metadata. Files of another rate are resampled when the session is rendered.

    Raises:
        FileNotFoundError: there is no such folder, or no audio in it.
        ValueError: files that cannot be read, or have neither one channel nor as many as the session; all are named at once.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; give the folder that holds the stems")
    paths = [p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith(".") and p.is_file()]
    paths.sort(key=lambda p: [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _parts(p.name)])
    if not paths:
        raise FileNotFoundError(f"{folder} holds no audio files; give a folder with {', '.join(ENDINGS[:4])} or the like")
    if len(paths) > MAX_CHANNELS:
        raise ValueError(f"{folder} holds {len(paths)} audio files; a session has at most {MAX_CHANNELS} tracks")
    width = settings.get("width", 2)
    rates: Counter[int] = Counter()
    wrong = []
    for path in paths:
        try:
            with AudioFile(path) as file:
                rates[file.sample_rate] += 1
                if file.channels not in (1, width):
                    wrong.append(f"{path.name} has {file.channels} channels, which a session of width {width} cannot play")
        except (OSError, ValueError) as error:
            wrong.append(str(error).replace(f"{folder}{os.sep}", ""))
    if wrong:
        more = f"; and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        raise ValueError(f"{folder}: {'; '.join(wrong[:_MOST_NAMED])}{more}; mend these files, or take them out")
    session = Session(**{"name": folder.resolve().name or "stems", "sample_rate": _most(rates), **settings})
    for path in paths:
        session.add_track(channel_name(path.stem, session.channels, "stem"), clips=[Clip(path, name=path.stem)])
    return session


def _most(rates: Counter[int]) -> float:
    """The rate of most files; the highest of those that are equally many."""
    return float(max(rates, key=lambda rate: (rates[rate], rate)))


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", name.casefold()) if part]
