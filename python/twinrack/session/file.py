"""Saving and loading `*.session.json`: a readable, diffable file; recordings by relative paths, racks as patches within it.

Saving writes beside and renames. Loading checks everything before anything sounds: form, versions, names, ranges, circles, and
that every recording exists and lies in the session's folder. An error is one sentence; missing recordings are named all at
once.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..checks import brief
from ..files.audio_file import check_tags
from ..rack.patch import ENTRY_KINDS, first_complaint, from_json, of_today, read_json, with_arrays
from ..rack.patch import FORMAT as PATCH
from ..rack.patch import load as load_rack
from ..rack.rack import Rack
from ..system.disk import atomic, json_bytes, path_of
from ..version import __version__
from .automation import Curve, Lane, Point
from .channel import MASTER, OWN, Channel, Kind, Send
from .clip import Clip, check_times
from .recordings import Collector, Finder
from .schema import (
    FADER,
    FORMAT,
    MIGRATIONS,
    PARTS,
    VERSION,
    ChannelEntry,
    ClipEntry,
    SessionEntry,
    TempoEntry,
)
from .session import Session
from .timeline import Tempo


def stem_of(path: Path) -> str:
    """A session file's name without its endings, to name what stands beside it."""
    return path.name.removesuffix(".json").removesuffix(".session")


def save(session: Session, path: str | os.PathLike[str], *, collect: bool = False) -> None:
    """Write a session.

    Args:
        path: `*.session.json`; recordings are named relative to its folder.
        collect: copy recordings that lie elsewhere, and write those that are arrays, into a folder beside it.

    Raises:
        ValueError: recordings that do not lie in the folder, without `collect`.
        OSError: the folder is missing, read-only or full.
    """
    path = path_of(path)
    session.order()
    stem = stem_of(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to; create it first")
    check_tags(session.metadata)
    collector, lines = Collector(session, path.parent, stem, collect), _OneLine(path)
    try:
        _write(session, path, stem, collector, lines)
    except BaseException:
        collector.undo()
        raise


def _write(session: Session, path: Path, stem: str, collector: Collector, lines: _OneLine) -> None:
    data: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "name": session.name, "written_by": f"twinrack {__version__}",
        "sample_rate": session.sample_rate, "width": session.width,
        "tempo": [_short(TempoEntry(beat=float(t.beat), bpm=float(t.bpm), ramp=t.ramp)) for t in session.tempo],
    }  # fmt: skip
    if session.end is not None:
        data["end"] = session.end
    if session.metadata:
        data["metadata"] = session.metadata
    data["channels"] = [_channel_entry(c, path, stem, collector, lines) for c in session]
    if session.provenance:
        data["provenance"] = session.provenance
    text = lines.put(json_bytes(data, path, "session").decode())
    try:
        SessionEntry.model_validate_json(text)  # what could not be read again is not written
    except ValidationError as error:
        raise ValueError(f"{path} cannot hold this session: {first_complaint(error)}") from None
    with atomic(path) as beside:
        beside.write_text(text, encoding="utf-8")


class _OneLine:
    """Breakpoints, which stand on one line each in the file: first as marks that no text holds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = uuid.uuid4().hex
        self._points: list[str] = []

    def add(self, point: list[Any]) -> str:
        self._points.append(json_bytes(point, self._path, "session", None).decode().rstrip())
        return f"{self._mark}{len(self._points) - 1}"

    def put(self, text: str) -> str:
        return re.sub(f'"{self._mark}(\\d+)"', lambda m: self._points[int(m[1])], text)


def _short(entry: BaseModel) -> dict[str, Any]:
    """Without what has its default."""
    needed = {n: getattr(entry, n) for n, f in entry.__class__.model_fields.items() if f.is_required()}
    return needed | entry.model_dump(exclude_defaults=True)


def _fader(fader: Any) -> dict[str, Any]:
    return {name: value for name, value in fader.values().items() if value != FADER[name].default}


def _channel_entry(channel: Channel, path: Path, stem: str, collector: Collector, lines: _OneLine) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": channel.name, "kind": channel.kind, "output": channel.output, **_fader(channel.fader)}
    if channel.solo:
        entry["solo"] = True
    if channel.polarity != "normal":
        entry["polarity"] = channel.polarity
    if channel.delay not in (0, 0.0):
        entry["delay"] = channel.delay
    if channel.rack.effects:
        entry["rack"] = with_arrays(channel.rack, path, f"{stem}.{channel.name}")
    if channel.keys:
        entry["keys"] = {key: {"channel": source, "tap": tap} for key, (source, tap) in channel.keys.items()}
    if channel.clips:
        entry["clips"] = [_clip_entry(clip, collector) for clip in channel.clips]
    if channel.sends:
        entry["sends"] = [{"to": s.to, "tap": s.tap, **_fader(s.fader)} for s in channel.sends]
    if channel.automation:
        entry["automation"] = {
            address: [lines.add([p.time, p.value, *([p.curve] if p.curve != "linear" else [])]) for p in points]
            for address, points in channel.automation.items()
        }
    if channel.frozen is not None:
        entry["frozen"] = collector.place(Path(channel.frozen), f"the frozen sound of {channel.name}")
    return entry


def _clip_entry(clip: Clip, collector: Collector) -> dict[str, Any]:
    entry: dict[str, Any] = {"file": collector.file_of(clip)}
    for name, field in ClipEntry.model_fields.items():
        if name != "file":
            value = getattr(clip, name)
            if value != field.default:
                entry[name] = list(value) if name == "channels" else value
    return entry


def load(path: str | os.PathLike[str], *, media: Iterable[str | os.PathLike[str]] = ()) -> Session:
    """Read a session.

    Args:
        path: `*.session.json`.
        media: other folders in which its recordings may lie.

    Raises:
        FileNotFoundError: the file or recordings are missing; all of them are named.
        ValueError: no session, of a newer version, a wrong field, a circle, a path that leaves the folder.
    """
    path = path_of(path)
    data = read_json(path, "session")
    data = of_today(data, path, "session", FORMAT, VERSION, MIGRATIONS)
    try:
        entry = SessionEntry.model_validate(data)
    except ValidationError as error:
        raise ValueError(f"{path}: {first_complaint(error, *PARTS)}") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply for a session") from None
    finder = Finder(path, [Path(m) for m in media])
    try:
        session = _session(entry, path, finder)
        finder.complain()
        session.order()
        if session.end is not None:
            session.timeline.frames(session.end, "end")
        for channel in session:
            session.timeline.span(0, channel.delay, f"delay of {channel.name}")
            for clip in channel.clips:
                check_times(clip, session.timeline, channel.name)
            for address, points in channel.automation.items():
                Lane(f"{channel.name}.{address}", channel.parameter(address), points, session.timeline)
    except FileNotFoundError:
        raise
    except (ValueError, TypeError) as error:
        raise (error if str(error).startswith(str(path)) else ValueError(f"{path}: {error}")) from None
    session.path = path
    return session


def _session(entry: SessionEntry, path: Path, finder: Finder) -> Session:
    session = Session(
        entry.name or stem_of(path), entry.sample_rate, width=entry.width, end=entry.end, metadata=entry.metadata,
        tempo=[Tempo(t.beat, t.bpm, t.ramp) for t in entry.tempo],
    )  # fmt: skip
    session.provenance = entry.provenance
    for i, c in enumerate(entry.channels):
        if c.kind == "master" and c.name != MASTER:
            raise ValueError(f"channels[{i}] ({c.name}): the master is called {MASTER!r}")
        try:
            channel = _channel(c, path, finder)
        except (ValueError, TypeError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"channels[{i}] ({c.name}): {str(error).removeprefix(f'{path}: ')}") from None
        if channel.name == MASTER:
            if i + 1 < len(entry.channels):
                raise ValueError(f"channels[{i}]: the master is the last channel")
            session.master = channel
        else:
            session.add(channel)
    return session


def _channel(entry: ChannelEntry, path: Path, finder: Finder) -> Channel:
    clips = [
        Clip(
            finder.find(c.file),
            **{n: getattr(c, n) for n in ClipEntry.model_fields if n not in ("file", "channels")},
            channels=None if c.channels is None else tuple(c.channels),
        )
        for c in entry.clips
    ]
    # the last channel needs neither kind nor output, which can only be one
    master = entry.name == MASTER
    kind: Kind = "master" if master and "kind" not in entry.model_fields_set else entry.kind
    output = None if master and "output" not in entry.model_fields_set else entry.output
    channel = Channel(
        entry.name, kind, clips=clips, rack=_rack(entry, path, finder), output=output, solo=entry.solo,
        polarity=entry.polarity, delay=entry.delay, keys={k: (v.channel, v.tap) for k, v in entry.keys.items()},
        sends=[Send(s.to, tap=s.tap, **{n: getattr(s, n) for n in OWN}) for s in entry.sends],
        **{n: getattr(entry, n) for n in OWN},
    )  # fmt: skip
    for send in entry.sends:
        if sum(s.to == send.to for s in entry.sends) > 1:
            raise ValueError(f"there are two sends to {brief(send.to)}; a channel sends once to another")
    for address, points in entry.automation.items():
        channel.automate(address, [_point(p, address) for p in points])
    if entry.frozen is not None:
        channel.frozen = str(finder.find(entry.frozen))
    return channel


def _point(entry: list[Any], address: str) -> Point:
    time, value, curve = (*entry, "linear")[:3]
    if isinstance(time, bool) or not isinstance(curve, str):
        raise ValueError(
            f"a point of the automation of {address} is {brief(entry)}; give [time, value] or [time, value, curve]"
        )
    kind: Curve = curve  # type: ignore[assignment]
    return Point(time, value, kind)


def _rack(entry: ChannelEntry, path: Path, finder: Finder) -> Rack:
    if entry.rack is None:
        return Rack(name=entry.name)
    if isinstance(entry.rack, str):
        patch = finder.find(entry.rack)
        return load_rack(patch) if patch.is_file() else Rack(name=entry.name)
    if isinstance(entry.rack, list):
        return from_json({"format": PATCH, "name": entry.name, "rack": entry.rack}, path)
    if "rack" not in entry.rack and {"effect", *ENTRY_KINDS} & entry.rack.keys():  # one effect alone
        return from_json({"format": PATCH, "name": entry.name, "rack": [entry.rack]}, path)
    return from_json({"format": PATCH, **entry.rack}, path)
