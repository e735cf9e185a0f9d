"""The player of a page: a recording through racks, with a knob for every value that may move, compared in step."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
import soundfile

from ..audio import Audio
from ..measure.loudness import loudness
from ..plugin_files.flat import flatten
from ..plugin_files.parameters import HostParameter, group_name, value_name
from ..rack.card import Parameter
from ..rack.external_effect import has_external
from ..rack.rack import Rack
from ..rack.tree import Chain
from .module import has_module, packed, packed_module

DAILY = 5  # values of an effect that are shown at once; the others are folded
LARGEST_FLAC = 2_500_000  # bytes of all sounds together, above which they are compressed with losses
OPUS_RATE = 48000
MOST_CHANNELS = 2
DRAWN = 600  # parts of the recording
SILENT_LUFS = -70.0


@dataclass(frozen=True)
class Scene:
    """The racks and sounds of a player.

    Attributes:
        racks: by the name that a reader sees; alike but for their values. The first has the knobs.
        dry: (channels, frames), one or two channels; what goes into the racks.
        sample_rate: Hz.
        target: what the first rack should sound like; none where there is no such thing.
        title: of the player, for screen readers.
        small: store the sounds with small losses, whatever their size.
        stems: whose sum is `dry`, by name: each gets a fader, mute and solo.
        sidechains: what keyed effects listen to, by name: (channels, frames) each, as long as `dry`.
    """

    racks: Mapping[str, Rack]
    dry: Audio
    sample_rate: float
    target: Audio | None = None
    title: str = "Hear it"
    small: bool = False
    stems: Mapping[str, Audio] | None = None
    sidechains: Mapping[str, Audio] | None = None


def cannot_play(scene: Scene) -> str:
    """One sentence on why pages cannot play this; empty where they can."""
    if not has_module():
        return "This installation has no engine for pages (in the clone of twinrack: make web), so nothing can be turned here."
    if any(has_external(rack.addresses().values()) for rack in scene.racks.values()):
        return "An effect of this rack is made outside the engine, so it cannot play in a page."
    if scene.dry.shape[0] > MOST_CHANNELS:
        return f"Pages play one or two channels, and this recording has {scene.dry.shape[0]}."
    names = next(iter(scene.racks.values())).sidechains
    if any(rack.sidechains != names for rack in scene.racks.values()):
        return "These racks listen to different sidechains, which a page does not play."
    if without := [name for name in names if name not in (scene.sidechains or {})]:
        return f"The rack listens to the sidechain “{without[0]}”, for which no sound was given."
    return ""


def player_html(*scenes: Scene, folded: Sequence[Scene] = ()) -> str:
    """Players as HTML, once in a page: elements with their data, style and scripts. Several have their titles above them.

    Args:
        folded: further players, each behind its title until a reader opens it.

    Raises:
        ValueError: `cannot_play` says why.
    """
    for scene in (*scenes, *folded):
        if reason := cannot_play(scene):
            raise ValueError(reason)
    static = files(__package__) / "static"
    names = ("engine.js", "worklet.js", "measures.js", "player.js", "player.css")
    engine, worklet, measures, player, style = ((static / name).read_text(encoding="utf-8") for name in names)
    elements = [(f"<h3>{escape(s.title)}</h3>\n" if len(scenes) > 1 else "") + _element(s) for s in scenes]
    elements += [f"<details><summary>{escape(s.title)}</summary>\n{_element(s)}\n</details>" for s in folded]
    return "\n".join(
        [
            f"<style>{style}</style>",
            *elements,
            f'<script type="text/plain" class="tr-engine">{packed_module()}</script>',
            f'<script type="text/plain" class="tr-code">{engine}</script>',
            f'<script type="text/plain" class="tr-worklet">{worklet}</script>',
            f"<script>{measures}\n{player}</script>",
        ]
    )


def _element(scene: Scene) -> str:
    data = as_json(scene_data(scene))
    return f'<div class="tr-player"></div>\n<script type="application/json" class="tr-scene">{data}</script>'


def as_json(value: object) -> str:
    """JSON that may stand in a script element, whatever texts are in it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for mark in ("<", "\u2028", "\u2029"):
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def scene_data(scene: Scene) -> dict[str, Any]:
    """All that a player needs to know, as JSON can have it."""
    rate, channels = scene.sample_rate, scene.dry.shape[0]
    names = list(scene.racks)
    main = scene.racks[names[0]]
    flats, parameters = {}, []
    for name, rack in scene.racks.items():
        flat, host, _ = flatten(rack, channels, "urn:twinrack:page", rack.name or "rack", rates=[rate])
        flat.patch = b""
        flats[name] = packed(flat.to_bytes())
        if rack is main:
            parameters = host
    sounds = {"dry": scene.dry} | ({} if scene.target is None else {"target": scene.target})
    levels = {name: _lufs(x, rate) for name, x in sounds.items()}
    keys = {name: _as_wide(scene.sidechains[name], channels) for name in main.sidechains} if scene.sidechains else {}
    levels |= {name: _lufs(rack.copy()(scene.dry, rate, sidechain=keys or None), rate) for name, rack in scene.racks.items()}
    quietest = min((level for level in levels.values() if level > SILENT_LUFS), default=0.0)
    # The dry sound of stems is their sum, which the page makes.
    stems = [] if scene.stems is None else list(scene.stems)
    scale = 1.0  # what is stored lies below full scale
    if scene.stems is not None:
        scale = max(1.0, *(float(np.abs(x).max(initial=0.0)) for x in scene.stems.values()))
        sounds = {f"stem {i}": x / np.float32(scale) for i, x in enumerate(scene.stems.values())}
    sounds |= {f"key {i}": x for i, x in enumerate(keys.values())}
    stored, how = encoded(sounds, rate, largest=0 if scene.small else LARGEST_FLAC)
    return {
        "title": scene.title,
        "rate": rate,
        "channels": channels,
        "main": names[0],
        "racks": flats,
        "sounds": stored,
        "stems": stems,
        "keys": len(keys),
        "stem_scale": scale,
        "stored": how,
        "seconds": scene.dry.shape[1] / rate,
        "peaks": _peaks(scene.dry[0]),
        "gains": {name: 10 ** ((quietest - level) / 20) if level > SILENT_LUFS else 1.0 for name, level in levels.items()},
        "bypassed": [i for i, effect in enumerate(main.addresses().values()) if effect.bypass],
        "one_after_the_other": isinstance(main.root, Chain) and len(main.addresses()) == len(main.effects),
        "effects": _effects(main, parameters),
    }


def _as_wide(x: Audio, channels: int) -> Audio:
    """A sidechain with as many channels as the rack."""
    return x if x.shape[0] == channels else np.repeat(x.mean(0, keepdims=True), channels, axis=0).astype(np.float32)


def _peaks(x: Audio) -> list[float]:
    """The largest samples of equal parts, to be drawn before the sound itself is decoded."""
    parts = np.array_split(np.abs(x), min(DRAWN, x.size))
    return [round(float(part.max()), 3) for part in parts]


def _effects(rack: Rack, parameters: list[HostParameter]) -> list[dict[str, Any]]:
    effects = []
    for address, effect in rack.addresses().items():
        own = [p for p in parameters if p.address.partition(".")[0] == address]
        daily = _daily(own)
        effects.append(
            {
                "address": address,
                "name": group_name(effect, address),
                "purpose": effect.card.purpose,
                "bypass": effect.bypass,
                "parameters": [_parameter(p, p.address in daily) for p in own],
            }
        )
    return effects


def _daily(own: list[HostParameter]) -> set[str]:
    """Addresses of the values of an effect that are shown at once: the first numbers, those of bands, and the mix."""
    numbers = [p for p in own if p.parameter.kind == "continuous"] or own
    return {p.address for i, p in enumerate(numbers) if i < DAILY or p.address.count(".") > 1 or p.parameter.id == "mix"}


def _parameter(host: HostParameter, is_daily: bool) -> dict[str, Any]:
    p: Parameter = host.parameter
    return {
        "index": host.flat.index,
        "address": host.address,
        "name": value_name(host.address.partition(".")[2], p),
        "unit": host.flat.unit,
        "kind": p.kind,
        "min": p.min,
        "max": p.max,
        "log": p.scale == "log",
        "options": list(p.options),
        "expected": list(p.expected),
        "value": float(host.flat.initial),
        "doc": f"{p.doc} {p.perceptual}",
        "daily": is_daily,
    }


def _lufs(x: Audio, rate: float) -> float:
    level = float(loudness(x, rate).integrated)
    return max(level, SILENT_LUFS)  # -inf where there is nothing


def encoded(sounds: Mapping[str, Audio], rate: float, *, largest: float = LARGEST_FLAC) -> tuple[dict[str, str], str]:
    """The sounds as data addresses: FLAC of 16 bits, or Opus where that would have more than `largest` bytes; and how."""
    whole = {name: _file(x, rate, "FLAC", "PCM_24") for name, x in sounds.items()}
    if sum(map(len, whole.values())) <= largest:
        return {name: _address("audio/flac", data) for name, data in whole.items()}, "FLAC, 16 bits"
    import soxr

    small = {
        name: _file(x if rate == OPUS_RATE else soxr.resample(x.T, rate, OPUS_RATE).T, OPUS_RATE, "OGG", "OPUS")
        for name, x in sounds.items()
    }  # a browser plays it at the page's rate again
    return {name: _address("audio/ogg", data) for name, data in small.items()}, "Opus, with small losses"


def _file(x: Audio, rate: float, container: str, subtype: str) -> bytes:
    file = io.BytesIO()
    # Browsers scale 16 bits in two ways, 24 bits alike; the lower 8 are 0, which FLAC leaves out.
    rounded = np.clip(np.round(x.T * 32768.0), -32768, 32767).astype(np.int32) * 65536
    soundfile.write(file, rounded, round(rate), format=container, subtype=subtype)
    return file.getvalue()


def _address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
