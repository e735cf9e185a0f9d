"""What a session becomes before DAWproject can say it: polarity, delays and, when asked, other effects turned into sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..audio import Audio
from ..rack.effects import Fader
from ..rack.rack import Rack
from ..session.channel import SENDS, Channel
from ..session.session import MASTER
from ..session.strip import signs_of
from .clips import Carried, Carrier
from .devices import losses, serial

if TYPE_CHECKING:
    from ..session.session import Session


def place_of(channel: Channel, address: str) -> str:
    """Where a value of a channel stands: "" for its fader, "sends.NAME", or the address of an effect."""
    return channel.find(address)[0]


def channel_losses(channel: Channel, alone: bool) -> list[str]:
    """What DAWproject cannot say of a channel before its fader; `alone`: only clips come into it."""
    found = []
    addresses = {id(effect): address for address, effect in channel.rack.addresses().items()}
    for item in serial(channel.rack.effects):
        found += losses(item, f"{channel.name}.{addresses[id(item)]}" if id(item) in addresses else channel.name)
    if not alone:
        if channel.polarity != "normal":
            found.append(
                f"the polarity of {channel.name} is left out, which DAWproject cannot say of a channel that others go into"
            )
        if channel.delay not in (0, 0.0):
            found.append(
                f"the delay of {channel.name} is left out, which DAWproject cannot say of a channel that others go into"
            )
    return found


def fader_losses(where: str, fader: Fader) -> list[str]:
    """What DAWproject cannot say of a fader."""
    found = []
    if fader.get("width") != 1.0:
        found.append(f"the stereo width of {where} is left out, which DAWproject cannot say")
    if fader.get("law") != "balance":
        found.append(f"the pan law {fader.get('law')} of {where} is left out; what reads the file has a law of its own")
    return found


class Prepared:
    """A copy of a session, and for each of its channels the clips to write.

    Args:
        session: is not changed.
        carrier: brings the clips into form.
        bounce: renders channels whose effects cannot be said, except the master.

    `notes` says what is lost, a sentence each.
    """

    def __init__(self, session: Session, carrier: Carrier, bounce: bool) -> None:
        self.notes: list[str] = []
        self.session = session.copy()
        self.clips: dict[str, list[Carried]] = {}
        self._original, self._carrier = session, carrier
        fed = {c.output for c in session} | {s.to for c in session for s in c.sends}
        lost = {c.name: channel_losses(c, c.name not in fed) for c in session}
        wanted = [name for name, found in lost.items() if found and bounce and name != MASTER]
        for name in wanted:
            self.clips[name] = carrier.carry_sound(self._sound(name), name)
        for name in wanted:
            self._becomes_sound(name)
        self._drop_unheard(wanted)
        for channel in self.session:
            if channel.name not in wanted:
                self.notes += lost[channel.name]
                self.clips[channel.name] = self._carried(channel, channel.name not in fed)
            self.notes += fader_losses(channel.name, channel.fader)
            for send in channel.sends:
                self.notes += fader_losses(f"the send of {channel.name} to {send.to}", send.fader)
        for name, found in lost.items():
            if bounce and name == MASTER and found:
                self.notes.append("the master is not bounced, for that would be the whole mix as one file; render it instead")

    def _carried(self, channel: Channel, alone: bool) -> list[Carried]:
        shift = self.session.timeline.span(0, channel.delay, f"delay of {channel.name}") if alone else 0
        signs = signs_of(channel, self.session.width) if alone else None
        found = []
        for clip in channel.clips:
            try:
                found.append(self._carrier.carry(clip, shift, signs))
            except (ValueError, OSError):
                if not clip.mute:
                    raise
                self.notes.append(
                    f"the muted clip {clip.label!r} of {channel.name} is left out, for its recording does not fit"
                )
        return [c for c in found if c.frames > 0]

    def _sound(self, name: str) -> Audio:
        """A channel's sound before its fader, with what sounds on after its end."""
        copy = self._original.copy()
        before, found = {name}, set[str]()
        while before - found:
            found |= before
            before |= {c.name for c in copy if c.output in found or any(s.to in found for s in c.sends)}
        if not any(not clip.mute for heard in found for clip in copy[heard].clips):
            return np.zeros((copy.width, 0), np.float32)
        for channel in copy:
            channel.solo, channel.frozen = False, None  # what is frozen sounds the same
        channel = copy[name]
        channel.fader = Fader()
        channel.automation = {a: p for a, p in channel.automation.items() if place_of(channel, a) != ""}
        return copy.render(channel=name, tail="auto")

    def _becomes_sound(self, name: str) -> None:
        channel = self.session[name]
        kept = {a: p for a, p in channel.automation.items() if place_of(channel, a) == "" or a.startswith(f"{SENDS}.")}
        channel.rack, channel.clips, channel.keys = Rack(), [], {}
        channel.automation, channel.polarity, channel.delay, channel.kind = kept, "normal", 0.0, "track"
        for other in self.session:
            other.output = None if other.output == name else other.output
            other.sends = [s for s in other.sends if s.to != name]
            other.automation = {a: p for a, p in other.automation.items() if not a.startswith(f"{SENDS}.{name}.")}
        self.notes.append(f"{name} was rendered with its effects, which DAWproject cannot say; they cannot be changed there")

    def _drop_unheard(self, bounced: Sequence[str]) -> None:
        """Take out what went only into channels that are sound now."""
        while True:
            went = {c.name: {c.output, *(s.to for s in c.sends)} & set(bounced) for c in self._original}
            gone = [c for c in self.session if c.output is None and not c.sends and c.name != MASTER and went[c.name]]
            if not gone:
                return
            for channel in gone:
                self.session.remove(channel.name)
                self.notes.append(f"{channel.name} is within what was rendered, and is left out")
                bounced = [*bounced, channel.name]
