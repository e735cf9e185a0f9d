"""The schema of `*.session.json`: the entries of the file, their types and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..rack.card import CARDS
from ..rack.patch import Migration
from .channel import Kind, Polarity, Tap
from .clip import Fade
from .session import MAX_CHANNELS

FORMAT, VERSION = "twinrack.session", 1
# From a version of the format to the next: takes and returns the JSON object.
MIGRATIONS: dict[int, Migration] = {}
FADER = CARDS["fader"].addresses

TimeEntry = float | str
Name = Annotated[str, Field(min_length=1, max_length=100)]


class StrictEntry(BaseModel):
    """An entry that refuses unknown fields, other types, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ClipEntry(StrictEntry):
    """A stretch of a recording; times are seconds, or "4 beats", "48000 frames", "1:02.5"."""

    file: str
    start: TimeEntry = 0.0
    offset: TimeEntry = 0.0
    duration: TimeEntry | None = None
    gain_db: float = 0.0
    fade_in: TimeEntry = 0.0
    fade_out: TimeEntry = 0.0
    fade_in_curve: Fade = "linear"
    fade_out_curve: Fade = "linear"
    loop: bool = False
    loop_length: TimeEntry | None = None
    reverse: bool = False
    channels: list[int] | None = None
    mute: bool = False
    name: str = ""


class FaderEntry(StrictEntry):
    """Level, pan and the rest of a fader; what is missing has the card's default."""

    gain_db: float = 0.0
    pan: float = 0.0
    width: float = 1.0
    law: str = str(FADER["law"].default)
    mute: bool = False


class SendEntry(FaderEntry):
    """A part of the sound that goes to another channel besides."""

    to: Name
    tap: Tap = "post"


class KeyEntry(StrictEntry):
    """The channel that a sidechain input listens to, and where it is tapped."""

    channel: Name
    tap: Tap = "post"


PointEntry = Annotated[list[float | str | bool], Field(min_length=2, max_length=3)]


class ChannelEntry(FaderEntry):
    """One channel. `rack` is a patch, the path of one, or a list of effects as a patch's `rack` holds; automation is by
    address, [time, value, curve] each. `output` is the master where it is left out; the master itself goes nowhere."""

    name: Name
    kind: Kind = "track"
    output: Name | None = "master"
    solo: bool = False
    polarity: Polarity = "normal"
    delay: TimeEntry = 0.0
    rack: dict[str, Any] | str | list[Any] | None = None
    keys: dict[str, KeyEntry] = Field(default_factory=dict)
    clips: list[ClipEntry] = Field(default_factory=list)
    sends: list[SendEntry] = Field(default_factory=list)
    automation: dict[str, list[PointEntry]] = Field(default_factory=dict)
    frozen: str | None = None


class TempoEntry(StrictEntry):
    """From this beat on so many beats a minute, held, or on a line to the next."""

    beat: float
    bpm: float
    ramp: bool = False


class SessionEntry(StrictEntry):
    """The whole file; the last channel is the master."""

    format: Literal["twinrack.session"]
    version: int = VERSION
    name: str = ""
    written_by: str = ""
    sample_rate: float = 48000.0
    width: int = 2
    tempo: list[TempoEntry] = Field(default_factory=lambda: [TempoEntry(beat=0.0, bpm=120.0)])
    end: TimeEntry | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    channels: Annotated[list[ChannelEntry], Field(min_length=1, max_length=MAX_CHANNELS)]
    provenance: dict[str, Any] = Field(default_factory=dict)


PARTS = (SessionEntry, ChannelEntry, ClipEntry, SendEntry, KeyEntry, TempoEntry)


def schema() -> dict[str, Any]:
    """The JSON Schema of the session file."""
    return SessionEntry.model_json_schema()
