"""Freezing and bouncing: a channel's sound pinned to it as a file, or a file in the channel's place."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..checks import brief
from ..files.audio_file import AudioWriter
from ..rack.rack import Rack
from .cache import pinned_path
from .channel import SENDS, Channel
from .clip import Clip
from .fingerprint import Fingerprints, has_python
from .render import opened, render_range
from .routing import Routing
from .session import Session


def freeze(session: Session, name: str, folder: str | os.PathLike[str]) -> Path:
    """Pin the sound of a channel before its fader to a file, which is used until the channel is changed.

    Args:
        session: the channel's `frozen` is set.
        name: of the channel.
        folder: where the file is written (32-bit float); created if it is missing.

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
    path = pinned_path(folder, name, key)
    plain = session.copy()
    for other in plain:
        other.solo = False
    plain[name].reset_fader()
    _write(path, plain, name)
    channel.frozen = str(path)
    return path


def _write(path: Path, session: Session, name: str) -> None:
    """A channel's sound to a float file, with its tail, block by block."""
    with (
        opened(session, [name]) as mix,
        AudioWriter(path, round(session.sample_rate), session.width, 32, frames=mix.end) as out,
    ):
        whole = render_range(session, mix, None, None, "auto")
        mix.run(whole.into(lambda blocks: out.write(blocks[0])))


def unfreeze(session: Session, name: str) -> None:
    """Compute a channel again from now on. The file stays."""
    channel = session.channel(name)
    if channel.frozen is None:
        raise ValueError(f"channel {brief(name)} is not frozen")
    channel.frozen = None


def bounce(session: Session, name: str, path: str | os.PathLike[str]) -> Session:
    """Write a channel's sound after its fader to a file, and replace the channel, and what goes only into it, by that file.

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
    listeners = [s.to for s in channel.sends if s.tap == "pre"]
    listeners += [n.name for n in Routing(session) for r in n.keys.values() if r.source is channel and r.tap == "pre"]
    if listeners:
        raise ValueError(
            f"{listeners[0]} hears {brief(name)} before its fader, which a bounce does not have; freeze it instead"
        )
    _write(path, session, name)
    bounced = session.copy()
    track = Channel(name, "track", clips=[Clip(path)], output=channel.output, sends=[s.copy() for s in channel.sends])
    track.automation = {a: points for a, points in channel.automation.items() if a.startswith(f"{SENDS}.")}
    track.rack = Rack(name=name)
    track.solo = channel.solo
    bounced.replace(track)
    _cut_off(bounced, name)
    return bounced


def _cut_off(session: Session, name: str) -> None:
    """Disconnect all that goes into a channel, and remove what then goes nowhere."""
    sources = [c for c in session if c.output == name or any(s.to == name for s in c.sends)]
    for channel in sources:
        channel.disconnect(name)
    for channel in sources:
        is_key = any(source == channel.name for c in session for source, _ in c.sidechain_sources().values())
        if channel.output is None and not channel.sends and not is_key:
            _cut_off(session, channel.name)
            session.remove(channel.name)
