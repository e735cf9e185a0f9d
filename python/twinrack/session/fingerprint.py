"""What a channel's sound depends on, as a hash: recordings by content, racks, automation, and the same of all that it hears.

Two channels of the same hash sound the same, sample for sample, on one machine; so a rendering can be used again, and a
manifest can prove what was rendered.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _engine
from ..files.hashing import digest
from ..rack.card import CARDS
from ..rack.fingerprint import fingerprint
from ..rack.python_effect import PythonEffect
from ..version import __version__
from .channel import Channel
from .clip import Clip, end_of
from .media import Media

if TYPE_CHECKING:
    from .session import Session


def hash_of(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def engine_identity() -> dict[str, Any]:
    """What of the machinery the sound depends on."""
    return {
        "twinrack": __version__,
        "instructions": _engine.simd_target(),
        "cards": {id: card.version for id, card in CARDS.items()},
    }


def clip_identity(clip: Clip, session: Session) -> list[Any]:
    """What of a clip the sound depends on."""
    timeline = session.timeline
    start = timeline.frames(clip.start)
    times = [timeline.span(start, t) for t in (clip.offset, clip.fade_in, clip.fade_out)]
    lengths = [None if t is None else timeline.span(start, t) for t in (clip.duration, clip.loop_length)]
    shape = [clip.gain_db, clip.fade_in_curve, clip.fade_out_curve, clip.loop, clip.reverse, clip.channels]
    return [_source(clip), start, *times, *lengths, *shape]


def _source(clip: Clip) -> Any:
    if clip.path is not None:
        return digest(clip.path)
    array: Any = clip.source
    return [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(), list(array.shape), clip.sample_rate]


def has_python(channel: Channel) -> bool:
    """Whether a Python effect is in a channel's rack."""
    return any(isinstance(effect, PythonEffect) for effect in channel.rack.addresses().values())


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
        self._media = Media(session.sample_rate)  # for lengths
        self.before: dict[str, str] = {}
        self.after: dict[str, str] = {}
        self._open = session.audible() if solo else set()
        self._cut = None if session.end is None else session.timeline.frames(session.end)
        self._common = hash_of([engine_identity(), session.sample_rate, session.width])
        for channel in session.order():
            self.before[channel.name] = self._before(channel)
            self.after[channel.name] = hash_of([self.before[channel.name], self._fader(channel, "", channel.fader)])

    def _lanes(self, channel: Channel, places: set[str]) -> list[Any]:
        timeline = self.session.timeline
        found = []
        for address, points in sorted(channel.automation.items()):
            if channel.find(address)[0] in places:
                found.append(
                    [
                        address.rpartition(".")[2] if address.startswith("sends.") else address,
                        [[timeline.seconds(p.time), p.value, p.curve] for p in points],
                    ]
                )
        return found

    def _fader(self, channel: Channel, place: str, fader: Any) -> list[Any]:
        return [fader.values(), self._lanes(channel, {place})]

    def _before(self, channel: Channel) -> str:
        session = self.session
        ways: list[Any] = []
        for other in session:
            if self._open and (other.name, channel.name) not in self._open:
                continue
            if other.output == channel.name:
                ways.append(self.after[other.name])
            for send in other.sends:
                if send.to == channel.name:
                    source = self.before if send.tap == "pre" else self.after
                    ways.append([source[other.name], self._fader(other, f"sends.{send.to}", send.fader)])
        keys = [
            [key, (self.before if tap == "pre" else self.after)[source]]
            for key, (source, tap) in session.listens_to(channel).items()
        ]
        delay = session.timeline.span(0, channel.delay)
        clips = [[*clip_identity(clip, session), self._cut_off(clip, delay)] for clip in channel.clips if not clip.mute]
        rack = [
            fingerprint(channel.rack),
            uuid.uuid4().hex if has_python(channel) else "",
            self._lanes(channel, set(channel.rack.addresses())),
        ]
        place = [channel.polarity, delay]
        return hash_of([self._common, clips, ways, keys, rack, place])

    def _cut_off(self, clip: Clip, delay: int) -> int | None:
        """Where the session's end cuts a clip off, if it does."""
        if self._cut is None or end_of(clip, self.session.timeline, self._media) + delay <= self._cut:
            return None
        return self._cut

    def whole(self) -> str:
        """Of the mix."""
        return self.after["master"]
