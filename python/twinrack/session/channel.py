"""Channels of a session: clips, rack, fader, sends, and the automation of all these."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, get_args

from .. import _engine
from ..checks import brief
from ..rack.card import Parameter, Value
from ..rack.effect import Effect, unknown
from ..rack.effects import Fader
from ..rack.rack import Rack
from ..rack.signatures import spelled_out
from ..rack.tree import Chain, Parallel
from .automation import Point, as_points, check_points
from .clip import Clip
from .timeline import Time

Kind = Literal["track", "group", "return", "master"]
Tap = Literal["post", "pre"]
Polarity = Literal["normal", "invert", "invert_left", "invert_right"]
Law = Literal["balance", "constant_power_3db", "compromise_4_5db", "linear_6db"]
TAPS: tuple[str, ...] = get_args(Tap)
POLARITIES: tuple[str, ...] = get_args(Polarity)
MASTER = "master"  # the name of the last channel
LONGEST_NAME = 100
OWN = ("gain_db", "pan", "width", "law", "mute")  # of the fader, at addresses without a dot
SENDS = "sends"


def check_name(name: str) -> str:
    """A channel's name, which is also a part of addresses and of file names.

    Raises:
        ValueError: empty, too long, or with characters that have a meaning there.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
        raise ValueError(f"{brief(name)} is not a channel name; give 1 to {LONGEST_NAME} characters")
    if re.search(r'[./\\:*?"<>|\x00-\x1f]', name) or name != name.strip():
        raise ValueError(f"channel name {name!r} holds a dot, slash or another sign that file names may not have; leave it out")
    return name


class StrictAttributes:
    """An object that refuses attributes it does not have, so that a misspelt one is an error."""

    _known: frozenset[str] = frozenset()

    def _guard(self) -> None:
        """No other attributes from now on."""
        self._known = frozenset(vars(self))

    if not TYPE_CHECKING:  # a type checker would let any attribute be set

        def __setattr__(self, name: str, value: object) -> None:
            if self._known and name not in self._known and not name.startswith("_") and not hasattr(type(self), name):
                public = [n for n in (*self._known, *dir(type(self))) if not n.startswith("_")]
                raise AttributeError(unknown(name, public, f"a {type(self).__name__}", "attribute"))
            object.__setattr__(self, name, value)


class SendFader(TypedDict, total=False):
    """Of a send, besides its level: as of the channel's own fader."""

    pan: float
    width: float
    law: Law
    mute: bool


class FaderSettings(SendFader, total=False):
    """A channel's own fader (see `tr.Fader`)."""

    gain_db: float


class ChannelSettings(FaderSettings, total=False):
    """Arguments of `Channel` by name, which `Session.add_track` and its like pass to it."""

    clips: Clip | str | os.PathLike[str] | Iterable[Clip | str | os.PathLike[str]]
    rack: Rack | Effect | Iterable[Effect | Chain | Parallel]
    output: str | None
    solo: bool
    polarity: Polarity
    delay: Time
    keys: Mapping[str, str | tuple[str, Tap]] | None
    sends: Iterable[Send]
    automation: Mapping[str, Iterable[Any]] | None


class Send(StrictAttributes):
    """A part of a channel's sound that goes to another channel besides.

    Args:
        to: name of the channel that it goes to.
        gain_db, pan, width, law, mute: as of the channel's own fader.
        tap: "post": after the channel's fader, so it follows it; "pre": before.
    """

    @spelled_out(Fader, only=OWN)
    def __init__(self, to: str, gain_db: float = 0.0, *, tap: Tap = "post", **fader: Unpack[SendFader]) -> None:
        if not isinstance(to, str):
            raise TypeError(f"a send goes to a channel's name, not to {type(to).__name__} ({brief(to)})")
        self.to = to
        self.tap: Tap = _choice("tap", tap, TAPS)
        self.fader = Fader(gain_db=gain_db, **fader)
        self._guard()

    @property
    def gain_db(self) -> float:
        """Level in dB."""
        return float(self.fader.get("gain_db"))

    @gain_db.setter
    def gain_db(self, value: float) -> None:
        self.fader.set("gain_db", value)

    def copy(self) -> Send:
        send = Send(self.to, tap=self.tap)
        send.fader = self.fader.copy()
        return send

    __copy__ = copy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Send):
            return NotImplemented
        return (self.to, self.tap, self.fader) == (other.to, other.tap, other.fader)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Send({brief(self.to)}, tap={brief(self.tap)}, fader={brief(self.fader)})"


def as_clips(clips: Any) -> list[Clip]:
    """Clips as they are, and files as clips; one or several."""
    several = [clips] if isinstance(clips, Clip | str | os.PathLike) else clips
    if not isinstance(several, Iterable):
        raise TypeError(f"clips are files, Clip or a list of them, not {type(clips).__name__}")
    return [c if isinstance(c, Clip) else Clip(c) for c in several]


def why_fixed(effect: Effect, name: str) -> str:
    """Why a value cannot move while the sound runs; nothing where it can."""
    p = effect.card.addresses[name]
    if p.rebuilds:
        return "changes what the effect is built from"
    if name == effect.card.latency:
        return "sets the latency"
    if effect.card.may_change_latency(name):
        values = {n: q.to_engine(effect.get(n)) for n, q in effect.card.addresses.items()}
        options = range(len(p.options)) if p.kind == "choice" else range(2)
        rate = 48000.0
        latencies = {_engine.effect_latency(effect.card.id, list({**values, name: float(o)}.values()), rate) for o in options}
        if len(latencies) > 1:
            return "changes the latency"
    return ""


def _choice(name: str, value: str, options: Sequence[str]) -> Any:
    if value not in options:
        raise ValueError(f"{name} = {brief(value)} is none of {', '.join(options)}")
    return value


class Channel(StrictAttributes):
    """One channel of a session; as `Session.add_track`, `add_group` and `add_return` create.

    Its sound: clips and what other channels send here, added; polarity and delay; the rack; the fader; then to `output`, and by
    sends to others.

    Args:
        name: unique in the session, and the first part of addresses: "vocals.compressor.ratio".
        kind: "track", "group", "return" or "master"; what it is meant for. All work alike.
        clips: what it plays; a Clip, a file, or a list of them.
        rack: effects; a Rack, one effect, or a list of them.
        output: name of the channel that it goes to; None for nowhere.
        gain_db, pan, width, law, mute: of the fader (see `tr.Fader`). A muted channel's sends after the fader are silent too,
            those before it are not.
        solo: only soloed channels are heard, with what feeds and follows them.
        polarity: "normal", "invert", "invert_left", "invert_right", of what comes in.
        delay: by so much later, or, below 0, earlier. Delay compensation leaves it in place.
        keys: for each sidechain input of the rack, which channel it listens to, as "kick" (after its fader) or ("kick",
            "pre"); one that is not named listens to the channel of its own name.
        automation: breakpoints by address below the channel.
    """

    @spelled_out(Fader, only=OWN)
    def __init__(
        self,
        name: str,
        kind: Kind = "track",
        *,
        clips: Clip | str | os.PathLike[str] | Iterable[Clip | str | os.PathLike[str]] = (),
        rack: Rack | Effect | Iterable[Effect | Chain | Parallel] = (),
        output: str | None = "master",
        solo: bool = False,
        polarity: Polarity = "normal",
        delay: Time = 0.0,
        keys: Mapping[str, str | tuple[str, Tap]] | None = None,
        sends: Iterable[Send] = (),
        automation: Mapping[str, Iterable[Any]] | None = None,
        **fader: Unpack[FaderSettings],
    ) -> None:
        self._name = check_name(name)
        self.kind: Kind = _choice("kind", kind, get_args(Kind))
        self.clips: list[Clip] = as_clips(clips)
        self.fader = Fader(**fader)
        self.output = output
        self.solo = bool(solo)
        self.polarity: Polarity = _choice("polarity", polarity, POLARITIES)
        self.delay = delay
        self.keys: dict[str, tuple[str, Tap]] = {}
        for key, source in (keys or {}).items():
            where, tap = source if isinstance(source, tuple) else (source, "post")
            self.keys[key] = (where, _choice("tap", tap, TAPS))
        self.sends: list[Send] = list(sends)
        self.automation: dict[str, tuple[Point, ...]] = {}
        self.frozen: str | None = None  # a file that stands for clips, inputs and rack
        self._rack = Rack()
        self.rack = rack if isinstance(rack, Rack) else Rack([rack] if isinstance(rack, Effect) else rack, name=name)
        for address, points in (automation or {}).items():
            self.automate(address, points)
        self._guard()

    @property
    def name(self) -> str:
        """Its name; `Session.rename` gives another."""
        return self._name

    @property
    def rack(self) -> Rack:
        """The effects."""
        return self._rack

    @rack.setter
    def rack(self, rack: Rack) -> None:
        for address in rack.addresses():
            if address in (SENDS, *OWN):
                raise ValueError(f"an effect called {address!r} would hide the channel's own {address}; give it another name")
        self._rack = rack

    gain_db = property(
        lambda self: self.fader.gain_db, lambda self, v: self.fader.set("gain_db", v), doc="Level of the fader in dB."
    )
    pan = property(lambda self: self.fader.pan, lambda self, v: self.fader.set("pan", v), doc="-1 left to 1 right.")
    width = property(lambda self: self.fader.width, lambda self, v: self.fader.set("width", v), doc="0 mono, 1 as it is, 2.")
    law = property(lambda self: self.fader.law, lambda self, v: self.fader.set("law", v), doc="The pan law.")
    mute = property(lambda self: self.fader.mute, lambda self, v: self.fader.set("mute", v), doc="Silence after the fader.")

    @spelled_out(Fader, only=OWN)
    def send(self, to: str, gain_db: float = 0.0, *, tap: Tap = "post", **fader: Unpack[SendFader]) -> Send:
        """Send a part of the sound to another channel; the arguments, and what is returned, are those of `Send`."""
        if any(s.to == to for s in self.sends):
            raise ValueError(f"{self.name} already sends to {brief(to)}; change that send")
        self.sends.append(Send(to, gain_db, tap=tap, **fader))
        return self.sends[-1]

    def send_to(self, to: str) -> Send:
        """The send to a channel."""
        for send in self.sends:
            if send.to == to:
                return send
        raise ValueError(unknown(to, [s.to for s in self.sends], f"{self.name}.{SENDS}", "send"))

    def crossfade(self, curve: str = "equal_power") -> None:
        """Let clips that overlap cross: each fades out while the next one fades in.

        Clips whose times are seconds are changed; the overlap becomes their fade.
        """
        for clip in self.clips:
            for what in ("start", "duration"):
                if isinstance(getattr(clip, what), str):
                    raise ValueError(f"{what} of clip {brief(clip.label)} is {getattr(clip, what)!r}; crossfade needs seconds")
        clips = sorted(self.clips, key=lambda c: float(c.start))
        for i, (a, b) in enumerate(pairwise(clips)):
            over = float(a.start) + a.seconds() - float(b.start)
            if over > 0:
                clips[i] = a.with_(fade_out=over, fade_out_curve=curve)
                clips[i + 1] = b.with_(fade_in=over, fade_in_curve=curve)
        self.clips = clips

    # --- addresses ---------------------------------------------------------------------------------------------------

    def effects(self) -> Iterator[tuple[str, Effect]]:
        """Everything that has parameters: the fader at "", sends at "sends.NAME", and the rack's effects by address."""
        yield "", self.fader
        for send in self.sends:
            yield f"{SENDS}.{send.to}", send.fader
        yield from self._rack.addresses().items()

    def find(self, address: str) -> tuple[str, Effect, str]:
        """The target of an address below the channel: the effect's address (as in `effects`), the effect, its parameter.

        Raises:
            ValueError: unknown address; names the nearest one.
        """
        head, _, tail = address.partition(".")
        if not tail:
            if head not in OWN:
                raise ValueError(unknown(head, [*OWN, *self._rack.addresses()], self.name))
            return "", self.fader, head
        if head == SENDS:
            to, _, parameter = tail.rpartition(".")
            place, effect = f"{SENDS}.{to}", self.send_to(to).fader
        else:
            if head not in self._rack.addresses():
                raise ValueError(unknown(head, list(self._rack.addresses()), self.name, "effect"))
            place, effect, parameter = head, self._rack[head], tail
        if parameter not in effect.card.addresses:
            raise ValueError(unknown(parameter, list(effect.card.addresses), f"{self.name}.{place}"))
        return place, effect, parameter

    def parameter(self, address: str) -> Parameter:
        """The card of a value."""
        _, effect, name = self.find(address)
        return effect.card.addresses[name]

    def get(self, address: str) -> Value:
        """A value by its address below the channel: "gain_db", "compressor.ratio", "sends.plate.gain_db"."""
        _, effect, name = self.find(address)
        return effect.get(name)

    def set(self, address: str, value: object) -> None:
        """Set a value by its address below the channel."""
        _, effect, name = self.find(address)
        effect.set(name, value)

    def automate(self, address: str, points: Iterable[Any]) -> None:
        """Let a value follow breakpoints.

        Args:
            address: below the channel: "gain_db", "compressor.threshold_db", "sends.plate.gain_db".
            points: `Point`, or (time, value) or (time, value, curve); the value holds before the first and after the last. They
                take the place of those that it had. Switches and choices hold from point to point.

        Raises:
            ValueError: unknown address, or the value cannot move while the sound runs.
        """
        _, effect, name = self.find(address)
        p = effect.card.addresses[name]
        reason = why_fixed(effect, name)
        if reason:
            raise ValueError(f"{self.name}.{address} {reason}, so it cannot move while the sound runs; set it before")
        checked = as_points(points, "linear" if p.kind == "continuous" else "hold")
        check_points(f"{self.name}.{address}", p, checked)
        self.automation[address] = checked

    def sidechain_sources(self) -> dict[str, tuple[str, Tap]]:
        """For each sidechain input of the rack: the channel it listens to, and before or after its fader.

        Raises:
            ValueError: `keys` holds something else than a name, or a name and a tap.
        """
        sources: dict[str, tuple[str, Tap]] = {}
        for key in self._rack.sidechains:
            entry: Any = self.keys.get(key, key)
            source, tap = (entry, "post") if isinstance(entry, str) else tuple(entry)
            if tap not in TAPS:
                raise ValueError(f"sidechain {brief(key)} of {self.name} listens {brief(tap)}; {' or '.join(TAPS)} is possible")
            sources[key] = (str(source), tap)
        return sources

    def disconnect(self, name: str, instead: str | None = None) -> None:
        """Send nothing to a channel any more: the output goes elsewhere, and a send goes with its automation."""
        if self.output == name:
            self.output = instead
        self.sends = [s for s in self.sends if s.to != name]
        self.automation = {a: points for a, points in self.automation.items() if not a.startswith(f"{SENDS}.{name}.")}

    def follow_rename(self, old: str, new: str) -> None:
        """A channel, this one or another, has a new name: use it everywhere."""
        self._name = new if self._name == old else self._name
        self.output = new if self.output == old else self.output
        implied: dict[str, tuple[str, Tap]] = {k: (k, "post") for k in self._rack.sidechains if k == old}
        named = {**implied, **self.keys}
        self.keys = {k: (new if source == old else source, tap) for k, (source, tap) in named.items()}
        for send in self.sends:
            send.to = new if send.to == old else send.to
        old_prefix, new_prefix = f"{SENDS}.{old}.", f"{SENDS}.{new}."
        self.automation = {
            new_prefix + a.removeprefix(old_prefix) if a.startswith(old_prefix) else a: points
            for a, points in self.automation.items()
        }

    def reset_fader(self) -> None:
        """Put the fader at unity and drop its automation: what is then heard is the sound before the fader."""
        self.fader = Fader()
        self.automation = {a: points for a, points in self.automation.items() if self.find(a)[0] != ""}

    def copy(self) -> Channel:
        channel = Channel(
            self.name, self.kind, clips=self.clips, rack=self._rack.copy(), output=self.output, solo=self.solo,
            polarity=self.polarity, delay=self.delay, keys=self.keys, sends=[s.copy() for s in self.sends],
        )  # fmt: skip
        channel.fader = self.fader.copy()
        channel.automation, channel.frozen = dict(self.automation), self.frozen
        return channel

    __copy__ = copy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Channel):
            return NotImplemented
        names = ("name", "kind", "clips", "fader", "output", "solo", "polarity", "delay", "keys", "sends", "automation")
        return all(getattr(self, n) == getattr(other, n) for n in (*names, "rack", "frozen"))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}: {len(self.clips)} clips, {len(self._rack.addresses())} effects, to {self.output}>"
