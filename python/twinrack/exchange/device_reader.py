"""The generic devices of a DAWproject channel as effects of a rack."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ..hosting.plugin_card import PluginParameter
from ..rack.effect import CLASSES, Effect
from ..rack.rack import Rack
from ..session.channel import OWN, SENDS, Channel
from .devices import BAND, BAND_TYPES, CUTS, DEVICES, WITH_GAIN, Field
from .parameter_reader import ParameterReader
from .plugin_devices import Reads, parameter_id, read_plugin, scale_of, uri_of
from .scope import label, number, switch
from .text import plain
from .units import GAIN

CARDS_BY_TAG = {"Compressor": "compressor", "NoiseGate": "gate", "Limiter": "limiter"}
TYPES_BY_NAME = {name: kind for kind, name in BAND_TYPES.items()}
MOST_DEVICES = 500
Moved = list[tuple[Effect, str, ET.Element, Field]]


class DeviceReader:
    """Reads the Devices of a channel into its rack."""

    def __init__(self, channel: Channel, parameters: ParameterReader, read: Reads) -> None:
        self.channel, self.parameters, self._read = channel, parameters, read
        self._effects: list[Effect] = []
        self._moved: Moved = []
        self._names: set[str] = set()

    def read(self, devices: ET.Element | None) -> None:
        if devices is None:
            return
        if len(devices) > MOST_DEVICES:
            raise ValueError(f"{self.channel.name} has {len(devices)} devices; at most {MOST_DEVICES} are read")
        for e in devices:
            if e.tag in CARDS_BY_TAG:
                self._device(e)
            elif e.tag == "Equalizer":
                self._equalizer(e)
            elif (uri := uri_of(e)) is not None:
                self._plugin(e, uri)
            else:
                what = plain(e.get("deviceName") or e.get("name") or e.tag)[:60]
                self.parameters.notes.add(
                    f"the device {what!r} of {self.channel.name} is left out, which is not one of DAWproject's own"
                )
        self.channel.rack = Rack(self._effects, name=self.channel.name)
        addresses = {id(effect): address for address, effect in self.channel.rack.addresses().items()}
        for effect, address, e, field in self._moved:
            p = effect.card.addresses[address]
            if not p.rebuilds and address != effect.card.latency:
                self.parameters.target(e, self.channel, f"{addresses[id(effect)]}.{address}", field.scale)

    def _effect(self, card: str, e: ET.Element, named: bool = True) -> Effect:
        """An effect that is on when the device is, and with its name where effects can have it."""
        effect = CLASSES[card](name=self._name(e) if named else None, bypass=_bypass(e))
        self._effects.append(effect)
        return effect

    def _name(self, e: ET.Element) -> str | None:
        """The device's name, where an effect can have it."""
        name = e.get("name", "")
        if not name.isidentifier() or len(name) > 60 or name in self._names | {SENDS, *OWN}:
            return None
        self._names.add(name)
        return name

    def _plugin(self, e: ET.Element, uri: str) -> None:
        effect = read_plugin(e, uri, self._name(e), _bypass(e), self._read, self.parameters.notes.add)
        if effect is None:
            return
        self._effects.append(effect)
        by_number = {parameter_id(p): p for p in effect.card.parameters if isinstance(p, PluginParameter)}
        for element in e.iterfind("Parameters/*"):
            p = by_number.get(round(number(element, "parameterID", -1.0, -float(1 << 31))))
            scale = None if p is None else scale_of(p)
            if p is not None and scale is not None:
                self._moved.append((effect, p.id, element, Field(element.tag, p.id, scale)))

    def _gain(self, e: ET.Element, tag: str, always: bool = False) -> None:
        """A gain of a device that ours does not have, as an effect of its own."""
        element = e.find(tag)
        if element is None:
            return
        p = CLASSES["gain"].card.addresses["gain_db"]
        value = self.parameters.value(element, GAIN, p, f"{tag} of {label(e)} of {self.channel.name}")
        if value or always:
            effect = self._effect("gain", e, named=always)
            effect.set("gain_db", value or 0.0)
            self._moved.append((effect, "gain_db", element, Field(tag, "gain_db", GAIN)))

    def _device(self, e: ET.Element) -> None:
        card = CARDS_BY_TAG[e.tag]
        own = {field.tag for field in DEVICES[card].fields}
        if "InputGain" not in own:
            self._gain(e, "InputGain")
        effect = self._effect(card, e)
        for field in DEVICES[card].fields:
            self._field(effect, e.find(field.tag), field.address, field)
        if "OutputGain" not in own:
            self._gain(e, "OutputGain")

    def _field(self, effect: Effect, e: ET.Element | None, address: str, field: Field) -> None:
        if e is None:
            return
        p = effect.card.addresses[address]
        if field.scale.unit is None:
            effect.set(address, switch(e, "value", bool(p.default)))
        else:
            value = self.parameters.value(e, field.scale, p, f"{field.tag} of the {effect.card.name} of {self.channel.name}")
            if value is not None:
                effect.set(address, value)
        self._moved.append((effect, address, e, field))

    def _equalizer(self, e: ET.Element) -> None:
        bands = e.findall("Band")
        if not bands and (e.find("InputGain") is not None or e.find("OutputGain") is not None):
            self._gain(e, "InputGain", always=True)
            self._gain(e, "OutputGain")
            return
        self._gain(e, "InputGain")
        enabled = [band for band in bands if (on := band.find("Enabled")) is None or switch(on, "value", True)]
        most = CLASSES["parametric_eq"].card.groups[0].count
        for first in range(0, max(len(enabled), 1), most):
            effect = self._effect("parametric_eq", e)
            for i, band in enumerate(enabled[first : first + most], 1):
                self._band(effect, i, band)
        self._gain(e, "OutputGain")

    def _band(self, effect: Effect, i: int, e: ET.Element) -> None:
        where = f"band {i} of the Equalizer of {self.channel.name}"
        kind = TYPES_BY_NAME.get(e.get("type", ""))
        if kind is None:
            raise ValueError(f"type={e.get('type', '')[:40]!r} of {where} is none of {', '.join(TYPES_BY_NAME)}")
        effect.set(f"band{i}.type", kind)
        if kind in CUTS:
            order = round(number(e, "order", 2.0, 0.0))
            slope = 12 * min(max(-(-order // 2), 1), 4)
            if slope != 6 * order:
                self.parameters.notes.add(f"the order {order} of {where} is not possible; it has {slope} dB per octave")
            effect.set(f"band{i}.slope_db_per_octave", str(slope))
        if e.find("Freq") is None:
            raise ValueError(f"{where} has no Freq; say where it acts")
        for field in BAND:
            if field.tag != "Gain" or kind in WITH_GAIN:
                self._field(effect, e.find(field.tag), f"band{i}.{field.address}", field)


def _bypass(e: ET.Element) -> bool:
    enabled = e.find("Enabled")
    return enabled is not None and not switch(enabled, "value", True)
