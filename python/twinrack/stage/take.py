"""Takes on disk: a folder with the input, the output, the racks, and every change with its frame.

dry.wav  processed.wav   32-bit float
0001.rack.json …         the racks at the beginning, and those that came later
events.jsonl             one change a line: the frame from which on it holds, and the change
take.json                what the stream was like; complete and with hashes once the take has ended
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..checks import brief
from ..system.disk import read_json, read_whole

FORMAT, VERSION = "twinrack.take", 1
DRY, PROCESSED, HEAD, EVENTS = "dry.wav", "processed.wav", "take.json", "events.jsonl"
LARGEST_EVENTS = 1 << 30  # bytes: days of a controller that never rests


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_head(folder: Path) -> dict[str, Any]:
    path = folder / HEAD
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give the folder of a take")
    try:
        head = read_json(path, "take")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no take in {folder}: {path.name} is missing") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError(f"{path} is not a twinrack take")
    if head.get("version") != VERSION:
        version = brief(head.get("version"))
        raise ValueError(f"{path} is take version {version}; this twinrack reads {VERSION}: upgrade twinrack")
    missing = {"sample_rate", "first_frame", "exact_from", "frames", "lines", "complete", "sha256", "safety"} - set(head)
    if missing:
        raise ValueError(f"{path}: {sorted(missing)[0]} is missing")
    for name, expected in head["sha256"].items():
        if name not in (DRY, PROCESSED, EVENTS) and (not name.endswith(".rack.json") or "/" in name):
            raise ValueError(f"{path}: sha256 names {name!r}, which is not part of a take")
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}; a take consists of {DRY}, {PROCESSED}, {EVENTS} and {HEAD}")
        if digest(folder / name) != expected:
            raise ValueError(f"{path}: sha256 does not fit {name}: the file was changed")
    read: dict[str, Any] = head
    return read


def _lines(path: Path) -> list[str]:
    try:
        return read_whole(path, "list of events", LARGEST_EVENTS).decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The changes of a take, in order. The last line of a take that was cut off may be a part of one."""
    events = []
    for number, line in enumerate(_lines(folder / EVENTS)):
        try:
            event = json.loads(line)
            int(event["frame"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{folder / EVENTS}: line {number + 1} is not an event") from None
        events.append(event)
    return sorted(events, key=lambda e: int(e["frame"]))
