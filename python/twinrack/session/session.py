"""A session: tracks, groups, returns and a master on one timeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from .. import _engine
from ..audio import Audio, check_rate
from ..checks import brief, check_integer, is_number
from ..files.audio_file import check_tags
from ..rack.card import Value
from ..rack.effect import unknown
from ..rack.signatures import spelled_out
from .channel import MASTER, Channel, ChannelSettings, StrictAttributes, check_name
from .graph import dependency_order, soloed_edges
from .timeline import Tempo, Time, Timeline

if TYPE_CHECKING:
    from .cache import Cache
    from .measure import MixReport
    from .rendered_mix import RenderedMix
    from .twin import SessionTwin

MAX_CHANNELS = 4096


def as_tempo(point: Tempo | tuple[float, ...]) -> Tempo:
    """A point of the tempo map as it is, or as (beat, beats a minute)."""
    if not isinstance(point, Tempo):
        if not isinstance(point, tuple | list) or not 2 <= len(point) <= 3:
            raise ValueError(f"{brief(point)} is not a point of a tempo map; give (beat, beats a minute)")
        beat, bpm, ramp = (*point, False)[:3]
        point = Tempo(beat, bpm, ramp)  # type: ignore[arg-type]
    if not isinstance(point.ramp, bool):
        raise ValueError(f"ramp of the tempo's point at beat {point.beat} is {brief(point.ramp)}; give True or False")
    return point


class Session(StrictAttributes):
    """A mix: channels with clips, racks, faders and sends, on one timeline.

    Args:
        name: for people and files.
        sample_rate: Hz; recordings of other rates are resampled.
        width: number of audio channels of every channel, 1 to 16.
        tempo: beats a minute; or a tempo map, points of (beat, beats a minute), with True as a third where the tempo goes on a
            line to the next point's.
        end: where it ends; without it, with the last clip.
        metadata: title, artist, album, date, genre, comment, copyright, software, tracknumber: written into rendered files.

    `session["vocals"]` is a channel; `session.master` the last one. Delay compensation is sample-accurate on every path, sends
    and sidechains included.
    """

    def __init__(
        self,
        name: str = "session",
        sample_rate: float = 48000.0,
        *,
        width: int = 2,
        tempo: float | Iterable[Tempo | tuple[float, ...]] = 120.0,
        end: Time | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a session's name is text, not {type(name).__name__} ({brief(name)})")
        self.name = name
        self.sample_rate = check_rate(sample_rate)
        self.width = check_integer(width, "width", 1, _engine.MAX_CHANNELS)
        points: Any = [(0.0, tempo)] if is_number(tempo) else tempo
        self.tempo = tuple(as_tempo(t) for t in points)
        self.end = end
        self.metadata = dict(metadata or {})
        check_tags(self.metadata)
        self.provenance: dict[str, Any] = {}
        self.path: Path | None = None  # where it was loaded from
        self._channels: dict[str, Channel] = {}
        self.master = Channel(MASTER, "master", output=None)
        self.timeline  # noqa: B018 - refuses a wrong tempo map
        self._guard()

    # --- structure ---------------------------------------------------------------------------------------------------

    @property
    def timeline(self) -> Timeline:
        """Converts seconds, beats and clock times to frames."""
        return Timeline(self.sample_rate, self.tempo)

    def add(self, channel: Channel) -> Channel:
        """Add a channel that was created on its own."""
        if channel.name == MASTER or channel.name in self._channels:
            raise ValueError(f"there is already a channel {brief(channel.name)}; names in a session differ")
        if len(self._channels) >= MAX_CHANNELS:
            raise ValueError(f"a session has at most {MAX_CHANNELS} channels")
        self._channels[channel.name] = channel
        return channel

    @spelled_out(Channel, only=ChannelSettings.__annotations__)
    def add_track(self, name: str, **settings: Unpack[ChannelSettings]) -> Channel:
        """A channel for clips; `settings` as in `Channel`."""
        return self.add(Channel(name, "track", **settings))

    @spelled_out(Channel, only=ChannelSettings.__annotations__)
    def add_group(self, name: str, **settings: Unpack[ChannelSettings]) -> Channel:
        """A channel that others go into; `settings` as in `Channel`."""
        return self.add(Channel(name, "group", **settings))

    @spelled_out(Channel, only=ChannelSettings.__annotations__)
    def add_return(self, name: str, **settings: Unpack[ChannelSettings]) -> Channel:
        """A channel that others send to, such as a reverb; `settings` as in `Channel`."""
        return self.add(Channel(name, "return", **settings))

    def replace(self, channel: Channel) -> Channel:
        """Put a channel in the place of the one of the same name, and return that."""
        former = self[channel.name]
        if former is self.master:
            self.master = channel
        else:
            self._channels[channel.name] = channel
        return former

    def remove(self, name: str) -> Channel:
        """Take a channel out, with the sends to it; what went into it goes where it went."""
        channel = self[name]
        if channel is self.master:
            raise ValueError("the master stays; remove its effects instead")
        del self._channels[name]
        for other in self.channels.values():
            other.disconnect(name, channel.output)
        return channel

    def rename(self, name: str, to: str) -> None:
        """Give a channel another name, everywhere."""
        channel = self[name]
        if channel is self.master or to in self.channels:
            raise ValueError(f"{brief(name)} cannot be called {brief(to)}: the master keeps its name, and names differ")
        check_name(to)
        self._channels = {to if n == name else n: c for n, c in self._channels.items()}
        for other in self.channels.values():
            other.follow_rename(name, to)

    @property
    def channels(self) -> dict[str, Channel]:
        """All channels by name, in the order in which they are added up; the master is the last."""
        return {**self._channels, MASTER: self.master}

    def channel(self, name: str) -> Channel:
        """The channel of a name.

        Raises:
            ValueError: unknown; names the nearest one.
        """
        channel = self.channels.get(name)
        if channel is None:
            raise ValueError(unknown(name, list(self.channels), f"session {brief(self.name)}", "channel"))
        return channel

    def __getitem__(self, name: str) -> Channel:
        if not isinstance(name, str):
            raise TypeError(f"session {self.name!r} is asked by a channel's name, not by {type(name).__name__}")
        try:
            return self.channel(name)
        except ValueError as error:
            raise KeyError(str(error)) from None

    def __iter__(self) -> Iterator[Channel]:
        return iter(self.channels.values())

    def __len__(self) -> int:
        return len(self._channels) + 1

    def listens_to(self, channel: Channel) -> dict[str, tuple[str, str]]:
        """For each sidechain input of a channel's rack: the channel it listens to, and before or after its fader.

        Raises:
            ValueError: it listens to something else than a name, or a name and a tap.
        """
        return {key: (source, str(tap)) for key, (source, tap) in channel.sidechain_sources().items()}

    def order(self) -> list[Channel]:
        """The channels so that each comes after all that it depends on.

        Raises:
            ValueError: a channel that is named does not exist, or the sound would go in a circle; names the whole path.
        """
        return dependency_order(self.channels)

    def audible(self) -> set[tuple[str, str]]:
        """The connections (from, to) that are open when something is soloed; empty when nothing is.

        Open is what leaves a soloed channel or a member of a soloed group, and all after these; and what goes into a soloed
        channel.
        """
        return soloed_edges(self.channels)

    # --- values ------------------------------------------------------------------------------------------------------

    def addresses(self) -> list[str]:
        """Addresses of all values: "vocals.gain_db", "vocals.compressor.ratio", "vocals.sends.plate.gain_db"."""
        return [
            ".".join(part for part in (channel.name, place, name) if part)
            for channel in self
            for place, effect in channel.effects()
            for name in effect.card.addresses
        ]

    def split(self, address: str) -> tuple[Channel, str]:
        """The channel of an address, and the rest of it."""
        name, _, rest = address.partition(".")
        return self.channel(name), rest

    def get(self, address: str) -> Value:
        """The value at an address."""
        channel, rest = self.split(address)
        return channel.get(rest)

    def set(self, address: str, value: object) -> None:
        """Set the value at an address."""
        channel, rest = self.split(address)
        channel.set(rest, value)

    def automate(self, address: str, points: Iterable[Any]) -> None:
        """Let the value at an address follow breakpoints; those that it had are replaced (see `Channel.automate`)."""
        channel, rest = self.split(address)
        channel.automate(rest, points)

    # --- sound -------------------------------------------------------------------------------------------------------

    @spelled_out()
    def render(
        self,
        *,
        start: Time | None = None,
        end: Time | None = None,
        tail: str | float | None = None,
        channel: str = MASTER,
        threads: int | None = None,
        step: int | None = None,
    ) -> Audio:
        """The mix as an array, (width, frames) float32; arguments as in `render.render`."""
        from .render import render

        return render(self, start=start, end=end, tail=tail, channel=channel, threads=threads, step=step)

    @spelled_out()
    def render_to(
        self,
        *paths: str | os.PathLike[str],
        stems: str | os.PathLike[str] | bool | None = None,
        stems_through_master: bool = True,
        start: Time | None = None,
        end: Time | None = None,
        tail: str | float | None = "auto",
        channel: str = MASTER,
        bits: int = 24,
        sample_rate: int | None = None,
        normalize_lufs: float | None = None,
        normalize_peak_db: float | None = None,
        true_peak_db: float | None = None,
        limit: bool = False,
        cache: str | os.PathLike[str] | Cache | None = None,
        checkpoint: bool = False,
        resume: bool = False,
        manifest: bool = True,
        threads: int | None = None,
        step: int | None = None,
        progress: Callable[[float, float], None] | None = None,
    ) -> RenderedMix:
        """Render the mix to files; arguments as in `output.render_to`."""
        from .output import render_to

        return render_to(
            self, *paths, stems=stems, stems_through_master=stems_through_master, start=start, end=end, tail=tail,
            channel=channel, bits=bits, sample_rate=sample_rate, normalize_lufs=normalize_lufs,
            normalize_peak_db=normalize_peak_db, true_peak_db=true_peak_db, limit=limit, cache=cache,
            checkpoint=checkpoint, resume=resume, manifest=manifest, threads=threads, step=step, progress=progress,
        )  # fmt: skip

    @spelled_out()
    def stems(
        self,
        *,
        start: Time | None = None,
        end: Time | None = None,
        tail: str | float | None = None,
        through_master: bool = True,
        threads: int | None = None,
        step: int | None = None,
    ) -> dict[str, Audio]:
        """The part of the mix that comes from each channel that goes to the master, by name; arguments as in `render.stems`."""
        from .render import stems

        return stems(self, start=start, end=end, tail=tail, through_master=through_master, threads=threads, step=step)

    @spelled_out()
    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        start: Time | None = None,
        end: Time | None = None,
        tail: float | None = None,
        threads: int | None = None,
    ) -> MixReport:
        """Measure the mix and all its channels, and write a page about it; arguments as in `measure.measure`."""
        from .measure import measure, mix_desk

        report = measure(self, start=start, end=end, tail=tail, threads=threads)
        if path is not None:
            report.desk = mix_desk(self, report, start=start, threads=threads)
            report.write(path)
        return report

    def twin(self) -> SessionTwin:
        """The whole mix as a torch.nn.Module with the present values; see `twin.SessionTwin`."""
        from .twin import SessionTwin

        return SessionTwin(self)

    @staticmethod
    def from_twin(twin: SessionTwin) -> Session:
        """The session with the twin's present values."""
        return twin.to_session()

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, collect: bool = False) -> None:
        """Write `*.session.json`; with `collect`, recordings that lie elsewhere are copied beside it. See `file.save`."""
        from .file import save

        save(self, path, collect=collect)

    @staticmethod
    def load(path: str | os.PathLike[str], *, media: Iterable[str | os.PathLike[str]] = ()) -> Session:
        """Read `*.session.json`; see `file.load`."""
        from .file import load

        session: Session = load(path, media=media)
        return session

    def copy(self) -> Session:
        """The same session, sharing only recordings."""
        session = Session(
            self.name, self.sample_rate, width=self.width, tempo=self.tempo, end=self.end, metadata=self.metadata
        )  # fmt: skip
        session._channels = {name: channel.copy() for name, channel in self._channels.items()}
        session.master, session.path, session.provenance = self.master.copy(), self.path, dict(self.provenance)
        return session

    __copy__ = copy  # channels and racks are one session's own

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Session):
            return NotImplemented
        names = ("sample_rate", "width", "tempo", "end", "metadata", "channels")
        same_order = list(self._channels) == list(other._channels)
        return same_order and all(getattr(self, n) == getattr(other, n) for n in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        lines = [f"Session {brief(self.name)}, {self.sample_rate:g} Hz, {self.width} audio channels"]
        for c in self:
            sends = "".join(f", {s.gain_db:+.1f} dB to {s.to}" for s in c.sends)
            effects = ", ".join(c.rack.addresses()) or "no effects"
            marks = "".join(f", {mark}" for mark in ("mute", "solo") if getattr(c, mark))
            where = "" if c.output is None else f" → {c.output}"
            lines.append(f"  {c.kind:<6} {c.name:<16} {c.gain_db:+6.1f} dB, pan {c.pan:+.2f}{marks}; {effects}{sends}{where}")
        return "\n".join(lines)
