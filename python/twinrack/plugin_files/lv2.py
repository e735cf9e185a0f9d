"""The bundle of an LV2 plugin: the library, the flat rack, and descriptions in Turtle (lv2plug.in/ns)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np

from .. import _engine
from ..rack.rack import Rack
from .parameters import HostParameter, symbol

LIBRARY, FLAT, PLUGIN, MANIFEST, PRESETS = "rack.so", "rack.flat", "rack.ttl", "manifest.ttl", "presets.ttl"
PREFIXES = {
    "doap": "http://usefulinc.com/ns/doap#",
    "lv2": "http://lv2plug.in/ns/lv2core#",
    "pg": "http://lv2plug.in/ns/ext/port-groups#",
    "pprops": "http://lv2plug.in/ns/ext/port-props#",
    "pset": "http://lv2plug.in/ns/ext/presets#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "units": "http://lv2plug.in/ns/extensions/units#",
}
UNITS = {"dB": "db", "Hz": "hz", "ms": "ms", "s": "s", "%": "pc", "octaves": "oct", "semitones": "semitone12TET"}
# Of racks with one effect: the class in which a host lists it.
CLASSES = {
    "compressor": "CompressorPlugin", "gate": "GatePlugin", "limiter": "LimiterPlugin", "parametric_eq": "ParaEQPlugin",
    "fdn_reverb": "ReverbPlugin", "convolution_reverb": "ReverbPlugin", "saturation": "DistortionPlugin",
    "gain": "AmplifierPlugin", "fader": "MixerPlugin",
}  # fmt: skip
SIDES = {1: ["center"], 2: ["left", "right"]}
LICENCE = "https://www.apache.org/licenses/LICENSE-2.0"


def write_bundle(
    folder: Path,
    library: Path,
    rack: Rack,
    flat: _engine.FlatRack,
    flat_bytes: bytes,
    parameters: list[HostParameter],
    presets: Mapping[str, list[float]],
) -> None:
    """Write the files of the bundle into a folder that is there and empty."""
    shutil.copyfile(library, folder / LIBRARY)
    (folder / LIBRARY).chmod(0o755)
    (folder / FLAT).write_bytes(flat_bytes)
    (folder / PLUGIN).write_text(plugin_turtle(rack, flat, parameters), encoding="utf-8")
    (folder / MANIFEST).write_text(manifest_turtle(flat, presets), encoding="utf-8")
    if presets:
        (folder / PRESETS).write_text(presets_turtle(flat, parameters, presets), encoding="utf-8")


def manifest_turtle(flat: _engine.FlatRack, presets: Mapping[str, list[float]]) -> str:
    """The list of what is in the bundle."""
    lines = [_prefixes(), f"<{flat.id}>\n\ta lv2:Plugin ;\n\tlv2:binary <{LIBRARY}> ;\n\trdfs:seeAlso <{PLUGIN}> .\n"]
    for name in presets:
        lines.append(
            f"<{_preset(flat, name)}>\n\ta pset:Preset ;\n\tlv2:appliesTo <{flat.id}> ;\n\trdfs:label {_text(name)} ;\n"
            f"\trdfs:seeAlso <{PRESETS}> .\n"
        )
    return "\n".join(lines)


def presets_turtle(flat: _engine.FlatRack, parameters: list[HostParameter], presets: Mapping[str, list[float]]) -> str:
    """The values of presets, each in the order of the parameters."""
    lines = [_prefixes()]
    for name, values in presets.items():
        ports = " ,\n\t\t".join(
            f"[ lv2:symbol {_text(p.flat.symbol)} ; pset:value {_number(v)} ]" for p, v in zip(parameters, values, strict=True)
        )
        lines.append(
            f"<{_preset(flat, name)}>\n\ta pset:Preset ;\n\tlv2:appliesTo <{flat.id}> ;\n\trdfs:label {_text(name)}"
            f"{' ;' + chr(10) + chr(9) + 'lv2:port ' + ports if ports else ''} .\n"
        )
    return "\n".join(lines)


def plugin_turtle(rack: Rack, flat: _engine.FlatRack, parameters: list[HostParameter]) -> str:
    """The description of the plugin and its ports."""
    ports = [*_audio_ports(flat), *_own_controls(), *(_control(flat, p) for p in parameters)]
    numbered = " ,\n\t\t".join(f"[\n\t\t\t{port} ;\n\t\t\tlv2:index {i}\n\t\t]" for i, port in enumerate(ports))
    effects = list(rack.addresses().values())
    kind = CLASSES.get(effects[0].card.id) if len(effects) == 1 else None
    purposes = "\n".join(f"{address}: {e.card.purpose}" for address, e in rack.addresses().items())
    return "\n".join(
        [
            _prefixes(),
            f"<{flat.id}>\n\ta lv2:Plugin{f' , lv2:{kind}' if kind else ''} ;",
            f"\tdoap:name {_text(flat.name)} ;\n\tdoap:license <{LICENCE}> ;",
            f"\trdfs:comment {_text(f'{flat.description}{chr(10)}{chr(10)}{purposes}')} ;",
            "\tlv2:minorVersion 2 ;\n\tlv2:microVersion 0 ;\n\tlv2:optionalFeature lv2:hardRTCapable ;",
            f"\tpg:mainInput <{flat.id}#in> ;\n\tpg:mainOutput <{flat.id}#out> ;",
            f"\tlv2:port {numbered} .\n",
            *_groups(flat, parameters),
        ]
    )


def _audio_ports(flat: _engine.FlatRack) -> list[str]:
    ports = []
    for way, kind in (("in", "InputPort"), ("out", "OutputPort")):
        ports += [
            f"a lv2:{kind} , lv2:AudioPort ;\n\t\t\tlv2:symbol {_text(f'{way}_{c + 1}')} ;\n\t\t\t"
            f"lv2:name {_text(f'{way.capitalize()} {c + 1}')}{_side(flat, c)} ;\n\t\t\tpg:group <{flat.id}#{way}>"
            for c in range(flat.channels)
        ]
    for k, key in enumerate(flat.keys):
        ports += [
            f"a lv2:InputPort , lv2:AudioPort ;\n\t\t\tlv2:symbol {_text(f'key_{k + 1}_{c + 1}')} ;\n\t\t\t"
            f"lv2:name {_text(f'{key} {c + 1}')}{_side(flat, c)} ;\n\t\t\t"
            f"lv2:portProperty lv2:isSideChain , lv2:connectionOptional ;\n\t\t\tpg:group <{flat.id}#key_{k + 1}>"
            for c in range(flat.channels)
        ]
    return ports


def _side(flat: _engine.FlatRack, channel: int) -> str:
    sides = SIDES.get(flat.channels)
    return f" ;\n\t\t\tlv2:designation pg:{sides[channel]}" if sides else ""


def _own_controls() -> list[str]:
    """The ports of the whole: whether it is on, and its latency."""
    return [
        'a lv2:InputPort , lv2:ControlPort ;\n\t\t\tlv2:symbol "enabled" ;\n\t\t\tlv2:name "Enabled" ;\n\t\t\t'
        "lv2:designation lv2:enabled ;\n\t\t\tlv2:portProperty lv2:toggled , lv2:integer ;\n\t\t\tlv2:default 1 ;\n\t\t\t"
        "lv2:minimum 0 ;\n\t\t\tlv2:maximum 1",
        'a lv2:OutputPort , lv2:ControlPort ;\n\t\t\tlv2:symbol "latency" ;\n\t\t\tlv2:name "Latency" ;\n\t\t\t'
        "lv2:designation lv2:latency ;\n\t\t\tlv2:portProperty lv2:reportsLatency , lv2:integer ;\n\t\t\t"
        "lv2:minimum 0 ;\n\t\t\tlv2:maximum 384000 ;\n\t\t\tunits:unit units:frame",
    ]


def _control(flat: _engine.FlatRack, p: HostParameter) -> str:
    low, high, properties, more = p.parameter.min, p.parameter.max, [], []
    if p.parameter.kind == "choice":
        low, high, properties = 0.0, float(len(p.parameter.options) - 1), ["lv2:enumeration", "lv2:integer"]
        points = " , ".join(f"[ rdfs:label {_text(o)} ; rdf:value {i} ]" for i, o in enumerate(p.parameter.options))
        more.append(f"lv2:scalePoint {points}")
    elif p.parameter.kind == "switch":
        low, high, properties = 0.0, 1.0, ["lv2:toggled", "lv2:integer"]
    elif p.parameter.scale == "log":
        properties = ["pprops:logarithmic"]
    if p.parameter.kind == "continuous" and p.flat.unit:
        more.append(f"units:unit {_unit(p.flat.unit)}")
    if properties:
        more.append(f"lv2:portProperty {' , '.join(properties)}")
    lines = [
        "a lv2:InputPort , lv2:ControlPort",
        f"lv2:symbol {_text(p.flat.symbol)}",
        f"lv2:name {_text(f'{p.flat.group} {p.flat.name[:1].lower()}{p.flat.name[1:]}')}",
        f"lv2:shortName {_text(p.flat.name[:16])}",
        f"rdfs:comment {_text(p.parameter.doc)}",
        f"lv2:default {_number(p.flat.initial)}",
        f"lv2:minimum {_number(low)}",
        f"lv2:maximum {_number(high)}",
        *more,
        f"pg:group <{flat.id}#{_group(p)}>",
    ]
    return " ;\n\t\t\t".join(lines)


def _unit(unit: str) -> str:
    if unit in UNITS:
        return f"units:{UNITS[unit]}"
    label, render = _text(unit), _text(f"%f {unit.replace('%', '%%')}")
    return f"[ a units:Unit ; rdfs:label {label} ; units:symbol {label} ; units:render {render} ]"


def _groups(flat: _engine.FlatRack, parameters: list[HostParameter]) -> Iterable[str]:
    kind = {1: "pg:MonoGroup", 2: "pg:StereoGroup"}.get(flat.channels, "pg:DiscreteGroup")
    yield f'<{flat.id}#in>\n\ta {kind} , pg:InputGroup ;\n\tlv2:symbol "in" ;\n\tlv2:name "In" .\n'
    yield (
        f'<{flat.id}#out>\n\ta {kind} , pg:OutputGroup ;\n\tlv2:symbol "out" ;\n\tlv2:name "Out" ;\n'
        f"\tpg:source <{flat.id}#in> .\n"
    )
    for k, key in enumerate(flat.keys):
        yield (
            f"<{flat.id}#key_{k + 1}>\n\ta {kind} , pg:InputGroup ;\n\tlv2:symbol {_text(f'key_{k + 1}')} ;\n"
            f"\tlv2:name {_text(key)} ;\n\tpg:sideChainOf <{flat.id}#in> .\n"
        )
    for group, name in {_group(p): p.flat.group for p in parameters}.items():
        yield f"<{flat.id}#{group}>\n\ta pg:InputGroup ;\n\tlv2:symbol {_text(group)} ;\n\tlv2:name {_text(name)} .\n"


def _group(p: HostParameter) -> str:
    return f"effect_{symbol(p.address.partition('.')[0])}"


def _preset(flat: _engine.FlatRack, name: str) -> str:
    return f"{flat.id}#preset_{quote(name, safe='')}"


def _prefixes() -> str:
    return "".join(f"@prefix {name}: <{address}> .\n" for name, address in PREFIXES.items())


def _text(x: str) -> str:
    return json.dumps(x, ensure_ascii=False)


def _number(x: float) -> str:
    """The float32 in as many digits as bring it back."""
    text = f"{float(np.float32(x)):.9g}"
    return text if any(c in text for c in ".e") else f"{text}.0"
