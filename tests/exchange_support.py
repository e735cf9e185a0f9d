"""What the tests of exchange formats share: sessions that can be carried whole, and ways to break an archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

import twinrack as tr
from session_support import random_session
from twinrack.exchange.devices import BAND_TYPES, DEVICES, WITH_GAIN
from twinrack.rack.tree import Chain, Parallel
from twinrack.session.session import Session

CARRIED = ("gain", "parametric_eq", "compressor", "gate", "limiter")


def said_by_devices(effect: tr.Effect) -> set[str]:
    """Addresses below an effect whose values DAWproject can say."""
    found = {field.address for field in DEVICES[effect.card.id].fields}
    if effect.card.id == "parametric_eq":
        found |= {a for a in effect.card.addresses if "." in a}
    return found


def flat(items) -> list[tr.Effect]:
    found = []
    for item in items:
        children = item.items if isinstance(item, Chain) else item.branches if isinstance(item, Parallel) else None
        found += [item.copy()] if children is None else flat(children)
    return found


def movable(effect: tr.Effect, name: str) -> bool:
    """Whether DAWproject can say automation of a value."""
    if name not in said_by_devices(effect):
        return False
    head, _, tail = name.partition(".")
    if tail:
        kind = effect.get(f"{head}.type")
        return kind in BAND_TYPES and (tail in ("frequency_hz", "q") or (tail == "gain_db" and kind in WITH_GAIN))
    return True


def carried_session(seed: int, seconds: float = 0.4) -> Session:
    """A random session of which DAWproject can say everything that sounds."""
    session = random_session(seed, seconds, effects=CARRIED)
    if session.width == 3:
        session.width = 2
        for channel in session:
            channel.clips = [c.with_(source=c.source[:2]) for c in channel.clips]
    fed = {c.output for c in session} | {s.to for c in session for s in c.sends}
    for channel in session:
        automation = channel.automation
        channel.automation, channel.keys = {}, {}
        if channel.name in fed or channel is session.master:
            channel.polarity, channel.delay = "normal", 0.0
        if channel.output is None and channel is not session.master:
            channel.output = "master"
        for fader in (channel.fader, *(s.fader for s in channel.sends)):
            fader.width, fader.law = 1.0, "balance"
        effects = flat(channel.rack.effects)
        for effect in effects:
            effect._key = None
            for name, p in effect.card.addresses.items():
                if name not in said_by_devices(effect):
                    effect.set(name, p.default)
                elif effect.get(name) == "all_pass":
                    effect.set(name, "notch")
                elif name.endswith(".channel"):
                    effect.set(name, "all")
        channel.rack = tr.Rack(effects)
        for address, points in automation.items():
            try:
                where, effect, name = channel.find(address)
            except ValueError:
                continue
            said = (
                name in ("gain_db", "pan", "mute")
                if where in ("", *(f"sends.{s.to}" for s in channel.sends))
                else movable(effect, name)
            )
            if said:
                channel.automate(address, points)
    return session


def peak_db(x: np.ndarray) -> float:
    return 20 * np.log10(max(float(np.max(np.abs(x), initial=0.0)), 1e-12))


def null_db(a: np.ndarray, b: np.ndarray) -> float:
    """The difference of two renderings against the first, in dB; of one that is nearly silent, against -40 dBFS."""
    return peak_db(a - b) - max(peak_db(a), -40.0)


def xml_of(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("project.xml")


def repacked(path: Path, to: Path, changes: dict[str, bytes | None], names: dict[str, str] | None = None) -> Path:
    """The same archive with other contents (None takes an entry out), or other names."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(to, "w") as out:
        for info in source.infolist():
            data = changes.get(info.filename, source.read(info))
            if data is not None:
                out.writestr((names or {}).get(info.filename, info.filename), data)
        for name in set(changes) - set(source.namelist()):
            out.writestr(name, changes[name] or b"")
    return to
