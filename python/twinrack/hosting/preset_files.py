"""States of plugins as the files that hosts exchange: `.vstpreset` of VST3, `.clap-preset` of CLAP, Turtle of LV2."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct

from .child import PluginError
from .description import format_of

ENDINGS = {"lv2": ".ttl", "clap": ".clap-preset", "vst3": ".vstpreset"}
UNNAMED = "<urn:twinrack:state>"  # the subject of a state in memory
PREFIXES = "\n".join(
    f"@prefix {name}: <{address}> ."
    for name, address in {
        "atom": "http://lv2plug.in/ns/ext/atom#", "lv2": "http://lv2plug.in/ns/lv2core#",
        "pset": "http://lv2plug.in/ns/ext/presets#", "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "rdfs": "http://www.w3.org/2000/01/rdf-schema#", "state": "http://lv2plug.in/ns/ext/state#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
    }.items()
)  # fmt: skip
HEAD = 48  # bytes of a .vstpreset before its parts


def preset_bytes(uri: str, state: str, label: str = "") -> bytes:
    """The file of a state.

    Args:
        uri: the plugin's address.
        state: text, as `Plugin.state`.
        label: of the preset, where the format has one (LV2).

    Raises:
        PluginError: the text is none of such a plugin.
    """
    format, id = format_of(uri), uri.partition(":")[2]
    if format == "lv2":
        own = f"<urn:twinrack:preset:{hashlib.sha256(f'{label} {state}'.encode()).hexdigest()[:24]}>"
        named = f"{own}\n\trdfs:label {json.dumps(label or 'preset', ensure_ascii=False)} ;"
        return f"{PREFIXES}\n{state.replace(UNNAMED, named, 1)}".encode()
    head, *parts = state.split(" ")
    if format == "clap" and head in ("clap", "clap-values"):
        raw = state.encode() if head == "clap-values" else _bytes(uri, parts, 1)[0]  # values only, where it has no state
        return b"clap" + struct.pack(">I", len(id.encode())) + id.encode() + raw
    if head != format:
        raise PluginError(f"this is not the state of a plugin like {uri}")
    component, controller = _bytes(uri, parts, 2)
    end = HEAD + len(component)
    listed = [(b"Comp", HEAD, len(component))] + ([(b"Cont", end, len(controller))] if controller else [])
    entries = b"List" + struct.pack("<i", len(listed)) + b"".join(struct.pack("<4sqq", *entry) for entry in listed)
    head_bytes = b"VST3" + struct.pack("<i", 1) + id.encode() + struct.pack("<q", end + len(controller))
    return head_bytes + component + controller + entries


def _bytes(uri: str, parts: list[str], count: int) -> list[bytes]:
    try:
        if len(parts) == count:
            return [base64.b64decode(p, validate=True) for p in parts]
    except binascii.Error:
        pass
    raise PluginError(f"this is not the state of a plugin like {uri}")


def state_of_preset(uri: str, data: bytes) -> str:
    """The state in such a file.

    Raises:
        PluginError: the file is damaged, or of another plugin.
    """
    format, id = format_of(uri), uri.partition(":")[2]
    if format == "lv2":
        return data.decode(errors="replace").replace(PREFIXES, "").strip() + "\n"
    if format == "clap":
        if data[:4] == b"clap" and len(data) >= 8:
            size = struct.unpack(">I", data[4:8])[0]
            if data[8 : 8 + size] != id.encode():
                raise PluginError(f"the preset is of {data[8 : 8 + min(size, 200)].decode(errors='replace')!r}, not of {id}")
            data = data[8 + size :]
        return data.decode(errors="replace") if data.startswith(b"clap-values ") else f"clap {base64.b64encode(data).decode()}"
    try:
        magic, _, own, at = struct.unpack_from("<4si32sq", data)
        if magic != b"VST3":
            raise PluginError("the preset does not begin as a .vstpreset file")
        if own.decode(errors="replace").upper() != id.upper():
            raise PluginError(f"the preset is of {own.decode(errors='replace')!r}, not of {id}")
        parts = {b"Comp": b"", b"Cont": b""}
        mark, count = struct.unpack_from("<4si", data, at)
        for i in range(count if mark == b"List" else 0):
            name, start, size = struct.unpack_from("<4sqq", data, at + 8 + 20 * i)
            if name not in parts:
                continue
            if start < 0 or size < 0 or start + size > len(data):
                raise PluginError("the preset is cut short")
            parts[name] = data[start : start + size]
    except struct.error:
        raise PluginError("the preset is cut short") from None
    return f"vst3 {base64.b64encode(parts[b'Comp']).decode()} {base64.b64encode(parts[b'Cont']).decode()}"
