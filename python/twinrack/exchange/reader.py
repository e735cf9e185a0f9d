"""The reader of a DAWproject's XML: its structure and mixer as a session."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..audio import MAX_RATE, MIN_RATE
from ..rack.effects import Fader
from ..session.automation import Lane
from ..session.channel import MASTER, SENDS, Channel, Send
from ..session.session import Session
from ..session.timeline import Tempo
from .arrangement import Arranger
from .automation_reader import AutomationReader
from .device_reader import DeviceReader
from .parameter_reader import ParameterReader
from .scope import Scope, label, number, switch, unit
from .text import Notes, channel_name, lines, plain
from .units import GAIN, PAN, SWITCH, TURNED
from .writer import APPLICATION, TAGS

MOST_TEMPOS = 2000
JUMP = 1e-6  # beats before a jump of the tempo, at which a ramp to it ends
KINDS = {"regular": "track", "submix": "group", "effect": "return", "master": "master"}


def sample_rate_of(root: ET.Element) -> float:
    """The sample rate that the file was written with, where it is named; else that of most of its recordings."""
    arrangement, application = root.find("Arrangement"), root.find("Application")
    if arrangement is not None and application is not None and application.get("name") == APPLICATION:
        comment = re.fullmatch(r"(\d{1,7}(?:\.\d{1,6})?) Hz", arrangement.get("comment", ""))
        if comment and MIN_RATE <= float(comment[1]) <= MAX_RATE:
            return float(comment[1])
    rates = Counter(round(number(e, "sampleRate", 0.0)) for e in root.iter("Audio"))
    allowed = [(count, rate) for rate, count in rates.items() if MIN_RATE <= rate <= MAX_RATE]
    return float(max(allowed)[1]) if allowed else 48000.0


class Reader:
    """Turns a document Project into a session.

    Args:
        root: the document.
        metadata: the document MetaData, or None.
        name: of the session where the file has none.
        sample_rate: Hz; without it, as `sample_rate_of`.
        take: gives the file of a path in the archive.
        read: gives the content of a small file there.

    `notes` lists what is not carried over, a sentence each.

    Raises:
        ValueError: the document contradicts itself; one sentence.
    """

    def __init__(
        self,
        root: ET.Element,
        metadata: ET.Element | None,
        name: str,
        sample_rate: float | None,
        take: Callable[[str], Path],
        read: Callable[[str], bytes],
    ) -> None:
        self.notes = Notes()
        self.ids: dict[str, ET.Element] = {}
        for element in root.iter():
            id = element.get("id")
            if id is not None:
                if id in self.ids:
                    raise ValueError(f"the id {id[:60]!r} is given twice; ids differ")
                self.ids[id] = element
        application = root.find("Application")
        self._own = application is not None and application.get("name") == APPLICATION
        arrangement = root.find("Arrangement")
        title = "" if arrangement is None else plain(arrangement.get("name", "")).strip()
        self.session = Session(
            title or name, sample_rate or sample_rate_of(root), width=self._width(root), tempo=self._tempo(root),
            metadata=self._metadata(metadata),
        )  # fmt: skip
        self.parameters, self._read = ParameterReader(self.notes), read
        self._names: dict[str, str | None] = {}  # of channels, by ids of tracks and channels; None where it has no channel
        self._channels: list[tuple[Channel, ET.Element | None, str]] = []  # with the default output
        self._structure(root)
        for channel, e, otherwise in self._channels:
            if e is not None:
                self._route(channel, e, otherwise)
        self._arranger = Arranger(self.ids, take, self.session.width, self.notes)
        self._automation = AutomationReader(self.ids, self.parameters.targets, self.notes)
        if arrangement is not None:
            self._arrangement(arrangement)
        scenes = root.find("Scenes")
        if scenes is not None and len(scenes):
            self.notes.add(f"{len(scenes)} scenes of the launcher are left out, for a session has one timeline")
        self._finish()

    def _finish(self) -> None:
        self.session.order()
        for channel in self.session:
            for address, points in channel.automation.items():
                Lane(f"{channel.name}.{address}", channel.parameter(address), points, self.session.timeline)

    # The whole

    def _width(self, root: ET.Element) -> int:
        widths = [
            round(number(e, "audioChannels", 2.0, 1.0)) for e in root.iter("Channel") if e.get("role") == "master"
        ] or [2]  # fmt: skip
        if not 1 <= widths[0] <= 16:
            raise ValueError(f"the master has {widths[0]} audio channels; 1 to 16 are possible")
        return widths[0]

    def _tempo(self, root: ET.Element) -> list[Tempo]:
        tempo, signature = root.find("Transport/Tempo"), root.find("Transport/TimeSignature")
        if signature is not None and (signature.get("numerator"), signature.get("denominator")) != ("4", "4"):
            fraction = f"{signature.get('numerator')}/{signature.get('denominator')}"
            self.notes.add(f"the time signature {fraction[:20]!r} is left out, for a session counts in beats only")
        if root.find("Arrangement/TimeSignatureAutomation") is not None:
            self.notes.add("changes of the time signature are left out, for a session counts in beats only")
        first = 120.0 if tempo is None else number(tempo, "value", 120.0)
        moves = root.find("Arrangement/TempoAutomation")
        points = [] if moves is None else moves.findall("RealPoint")
        if moves is None or not points:
            return [Tempo(0.0, first)]
        if len(points) > MOST_TEMPOS:
            raise ValueError(f"its tempo has {len(points)} points; at most {MOST_TEMPOS} are read")
        arrangement = root.find("Arrangement")
        kind = unit(moves, "timeUnit", "beats" if arrangement is None else arrangement.get("timeUnit", "beats"))
        raw = [(number(p, "time"), number(p, "value"), p.get("interpolation") == "linear") for p in points]
        raw.sort(key=lambda r: r[0])
        return _tempo_map(_in_beats(raw) if kind == "seconds" else raw)

    def _metadata(self, root: ET.Element | None) -> dict[str, str]:
        names, metadata = dict(TAGS), {}
        for e in [] if root is None else root:
            text = lines(e.text or "").strip()
            if text and e.tag in names:
                metadata[names[e.tag]] = text
            elif text:
                self.notes.add(f"metadata {e.tag[:40]} is left out, for which a session has no place")
        return metadata

    # Structure

    def _structure(self, root: ET.Element) -> None:
        structure = root.find("Structure")
        for e in [] if structure is None else structure:
            self._track(e, MASTER)

    def _track(self, e: ET.Element, parent: str) -> None:
        inner = e if e.tag == "Channel" else e.find("Channel")
        tracks = e.findall("Track") if e.tag == "Track" else []
        content = e.get("contentType", "").split()
        ids = [x.get("id") for x in (e, inner) if x is not None]
        role = "regular" if inner is None else inner.get("role", "regular")
        if (inner is None and tracks) or role == "vca":
            if role == "vca":
                self.notes.add(
                    f"{label(e)} controls the level of others (VCA), which is left out; their own levels are as they were"
                )
            for id in filter(None, ids):
                self._names[id] = None
            for track in tracks:
                self._track(track, parent)
            return
        if role not in KINDS:
            raise ValueError(f"the role {role[:40]!r} of {label(e)} is none of {', '.join(KINDS)}, vca")
        kind = KINDS[role]
        if kind == "track" and (tracks or "tracks" in content):
            kind = "group"
        if kind == "master" and any(c is self.session.master for c, _, _ in self._channels):
            self.notes.add(f"{label(e)} is a second master; it is read as a group")
            kind = "group"
        text = e.get("name") or ("" if inner is None else inner.get("name", "")) or ""
        if kind == "master":
            channel = self.session.master
        else:
            name = channel_name(text, self.session.channels, f"{kind} {len(self.session)}")
            channel = self.session.add(Channel(name, kind))  # type: ignore[arg-type]
        for id in filter(None, ids):
            self._names[id] = channel.name
        self._channels.append((channel, inner, parent))
        for track in tracks:
            self._track(track, channel.name if kind != "master" else MASTER)

    def _name(self, id: str, what: str) -> str | None:
        """The channel of an id; None where the session has none for it."""
        if id not in self._names:
            known = id in self.ids
            raise ValueError(f"{what} is {id[:60]!r}, which is {'no track' if known else 'not in the project'}")
        return self._names[id]

    def _route(self, channel: Channel, e: ET.Element, otherwise: str) -> None:
        """Read a channel's output, solo, sends, devices and fader."""
        master = channel is self.session.master
        destination = e.get("destination")
        if master:
            if destination is not None and self._name(destination, "the destination of the master") is not None:
                raise ValueError("the master has a destination, which would be a circle; take it out")
        elif destination is not None:
            channel.output = self._name(destination, f"the destination of {channel.name}") or otherwise
        else:
            channel.output = None if self._own else otherwise
        channel.solo = switch(e, "solo", False)
        for sent in e.findall("Sends/Send"):
            self._send(channel, sent)
        DeviceReader(channel, self.parameters, self._read).read(e.find("Devices"))
        self._fader(channel, channel.fader, e, "")
        self.parameters.switch(e.find("Mute"), channel, channel.fader, "mute", "mute", SWITCH)

    def _send(self, channel: Channel, e: ET.Element) -> None:
        destination = e.get("destination")
        to = None if destination is None else self._name(destination, f"the destination of a send of {channel.name}")
        if to is None:
            self.notes.add(f"a send of {channel.name} goes nowhere and is left out")
            return
        if any(s.to == to for s in channel.sends):
            self.notes.add(f"{channel.name} sends to {to} twice; the second send is left out")
            return
        tap = e.get("type", "post")
        if tap not in ("pre", "post"):
            raise ValueError(f"the type {tap[:40]!r} of a send of {channel.name} is neither pre nor post")
        send = Send(to, tap="pre" if tap == "pre" else "post")
        channel.sends.append(send)
        at = f"{SENDS}.{to}."
        self._fader(channel, send.fader, e, at)
        self.parameters.switch(e.find("Enable"), channel, send.fader, "mute", f"{at}mute", TURNED)

    def _fader(self, channel: Channel, fader: Fader, e: ET.Element, at: str) -> None:
        for tag, address, scale in (("Volume", "gain_db", GAIN), ("Pan", "pan", PAN)):
            element = e.find(tag)
            if element is not None:
                value = self.parameters.value(element, scale, fader.card.addresses[address], f"{channel.name}.{at}{address}")
                if value is not None:
                    fader.set(address, value)
                self.parameters.target(element, channel, f"{at}{address}", scale)

    # What happens when

    def _arrangement(self, arrangement: ET.Element) -> None:
        scope = Scope(self.session.timeline, unit(arrangement, "timeUnit", "beats"))
        markers = arrangement.find("Markers")
        if markers is not None and len(markers):
            self.notes.add(f"{len(markers)} markers are left out, for a session has none")
        lanes = arrangement.find("Lanes")
        if lanes is not None:
            self._lanes(lanes, scope, None)

    def _lanes(self, e: ET.Element, scope: Scope, channel: Channel | None) -> None:
        track = e.get("track")
        if track is not None:
            name = self._name(track, f"the track of {label(e)}")
            channel = None if name is None else self.session[name]
        scope = scope.as_unit(unit(e, "timeUnit", scope.unit))
        if e.tag == "Lanes":
            for child in e:
                self._lanes(child, scope, channel)
        elif e.tag == "Points":
            self._automation.points(e, scope, "the project" if channel is None else channel.name)
        elif channel is None:
            if e.tag not in ("markers", "Timeline"):
                self.notes.add(f"{label(e)} belongs to no track that plays, and is left out")
        elif e.tag == "Clips":
            for child in e.findall("Clip"):
                self._arranger.clip(child, scope, channel)
        elif e.tag in ("Audio", "Warps"):
            self.notes.add(f"{label(e)} of {channel.name} lies in no clip, and is left out")
        else:
            self._arranger.other(e, channel)


def _in_beats(raw: list[tuple[float, float, bool]]) -> list[tuple[float, float, bool]]:
    """Points of the tempo at seconds as points at beats; between them the tempo has its mean in seconds."""
    points, beat, before = [], 0.0, (0.0, raw[0][1], False)
    for time, bpm, ramp in raw:
        mean = (before[1] + bpm) / 2 if before[2] else before[1]
        beat += max(time - before[0], 0.0) * mean / 60.0
        points.append((beat, bpm, ramp))
        before = (time, bpm, ramp)
    return points


def _tempo_map(raw: list[tuple[float, float, bool]]) -> list[Tempo]:
    """Points in order, at rising beats from 0 on."""
    tempos: list[Tempo] = []
    for beat, bpm, ramp in raw:
        if not tempos and beat > 0:
            tempos.append(Tempo(0.0, bpm))
        if beat <= 0:
            tempos = [Tempo(0.0, bpm, ramp)]
        elif beat > tempos[-1].beat:
            tempos.append(Tempo(beat, bpm, ramp))
        else:  # a jump: what was there ends just before
            last = tempos.pop()
            if tempos and tempos[-1].ramp and last.beat - JUMP > tempos[-1].beat:
                tempos.append(Tempo(last.beat - JUMP, last.bpm))
            tempos.append(Tempo(last.beat, bpm, ramp))
    return tempos
