"""A session prepared for DAWproject: polarity, delays and, when asked, effects that it cannot express rendered into sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..audio import Audio
from ..rack.effects import Fader
from ..rack.rack import Rack
from ..session.channel import MASTER, SENDS, Channel
from ..session.routing import Routing
from ..session.session import Session
from .clips import ClipExporter, ExportedClip
from .devices import losses, serial


def place_of(channel: Channel, address: str) -> str:
    """Where a value of a channel stands: "" for its fader, "sends.NAME", or the address of an effect."""
    return channel.find(address)[0]


def channel_losses(channel: Channel, alone: bool) -> list[str]:
    """The losses of a channel before its fader in DAWproject, a sentence each; `alone`: only clips come into it."""
    sentences = []
    addresses = {id(effect): address for address, effect in channel.rack.addresses().items()}
    for item in serial(channel.rack.effects):
        sentences += losses(item, f"{channel.name}.{addresses[id(item)]}" if id(item) in addresses else channel.name)
    if not alone:
        if channel.polarity != "normal":
            sentences.append(
                f"the polarity of {channel.name} is left out, which DAWproject cannot express of a channel that others go into"
            )
        if channel.delay not in (0, 0.0):
            sentences.append(
                f"the delay of {channel.name} is left out, which DAWproject cannot express of a channel that others go into"
            )
    return sentences


def fader_losses(where: str, fader: Fader) -> list[str]:
    """The losses of a fader in DAWproject, a sentence each."""
    sentences = []
    if fader.get("width") != 1.0:
        sentences.append(f"the stereo width of {where} is left out, which DAWproject cannot express")
    if fader.get("law") != "balance":
        sentences.append(f"the pan law {fader.get('law')} of {where} is left out; what reads the file has a law of its own")
    return sentences


class PreparedSession:
    """A copy of a session, and for each of its channels the clips to write.

    Args:
        session: is not changed.
        exporter: brings the clips into form.
        bounce: renders channels whose effects cannot be expressed, except the master.

    `notes` lists what is lost, a sentence each.
    """

    def __init__(self, session: Session, exporter: ClipExporter, bounce: bool) -> None:
        self.notes: list[str] = []
        self.session = session.copy()
        self.clips: dict[str, list[ExportedClip]] = {}
        self._original, self._exporter, self._routing = session, exporter, Routing(session, solo=False)
        lost = {c.name: channel_losses(c, not self._routing.receives(c.name)) for c in session}
        bounced = [name for name, sentences in lost.items() if sentences and bounce and name != MASTER]
        for name in bounced:
            self.clips[name] = exporter.export_sound(self._sound(name), name)
        for name in bounced:
            self._replace_by_sound(name)
        self._drop_unheard(bounced)
        for channel in self.session:
            if channel.name not in bounced:
                self.notes += lost[channel.name]
                self.clips[channel.name] = self._exported(channel)
            self.notes += fader_losses(channel.name, channel.fader)
            for send in channel.sends:
                self.notes += fader_losses(f"the send of {channel.name} to {send.to}", send.fader)
        if bounce and lost[MASTER]:
            self.notes.append("the master is not bounced, for that would be the whole mix as one file; render it instead")

    def _exported(self, channel: Channel) -> list[ExportedClip]:
        node = self._routing[channel.name]
        alone = not self._routing.receives(channel.name)
        shift = node.delay if alone else 0
        signs = np.array(node.signs, np.float32)[:, None] if alone and node.inverts else None
        exported = []
        for clip in channel.clips:
            try:
                exported.append(self._exporter.export(clip, shift, signs))
            except (ValueError, OSError):
                if not clip.mute:
                    raise
                self.notes.append(
                    f"the muted clip {clip.label!r} of {channel.name} is left out, for its recording does not fit"
                )
        return [clip for clip in exported if clip.frames > 0]

    def _sound(self, name: str) -> Audio:
        """A channel's sound before its fader, with its tail."""
        if not any(self._routing[source].clips for source in self._routing.into(name)):
            return np.zeros((self._original.width, 0), np.float32)
        copy = self._original.copy()
        for channel in copy:
            channel.solo, channel.frozen = False, None  # what is frozen sounds the same
        copy[name].reset_fader()
        return copy.render(channel=name, tail="auto")

    def _replace_by_sound(self, name: str) -> None:
        channel = self.session[name]
        fader_automation = {
            a: p for a, p in channel.automation.items() if place_of(channel, a) == "" or a.startswith(f"{SENDS}.")
        }
        channel.rack, channel.clips, channel.keys = Rack(), [], {}
        channel.automation, channel.polarity, channel.delay, channel.kind = fader_automation, "normal", 0.0, "track"
        for other in self.session:
            other.disconnect(name)
        self.notes.append(
            f"{name} was rendered with its effects, which DAWproject cannot express; they cannot be changed there"
        )

    def _drop_unheard(self, bounced: Sequence[str]) -> None:
        """Take out what went only into channels that are sound now."""
        while True:
            bounced_outputs = {c.name: {c.output, *(s.to for s in c.sends)} & set(bounced) for c in self._original}
            unheard = [
                c for c in self.session if c.output is None and not c.sends and c.name != MASTER and bounced_outputs[c.name]
            ]
            if not unheard:
                return
            for channel in unheard:
                self.session.remove(channel.name)
                self.notes.append(f"{channel.name} is within what was rendered, and is left out")
                bounced = [*bounced, channel.name]
