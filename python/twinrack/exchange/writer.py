"""The writer of a DAWproject's XML: structure, mixer, devices, clips and automation of a session, in seconds."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from ..hosting.effect import Plugin
from ..hosting.plugin_card import PluginParameter
from ..rack.effect import Effect
from ..rack.effects import Fader
from ..session.automation import Lane
from ..session.channel import MASTER, SENDS, Channel, Send
from ..session.session import Session
from ..version import __version__
from .bounce import PreparedSession
from .clips import ExportedClip
from .devices import BAND, BAND_TYPES, CUTS, DEVICES, WITH_GAIN, Field, bands, serial
from .lines import straight
from .plugin_devices import TAGS as PLUGIN_TAGS
from .plugin_devices import device_id, parameter_id, scale_of, state_file
from .text import amplitude, lines, plain
from .units import CLOSE, CLOSE_DB, GAIN, PAN, SWITCH, TURNED, Scale

APPLICATION = "twinrack"
ROLES = {"track": "regular", "group": "submix", "return": "effect", "master": "master"}
TAGS = (
    ("Title", "title"), ("Artist", "artist"), ("Album", "album"), ("Year", "date"), ("Genre", "genre"),
    ("Copyright", "copyright"), ("Comment", "comment"),
)  # fmt: skip
_DEEPEST_NEST = 32  # groups within each other; what is deeper stands beside them and goes there by its destination


def text_of(root: ET.Element) -> bytes:
    """A document as UTF-8."""
    ET.indent(root)
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def metadata_of(session: Session) -> tuple[ET.Element, list[str]]:
    """The document MetaData, and what it cannot express."""
    root = ET.Element("MetaData")
    for tag, name in TAGS:
        if name in session.metadata:
            ET.SubElement(root, tag).text = lines(session.metadata[name])
    known = {name for _, name in TAGS}
    lost = [name for name in session.metadata if name not in known]
    return root, [f"metadata {name!r} is left out, which DAWproject cannot express" for name in lost]


class Writer:
    """The document Project of a prepared session; `notes` grows by what cannot be expressed, `states` by files of plugins."""

    def __init__(self, prepared: PreparedSession) -> None:
        self.session, self.prepared, self.notes = prepared.session, prepared, prepared.notes
        self._numbers: dict[str, int] = {}
        self._targets: dict[tuple[str, str], tuple[str, Scale]] = {}
        self._count = 0
        self.states: dict[str, bytes] = {}

    def project(self) -> ET.Element:
        session = self.session
        root = ET.Element("Project", version="1.0")
        ET.SubElement(root, "Application", name=APPLICATION, version=__version__)
        transport = ET.SubElement(root, "Transport")
        first = session.tempo[0].bpm
        ET.SubElement(transport, "Tempo", id="tempo", name="Tempo", unit="bpm", value=repr(float(first)))
        ET.SubElement(transport, "TimeSignature", id="signature", numerator="4", denominator="4")
        structure = ET.SubElement(root, "Structure")
        order = in_groups(session)
        self._numbers = {channel.name: i for i, (channel, _) in enumerate(order)}
        parents: dict[str | None, ET.Element] = {None: structure}
        for channel, group in order:
            parents[channel.name] = self._track(parents[group], channel)
        arrangement = ET.SubElement(root, "Arrangement", id="arrangement", name=plain(session.name))
        arrangement.set("comment", f"{session.sample_rate:g} Hz")
        lanes = ET.SubElement(arrangement, "Lanes", id="lanes", timeUnit="seconds")
        for channel, _ in order:
            self._lanes(lanes, channel)
        if len(session.tempo) > 1:
            self._tempo(arrangement)
        if session.end is not None:
            self.notes.append(f"the session's end at {session.end!r} is left out, which DAWproject cannot express")
        return root

    # What a channel is

    def _track(self, parent: ET.Element, channel: Channel) -> ET.Element:
        number = self._numbers[channel.name]
        group = channel.kind == "group"
        content = "audio tracks" if group and self.prepared.clips[channel.name] else "tracks" if group else "audio"
        track = ET.SubElement(
            parent, "Track", id=f"track{number}", name=plain(channel.name), contentType=content, loaded="true"
        )
        e = ET.SubElement(track, "Channel", id=f"channel{number}", role=ROLES[channel.kind])
        e.set("audioChannels", str(self.session.width))
        e.set("solo", _bool(channel.solo))
        if channel.output is not None:
            e.set("destination", f"channel{self._numbers[channel.output]}")
        elif channel.name != MASTER:
            self.notes.append(
                f"{channel.name} goes nowhere; it is written without a destination, which may be read as the master"
            )
        if channel.rack.effects:
            self._devices(ET.SubElement(e, "Devices"), channel)
        self._switch(e, "Mute", channel, "mute", bool(channel.mute), SWITCH)
        self._pan(e, channel, channel.fader, "pan")
        if channel.sends:
            sends = ET.SubElement(e, "Sends")
            for send in channel.sends:
                self._send(sends, channel, send)
        self._volume(e, channel, channel.fader, "gain_db")
        return track

    def _send(self, parent: ET.Element, channel: Channel, send: Send) -> None:
        e = ET.SubElement(parent, "Send", id=self._id(), destination=f"channel{self._numbers[send.to]}", type=send.tap)
        at = f"{SENDS}.{send.to}"
        self._switch(e, "Enable", channel, f"{at}.mute", not send.fader.get("mute"), TURNED)
        self._pan(e, channel, send.fader, f"{at}.pan")
        self._volume(e, channel, send.fader, f"{at}.gain_db")

    def _id(self) -> str:
        self._count += 1
        return f"id{self._count}"

    def _target(self, channel: Channel, address: str, scale: Scale) -> str:
        id = self._id()
        self._targets[channel.name, address] = (id, scale)
        return id

    def _switch(self, e: ET.Element, tag: str, channel: Channel, address: str, value: bool, scale: Scale) -> None:
        ET.SubElement(e, tag, id=self._target(channel, address, scale), value=_bool(value))

    def _pan(self, e: ET.Element, channel: Channel, fader: Fader, address: str) -> None:
        value = PAN.text(float(fader.get("pan")))
        ET.SubElement(e, "Pan", id=self._target(channel, address, PAN), unit="normalized", min="0", max="1", value=value)

    def _volume(self, e: ET.Element, channel: Channel, fader: Fader, address: str) -> None:
        db = float(fader.get("gain_db"))
        least = float(fader.card.addresses["gain_db"].min)
        value = "0" if db <= least else amplitude(db)
        ET.SubElement(e, "Volume", id=self._target(channel, address, GAIN), unit="linear", min="0", value=value)

    def _devices(self, parent: ET.Element, channel: Channel) -> None:
        addresses = {id(effect): address for address, effect in channel.rack.addresses().items()}
        for item in serial(channel.rack.effects):
            if isinstance(item, Plugin):
                self._plugin(parent, channel, item, addresses[id(item)])
            elif isinstance(item, Effect) and item.card.id in DEVICES:
                self._device(parent, channel, item, addresses[id(item)])

    def _device(self, parent: ET.Element, channel: Channel, effect: Effect, address: str) -> None:
        device = DEVICES[effect.card.id]
        e = ET.SubElement(parent, device.tag, id=self._id(), deviceName=effect.card.name, deviceRole="audioFX")
        e.set("deviceVendor", APPLICATION)
        if effect.name is not None:
            e.set("name", effect.name)
        ET.SubElement(e, "Enabled", id=self._id(), value=_bool(not effect.bypass))
        for field in device.fields:
            self._field(e, channel, effect, address, field.address, field)
        if effect.card.id == "parametric_eq":
            for i, kind, order in bands(effect):
                band = ET.SubElement(e, "Band", type=BAND_TYPES[kind])
                if kind in CUTS:
                    band.set("order", str(order))
                for field in BAND:
                    if field.tag != "Gain" or kind in WITH_GAIN:
                        self._field(band, channel, effect, address, f"band{i}.{field.address}", field)
                ET.SubElement(band, "Enabled", id=self._id(), value="true")

    def _plugin(self, parent: ET.Element, channel: Channel, effect: Plugin, address: str) -> None:
        e = ET.SubElement(parent, PLUGIN_TAGS[effect.uri_format], id=self._id(), deviceID=device_id(effect.uri))
        e.set("deviceName", plain(effect.card.name))
        e.set("deviceRole", "audioFX")
        if effect.name is not None:
            e.set("name", effect.name)
        moved = [p for p in effect.card.parameters if f"{address}.{p.id}" in channel.automation]
        parameters = ET.SubElement(e, "Parameters") if moved else e
        for p in moved:
            assert isinstance(p, PluginParameter)
            scale = scale_of(p)
            if scale is None:
                continue  # which is noted where its automation is left out
            id, value = self._target(channel, f"{address}.{p.id}", scale), p.to_engine(effect.get(p.id))
            element = ET.SubElement(parameters, "BoolParameter" if scale.unit is None else "RealParameter", id=id)
            element.set("parameterID", str(parameter_id(p)))
            element.set("name", plain(p.doc.rstrip(".")))
            if scale.unit is not None:
                element.set("unit", scale.unit)
            element.set("value", _bool(value > 0.5) if scale.unit is None else scale.text(value))
        ET.SubElement(e, "Enabled", id=self._id(), value=_bool(not effect.bypass))
        ending, content = state_file(effect)
        path = f"plugins/{len(self.states) + 1}{ending}"
        self.states[path] = content
        ET.SubElement(e, "State", path=path)

    def _field(self, e: ET.Element, channel: Channel, effect: Effect, place: str, address: str, field: Field) -> None:
        value = effect.get(address)
        element = ET.SubElement(e, field.tag, id=self._target(channel, f"{place}.{address}", field.scale))
        if field.scale.unit is None:
            element.set("value", _bool(bool(value)))
        else:
            element.set("unit", field.scale.unit)
            element.set("value", field.scale.text(float(value)))

    # What happens when

    def _lanes(self, parent: ET.Element, channel: Channel) -> None:
        lanes = ET.SubElement(parent, "Lanes", id=self._id(), track=f"track{self._numbers[channel.name]}")
        clips = self.prepared.clips[channel.name]
        if clips:
            e = ET.SubElement(lanes, "Clips", id=self._id())
            for clip in clips:
                self._clip(e, clip)
        for address, points in channel.automation.items():
            p = channel.parameter(address)
            lane = Lane(f"{channel.name}.{address}", p, points, self.session.timeline)
            target = self._targets.get((channel.name, address))
            if target is None:
                self.notes.append(f"the automation of {lane.address} is left out, for DAWproject has no such value")
            else:
                self._points(lanes, lane, *target)

    def _clip(self, parent: ET.Element, clip: ExportedClip) -> None:
        def seconds(frames: int) -> str:
            return repr(frames / self.session.sample_rate)

        e = ET.SubElement(parent, "Clip", time=seconds(clip.start), duration=seconds(clip.frames))
        e.set("contentTimeUnit", "seconds")
        e.set("playStart", seconds(clip.offset))
        if clip.region:
            e.set("loopStart", seconds(clip.offset))
            e.set("loopEnd", seconds(clip.offset + clip.region))
        if clip.fade_in or clip.fade_out:
            e.set("fadeTimeUnit", "seconds")
            e.set("fadeInTime", seconds(clip.fade_in))
            e.set("fadeOutTime", seconds(clip.fade_out))
        if clip.name:
            e.set("name", plain(clip.name))
        if clip.mute:
            e.set("enable", "false")
        if clip.gain_db:
            e = ET.SubElement(e, "Lanes", id=self._id())
        recording = clip.recording
        audio = ET.SubElement(
            e, "Audio", id=self._id(), channels=str(recording.channels), sampleRate=str(recording.sample_rate)
        )
        audio.set("duration", repr(recording.seconds))
        ET.SubElement(audio, "File", path=recording.name)
        if clip.gain_db:
            points = ET.SubElement(e, "Points", id=self._id(), unit="linear")
            ET.SubElement(points, "Target", expression="gain")
            ET.SubElement(points, "RealPoint", time="0.0", value=amplitude(clip.gain_db), interpolation="hold")

    def _points(self, parent: ET.Element, lane: Lane, target: str, scale: Scale) -> None:
        e = ET.SubElement(parent, "Points", id=self._id())
        if scale.unit is not None:
            e.set("unit", scale.unit)
        ET.SubElement(e, "Target", parameter=target)
        places, added = straight(lane)
        if added:
            unit = lane.parameter.unit
            exact = (
                f"{CLOSE_DB:g} dB"
                if unit == "dB"
                else f"{CLOSE:g} of its {'value' if lane.parameter.scale == 'log' else 'range'}"
            )
            self.notes.append(f"the curves of the automation of {lane.address} are written as straight lines, exact to {exact}")
        for time, value, hold in places:
            if scale.unit is None:
                on = (value > 0.5) != (scale.factor < 0)
                ET.SubElement(e, "BoolPoint", time=repr(time), value=_bool(on))
            else:
                point = ET.SubElement(e, "RealPoint", time=repr(time), value=scale.text(value))
                point.set("interpolation", "hold" if hold else "linear")

    def _tempo(self, arrangement: ET.Element) -> None:
        e = ET.SubElement(arrangement, "TempoAutomation", id=self._id(), timeUnit="beats", unit="bpm")
        ET.SubElement(e, "Target", parameter="tempo")
        for point in self.session.tempo:
            element = ET.SubElement(e, "RealPoint", time=repr(float(point.beat)), value=repr(float(point.bpm)))
            element.set("interpolation", "linear" if point.ramp else "hold")


def in_groups(session: Session) -> list[tuple[Channel, str | None]]:
    """The channels as a workstation lists them: each after the group that it lies in, with that group's name."""
    members: dict[str | None, list[Channel]] = {}
    for channel in session:
        output = channel.output
        members.setdefault(output if output is not None and session[output].kind == "group" else None, []).append(channel)
    listed: list[tuple[Channel, str | None]] = []
    waiting: list[tuple[Channel, str | None, int]] = [(channel, None, 0) for channel in reversed(members.get(None, []))]
    while waiting:
        channel, group, depth = waiting.pop()
        listed.append((channel, group))
        inside: str | None = channel.name if depth < _DEEPEST_NEST else None
        waiting += [(c, inside, depth + 1 if inside else 0) for c in reversed(members.get(channel.name, []))]
    return listed


def _bool(value: Any) -> str:
    return "true" if value else "false"
