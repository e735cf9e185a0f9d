"""Channels as files: frozen, where the session stays as it is, and bounced, where a file takes the channel's place."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..audio import Audio
from ..checks import brief
from ..files.audio_file import AudioWriter
from ..rack.effects import Fader
from ..rack.rack import Rack
from .channel import Channel
from .clip import Clip
from .fingerprint import Fingerprints, has_python
from .mix import FROZEN_DIGITS
from .render import bounds, opened

if TYPE_CHECKING:
    from .session import Session


def freeze(session: Session, name: str, folder: str | os.PathLike[str]) -> Path:
    """Let a file stand for all of a channel before its fader, until it is changed.

    Args:
        session: the channel's `frozen` is set.
        name: of the channel.
        folder: where the file is written (32-bit float); made when it is not there.

    Returns:
        The file. Its name ends in the hash of what it stands for: a channel that was changed since is refused when it is
        rendered.

    Raises:
        ValueError: the master.
    """
    channel = session.channel(name)
    if channel is session.master:
        raise ValueError("the master cannot be frozen; render it")
    if has_python(channel):
        raise ValueError(f"{brief(name)} has a Python effect, whose changes nobody would notice; bounce it instead")
    channel.frozen = None
    key = Fingerprints(session, solo=False).before[name]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{key[:FROZEN_DIGITS]}.wav"
    plain = session.copy()
    for other in plain:
        other.solo = False
    copy = plain[name]
    copy.fader = Fader()
    copy.automation = {a: points for a, points in copy.automation.items() if copy.find(a)[0] != ""}
    _write(path, plain, name)
    channel.frozen = str(path)
    return path


def _write(path: Path, session: Session, name: str) -> None:
    """A channel's sound to a float file, with its tail, block by block."""
    with (
        opened(session, [name]) as mix,
        AudioWriter(path, round(session.sample_rate), session.width, 32, frames=mix.end) as out,
    ):
        end = bounds(session, mix, None, None, "auto")

        def give(blocks: list[Audio]) -> bool:
            ready, more = end.take(blocks)
            if ready is not None:
                out.write(ready[0])
            return more

        mix.run(give)


def unfreeze(session: Session, name: str) -> None:
    """Compute a channel again from now on. The file stays."""
    channel = session.channel(name)
    if channel.frozen is None:
        raise ValueError(f"channel {brief(name)} is not frozen")
    channel.frozen = None


def bounce(session: Session, name: str, path: str | os.PathLike[str]) -> Session:
    """Put a channel's sound, after its fader, into a file, and that in the place of the channel and what only it hears.

    Args:
        session: it is not changed.
        path: a WAV or AIFF file; written as 32-bit float.

    Returns:
        A session in which the channel is a track without effects that plays the file.

    Raises:
        ValueError: the master, or a channel that something listens to before its fader.
    """
    path = Path(path)
    channel = session.channel(name)
    if channel is session.master:
        raise ValueError("the master cannot be bounced; render it")
    if not re.fullmatch(r"\.(wav|aiff?)", path.suffix.lower()):
        raise ValueError(f"{path.name} cannot hold float samples; give a .wav or .aiff file")
    before = [s.to for s in channel.sends if s.tap == "pre"]
    before += [c.name for c in session for source, tap in session.listens_to(c).values() if source == name and tap == "pre"]
    if before:
        raise ValueError(f"{before[0]} hears {brief(name)} before its fader, which a bounce does not have; freeze it instead")
    _write(path, session, name)
    made = session.copy()
    track = Channel(name, "track", clips=[Clip(path)], output=channel.output, sends=[s.copy() for s in channel.sends])
    track.automation = {a: points for a, points in channel.automation.items() if a.startswith("sends.")}
    track.rack = Rack(name=name)
    track.solo = channel.solo
    made._channels[name] = track
    _cut_off(made, name)
    return made


def _cut_off(session: Session, name: str) -> None:
    """Let nothing go into a channel any more, and take out what then goes nowhere."""
    cut = [c for c in session if c.output == name or any(s.to == name for s in c.sends)]
    for channel in cut:
        channel.output = None if channel.output == name else channel.output
        channel.sends = [s for s in channel.sends if s.to != name]
        channel.automation = {a: p for a, p in channel.automation.items() if not a.startswith(f"sends.{name}.")}
    for channel in cut:
        heard = any(source == channel.name for c in session for source, _ in session.listens_to(c).values())
        if channel.output is None and not channel.sends and not heard:
            _cut_off(session, channel.name)
            session.remove(channel.name)
