"""Hashes of all that a channel's sound depends on: recordings by content, racks, automation, and the channels that feed it.

Two channels of the same hash sound the same, sample for sample, on one machine; so a rendering can be used again, and a
manifest can prove what was rendered.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from .. import _engine
from ..files.hashing import digest
from ..rack.card import CARDS
from ..rack.external_effect import has_external
from ..rack.fingerprint import fingerprint
from ..rack.python_effect import PythonEffect
from ..version import __version__
from .automated import automation_of
from .channel import MASTER, SENDS, Channel
from .clip import Clip, end_of
from .media import Media
from .routing import Node, Route, Routing
from .session import Session


def hash_of(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def engine_identity() -> dict[str, Any]:
    """Versions and instruction set, on which the sound depends."""
    return {
        "twinrack": __version__,
        "instructions": _engine.simd_target(),
        "cards": {id: card.version for id, card in CARDS.items()},
    }


def clip_identity(clip: Clip, session: Session) -> list[Any]:
    """The fields of a clip on which the sound depends, its times in frames."""
    timeline = session.timeline
    start = timeline.frames(clip.start)
    times = [timeline.span(start, t) for t in (clip.offset, clip.fade_in, clip.fade_out)]
    lengths = [None if t is None else timeline.span(start, t) for t in (clip.duration, clip.loop_length)]
    shape = [clip.gain_db, clip.fade_in_curve, clip.fade_out_curve, clip.loop, clip.reverse, clip.channels]
    return [_source(clip), start, *times, *lengths, *shape]


def _source(clip: Clip) -> Any:
    if clip.path is not None:
        return digest(clip.path)
    array: Any = clip.recording
    return [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(), list(array.shape), clip.sample_rate]


def has_python(channel: Channel) -> bool:
    """Whether a Python effect is in a channel's rack."""
    return any(isinstance(effect, PythonEffect) for effect in channel.rack.addresses().values())


def keeps_no_state(channel: Channel) -> bool:
    """Whether an effect works outside the engine, so that a rendering cannot go on from where it was."""
    return has_external(channel.rack.addresses().values())


class Fingerprints:
    """The hashes of a session's channels, before and after their faders.

    Args:
        solo: with what is soloed; without, as if nothing were.

    A channel with a Python effect has another hash every time: nobody can tell whether the function is the same.

    Raises:
        OSError: a recording cannot be read.
    """

    def __init__(self, session: Session, *, solo: bool = True) -> None:
        self.session = session
        self.routing = Routing(session, solo=solo)
        self._media = Media(session.sample_rate)  # for lengths
        self.before: dict[str, str] = {}
        self.after: dict[str, str] = {}
        self._cut = None if session.end is None else session.timeline.frames(session.end)
        self._common = hash_of([engine_identity(), session.sample_rate, session.width])
        for node in self.routing:
            self.before[node.name] = self._before(node)
            self.after[node.name] = hash_of([self.before[node.name], self._fader(node.channel, "", node.channel.fader)])

    def _lanes(self, channel: Channel, places: set[str]) -> list[Any]:
        timeline = self.session.timeline
        return [
            [
                address.rpartition(".")[2] if address.startswith(f"{SENDS}.") else address,
                [[timeline.seconds(p.time), p.value, p.curve] for p in points],
            ]
            for address, points in sorted(automation_of(channel, timeline).items())
            if channel.find(address)[0] in places
        ]

    def _fader(self, channel: Channel, place: str, fader: Any) -> list[Any]:
        return [fader.values(), self._lanes(channel, {place})]

    def _tap(self, route: Route) -> str:
        return (self.before if route.tap == "pre" else self.after)[route.source.name]

    def _route(self, route: Route) -> Any:
        if route.send is None:
            return self._tap(route)
        return [self._tap(route), self._fader(route.source, f"{SENDS}.{route.send.to}", route.send.fader)]

    def _before(self, node: Node) -> str:
        channel = node.channel
        clips = [[*clip_identity(clip, self.session), self._cut_off(clip, node.delay)] for clip in node.clips]
        inputs = [self._route(route) for route in node.inputs]
        keys = [[key, self._tap(route)] for key, route in node.keys.items()]
        rack = [
            fingerprint(channel.rack),
            self.session.timeline.knots() if keeps_no_state(channel) else [],
            self._lanes(channel, set(channel.rack.addresses())),
        ]
        # polarity by its name says what `signs` say for the width, which is in `common`
        return hash_of([self._common, clips, inputs, keys, rack, [channel.polarity, node.delay]])

    def _cut_off(self, clip: Clip, delay: int) -> int | None:
        """The session's end, where it cuts a clip off."""
        if self._cut is None or end_of(clip, self.session.timeline, self._media) + delay <= self._cut:
            return None
        return self._cut

    def whole(self) -> str:
        """Of the mix."""
        return self.after[MASTER]
