"""`*.session.json`: a session as a readable, diffable file; recordings by relative paths, racks as patches within it.

Saving writes beside and renames. Loading checks everything before anything sounds: form, versions, names, ranges, circles, and
that every recording is there and lies in the session's folder; what is wrong is one sentence, and missing recordings are named
all at once.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..checks import brief
from ..files.audio_file import check_tags
from ..files.hashing import digest
from ..formats.sound import library_name
from ..rack.card import CARDS
from ..rack.patch import FORMAT as PATCH
from ..rack.patch import Migration, first_complaint, from_json, of_today, read_json, with_arrays
from ..rack.patch import load as load_rack
from ..rack.rack import Rack
from ..system.disk import atomic, json_bytes, path_of
from ..system.names import below
from ..version import __version__
from .automation import Curve, Lane, Point
from .channel import OWN, Channel, Kind, Polarity, Send, Tap
from .clip import Clip, Fade, check_times
from .session import MASTER, MAX_CHANNELS, Session
from .timeline import Tempo

FORMAT, VERSION = "twinrack.session", 1
# From a version of the format to the next: takes and returns the JSON object.
MIGRATIONS: dict[int, Migration] = {}
FADER = CARDS["fader"].addresses

TimeEntry = float | str
Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ClipEntry(_Strict):
    """A stretch of a recording; times are seconds, or "4 beats", "48000 frames", "1:02.5"."""

    file: str
    start: TimeEntry = 0.0
    offset: TimeEntry = 0.0
    duration: TimeEntry | None = None
    gain_db: float = 0.0
    fade_in: TimeEntry = 0.0
    fade_out: TimeEntry = 0.0
    fade_in_curve: Fade = "linear"
    fade_out_curve: Fade = "linear"
    loop: bool = False
    loop_length: TimeEntry | None = None
    reverse: bool = False
    channels: list[int] | None = None
    mute: bool = False
    name: str = ""


class FaderEntry(_Strict):
    """Level, pan and the rest of a fader; what is missing has the card's default."""

    gain_db: float = 0.0
    pan: float = 0.0
    width: float = 1.0
    law: str = str(FADER["law"].default)
    mute: bool = False


class SendEntry(FaderEntry):
    """A part of the sound that goes to another channel besides."""

    to: Name
    tap: Tap = "post"


class KeyEntry(_Strict):
    """What a sidechain input listens to."""

    channel: Name
    tap: Tap = "post"


PointEntry = Annotated[list[float | str | bool], Field(min_length=2, max_length=3)]


class ChannelEntry(FaderEntry):
    """One channel. `rack` is a patch, the path of one, or a list of effects as a patch's `rack` holds; automation is by
    address, [time, value, curve] each. `output` is the master where it is left out; the master itself goes nowhere."""

    name: Name
    kind: Kind = "track"
    output: Name | None = "master"
    solo: bool = False
    polarity: Polarity = "normal"
    delay: TimeEntry = 0.0
    rack: dict[str, Any] | str | list[Any] | None = None
    keys: dict[str, KeyEntry] = Field(default_factory=dict)
    clips: list[ClipEntry] = Field(default_factory=list)
    sends: list[SendEntry] = Field(default_factory=list)
    automation: dict[str, list[PointEntry]] = Field(default_factory=dict)
    frozen: str | None = None


class TempoEntry(_Strict):
    """From this beat on so many beats a minute, held, or on a line to the next."""

    beat: float
    bpm: float
    ramp: bool = False


class SessionEntry(_Strict):
    """The whole file; the last channel is the master."""

    format: Literal["twinrack.session"]
    version: int = VERSION
    name: str = ""
    written_by: str = ""
    sample_rate: float = 48000.0
    width: int = 2
    tempo: list[TempoEntry] = Field(default_factory=lambda: [TempoEntry(beat=0.0, bpm=120.0)])
    end: TimeEntry | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    channels: Annotated[list[ChannelEntry], Field(min_length=1, max_length=MAX_CHANNELS)]
    provenance: dict[str, Any] = Field(default_factory=dict)


PARTS = (SessionEntry, ChannelEntry, ClipEntry, SendEntry, KeyEntry, TempoEntry)


def schema() -> dict[str, Any]:
    """The JSON Schema of the session file."""
    return SessionEntry.model_json_schema()


# --- saving --------------------------------------------------------------------------------------------------------------


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
    collector, lines = _Collector(session, path.parent, stem, collect), _OneLine(path)
    try:
        _write(session, path, stem, collector, lines)
    except BaseException:
        collector.undo()
        raise


def _write(session: Session, path: Path, stem: str, collector: _Collector, lines: _OneLine) -> None:
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


def _channel_entry(channel: Channel, path: Path, stem: str, collector: _Collector, lines: _OneLine) -> dict[str, Any]:
    found: dict[str, Any] = {"name": channel.name, "kind": channel.kind, "output": channel.output, **_fader(channel.fader)}
    if channel.solo:
        found["solo"] = True
    if channel.polarity != "normal":
        found["polarity"] = channel.polarity
    if channel.delay not in (0, 0.0):
        found["delay"] = channel.delay
    if channel.rack.effects:
        found["rack"] = with_arrays(channel.rack, path, f"{stem}.{channel.name}")
    if channel.keys:
        found["keys"] = {key: {"channel": source, "tap": tap} for key, (source, tap) in channel.keys.items()}
    if channel.clips:
        found["clips"] = [_clip_entry(clip, collector) for clip in channel.clips]
    if channel.sends:
        found["sends"] = [{"to": s.to, "tap": s.tap, **_fader(s.fader)} for s in channel.sends]
    if channel.automation:
        found["automation"] = {
            address: [lines.add([p.time, p.value, *([p.curve] if p.curve != "linear" else [])]) for p in points]
            for address, points in channel.automation.items()
        }
    if channel.frozen is not None:
        found["frozen"] = collector.place(Path(channel.frozen), f"the frozen sound of {channel.name}")
    return found


def _clip_entry(clip: Clip, collector: _Collector) -> dict[str, Any]:
    found: dict[str, Any] = {"file": collector.file_of(clip)}
    for name, field in ClipEntry.model_fields.items():
        if name != "file":
            value = getattr(clip, name)
            if value != field.default:
                found[name] = list(value) if name == "channels" else value
    return found


class _Collector:
    """Where recordings are from the session's folder; with `collect`, brings those that lie elsewhere there."""

    def __init__(self, session: Session, folder: Path, stem: str, collect: bool) -> None:
        self.session, self.folder, self.collect = session, folder, collect
        self.media = folder / f"{stem}.media"
        self._made_media = False
        self._new: list[Path] = []  # files that were not there before
        self._written: dict[int, str] = {}
        self._copied: dict[Path, str] = {}

    def file_of(self, clip: Clip) -> str:
        if clip.path is not None:
            return self.place(clip.path, f"clip {brief(clip.label)}")
        if not self.collect:
            raise ValueError(
                f"clip {brief(clip.label)} is an array, not a file; save with collect=True to write it beside the session"
            )
        array: Any = clip.source
        if id(array) not in self._written:
            target = self._free(re.sub(r"[^\w -]", "_", clip.name or "clip")[:100] + ".wav")
            self._new.append(target)
            import soundfile

            with atomic(target) as beside:
                rate = round(clip.sample_rate or self.session.sample_rate)
                soundfile.write(library_name(beside), array.T, rate, subtype="FLOAT", format="WAV")
            known = [p for p in sorted(self.media.glob("*.wav")) if p != target and digest(p) == digest(target)]
            if known:  # it was collected before
                target.unlink()
                target = known[0]
            self._written[id(array)] = target.relative_to(self.folder).as_posix()
        return self._written[id(array)]

    def place(self, path: Path, what: str) -> str:
        inside = path.resolve()
        try:
            return inside.relative_to(self.folder.resolve()).as_posix()
        except ValueError:
            pass
        if not self.collect:
            raise ValueError(
                f"{what} plays {path}, which is not in the session's folder {self.folder.resolve()}; save with collect=True "
                "to copy it there, or save the session above its recordings"
            )
        if inside not in self._copied:
            known = [p for p in sorted(self.media.glob(f"{glob.escape(path.stem)}*{path.suffix}")) if digest(p) == digest(path)]
            target = known[0] if known else self._free(path.name)
            if not known:
                self._new.append(target)
                with atomic(target) as beside:
                    shutil.copyfile(path, beside)
            self._copied[inside] = target.relative_to(self.folder).as_posix()
        return self._copied[inside]

    def undo(self) -> None:
        """Take away what was collected for a session that was not written."""
        for path in self._new:
            path.unlink(missing_ok=True)
        if self._made_media:
            with suppress(OSError):  # something of others is in it
                self.media.rmdir()

    def _free(self, name: str) -> Path:
        if not self.media.is_dir():
            self.media.mkdir()
            self._made_media = True
        target, n = self.media / name, 1
        while target.exists():
            n += 1
            target = self.media / f"{Path(name).stem} {n}{Path(name).suffix}"
        return target


# --- loading -------------------------------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str], *, media: Iterable[str | os.PathLike[str]] = ()) -> Session:
    """Read a session.

    Args:
        path: `*.session.json`.
        media: other folders in which its recordings may lie.

    Raises:
        FileNotFoundError: the file, or recordings, are not there; all that are missing are named.
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
    finder = _Finder(path, [Path(m) for m in media])
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


class _Finder:
    """Recordings by their names in the file; remembers what is missing."""

    def __init__(self, path: Path, media: list[Path]) -> None:
        self.path, self.missing = path, list[str]()
        for folder in media:
            if not folder.is_dir():
                raise FileNotFoundError(f"there is no folder {folder} for recordings")
        self.folders = [path.parent, *media]
        self._roots = [folder.resolve() for folder in self.folders]

    def find(self, name: str) -> Path:
        pure = Path(name)
        if not name or "\0" in name or "\\" in name or re.match(r"^[A-Za-z]:", name):
            raise ValueError(f"file {brief(name)} leaves the session's folder; give a path below it, with /")
        if pure.is_absolute() or ".." in pure.parts:
            return self._elsewhere(name, self.path.parent / pure)
        for folder in self.folders:
            found = below(folder, name)
            if found.is_file():
                real = found.resolve()
                if not any(real.is_relative_to(root) for root in self._roots):
                    raise ValueError(
                        f"file {brief(name)} is a link that leaves the session's folder; allow its folder with media="
                    )
                return found
        self.missing.append(name)
        return self.path.parent / pure

    def _elsewhere(self, name: str, path: Path) -> Path:
        """A path that may leave the session's folder: it must end in one that was allowed."""
        real = path.resolve()
        if not any(real.is_relative_to(root) for root in self._roots):
            raise ValueError(
                f"file {name!r} leaves the session's folder; give a path below it, or allow the other folder: "
                f"--media {real.parent} (media=[…])"
            )
        if not real.is_file():
            self.missing.append(name)
        return real

    def complain(self) -> None:
        names = list(dict.fromkeys(self.missing))
        if names:
            many, them = (f"{len(names)} recordings that are", "them") if len(names) > 1 else ("a recording that is", "it")
            raise FileNotFoundError(
                f"{self.path} needs {many} not there: {', '.join(names)}; put {them} below "
                f"{self.path.parent}, or name the folder (media=, --media)"
            )


def _session(entry: SessionEntry, path: Path, finder: _Finder) -> Session:
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


def _channel(entry: ChannelEntry, path: Path, finder: _Finder) -> Channel:
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


def _rack(entry: ChannelEntry, path: Path, finder: _Finder) -> Rack:
    if entry.rack is None:
        return Rack(name=entry.name)
    if isinstance(entry.rack, str):
        found = finder.find(entry.rack)
        return load_rack(found) if found.is_file() else Rack(name=entry.name)
    if isinstance(entry.rack, list):
        return from_json({"format": PATCH, "name": entry.name, "rack": entry.rack}, path)
    if "rack" not in entry.rack and {"effect", "chain", "parallel"} & entry.rack.keys():  # one effect alone
        return from_json({"format": PATCH, "name": entry.name, "rack": [entry.rack]}, path)
    return from_json({"format": PATCH, **entry.rack}, path)
