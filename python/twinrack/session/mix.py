"""A session at work: its channels as strips in order, advanced step by step on all cores, in whatever order they are ready.

Every strip adds what it hears in the session's order and every engine runs along the absolute grid, so the result is the same,
bit for bit, for any number of threads and any size of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..checks import brief, check_integer, nan_in
from ..rack.effect import Effect
from ..rack.rack import Rack
from ..rack.tree import Chain as Serial
from ..rack.tree import Parallel
from ..system.memory import keep_memory
from .automation import Lane
from .channel import Channel, Send
from .clip import Clip, Placed, end_of
from .crew import AHEAD, Crew, Give, cores
from .media import Media
from .strip import ONE, Chain, Moving, Strip, Way, fader_rack, late_at, signs_of

if TYPE_CHECKING:
    from .session import Session

MEMORY = 48 << 20  # bytes that the buffers between strips may take, about
STEPS = (256, 32768)  # frames at once, least and most

FROZEN_DIGITS = 16  # of the hash in a frozen file's name

Replay = Callable[[int, int], Audio]
Record = Callable[[Audio], None]
Numbers = npt.NDArray[Any]


class Mix:
    """The strips of a session.

    Args:
        session: it is not changed, and may not be while this is in use.
        media: where its recordings come from.
        outputs: channels whose sound is wanted, after the fader; the master's when not given.
        stems: besides, the sound of each channel that goes to the master, through a copy of the master's rack and fader.
        dry_stems: without that copy.
        reuse: for channels that need not be computed, what they sound like before the fader, by (first, last) frame.
        record: is given the sound of a channel before the fader.
        apart: keep racks and faders apart everywhere, as for recording.

    Raises:
        FileNotFoundError, ValueError: one sentence: a circle, a missing recording, an effect that does not fit.
    """

    def __init__(
        self,
        session: Session,
        media: Media,
        outputs: Iterable[str] | None = None,
        *,
        stems: bool = False,
        dry_stems: bool = False,
        reuse: Mapping[str, Replay] | None = None,
        record: Mapping[str, Record] | None = None,
        apart: bool = False,
    ) -> None:
        self.session, self.rate, self.channels = session, session.sample_rate, session.width
        self.media, self.timeline = media, session.timeline
        order = session.order()
        open_ways = session.audible()
        self._open: Callable[[str, str], bool] = lambda a, b: not open_ways or (a, b) in open_ways
        before = {source for c in order for source, tap in session.listens_to(c).values() if tap == "pre"}
        self._before = before | {c.name for c in order for s in c.sends if s.tap == "pre"}
        self._reuse = {**_frozen(session, media), **(reuse or {})}
        self._record, self._apart = dict(record or {}), apart
        self._into: dict[str, list[tuple[Channel, Send | None]]] = {c.name: [] for c in order}
        for c in session:
            if c.output is not None:
                self._into[c.output].append((c, None))
            for send in c.sends:
                self._into[send.to].append((c, send))
        self._cut = None if session.end is None else self.timeline.frames(session.end, "the session's end")
        if self._cut is not None and self._cut <= 0:
            raise ValueError(f"the session's end is {brief(session.end)}; it must come after its beginning")
        self.strips: dict[str, Strip] = {}
        for channel in order:
            self.strips[channel.name] = self._strip(channel)
        self.outputs = [self.strips[name] for name in (["master"] if outputs is None else outputs)]
        self.stem_names: list[str] = []
        if stems:
            for channel in session:
                ways = [way for way in self._ways_into("master") if way.source.name == channel.name]
                own = channel.name == "master" and bool(channel.clips)
                if ways or own:
                    self.stem_names.append(channel.name)
                    dry = dry_stems and len(ways) == 1 and ways[0].send is None and ways[0].matrix == ONE
                    self.outputs.append(self.strips[channel.name] if dry else self._stem(ways, own, dry_stems))
        self._drop_unheard()
        self._look_ahead()
        self.given = 0  # frames that were given
        self.step = self._step_frames()
        self.end = self._cut if self._cut is not None else self._last_frame()
        if self.end <= 0:
            raise ValueError(
                f"no clip of session {brief(session.name)} is heard at the {self.outputs[0].name}; add clips, or say its end"
            )

    # --- building ----------------------------------------------------------------------------------------------------

    def _last_frame(self) -> int:
        """Where the last clip that is heard has come out."""
        found: dict[str, int] = {}
        for channel in self.session.order():
            own = [end_of(clip, self.timeline, self.media) for clip in channel.clips if not clip.mute]
            heard = [found[c.name] for c, _ in self._into[channel.name] if self._open(c.name, channel.name)]
            found[channel.name] = max([0, *own, *heard]) + self._delay(channel)
        return max((found[s.name] for s in self.outputs), default=0)

    def _lanes(self, channel: Channel, place: str, rack: Rack, at: str = "") -> list[Moving]:
        """The automation of what stands at a place, by the engine's numbers in `rack`, where it is called `at`."""
        found = []
        for address, points in channel.automation.items():
            where, effect, name = channel.find(address)
            if where != place:
                continue
            p = effect.card.addresses[name]
            index = rack.running.structure.first[at or where] + list(effect.card.addresses).index(name)
            late = 0 if at else late_at(rack, self.rate)[where]
            found.append((index, Lane(f"{channel.name}.{address}", p, points, self.timeline), late))
        return found

    def _chain(self, rack: Rack, lanes: list[Moving], what: str) -> Chain:
        try:
            return Chain(rack, self.rate, self.channels, lanes)
        except ValueError as error:
            raise ValueError(f"channel {brief(what)}: {error}") from None

    def _strip(self, channel: Channel, source: list[Way] | None = None, clips: bool = True) -> Strip:
        """A strip for a channel; `source`: hears that alone, and not its clips without `clips`."""
        name = channel.name
        strip = Strip(name, self.channels, signs=signs_of(channel, self.channels), delay=self._delay(channel))
        reused = self._reuse.get(name) if source is None else None
        if reused is not None:
            strip.signs, strip.delay, strip.replay = None, 0, reused
        else:
            until = None if self._cut is None else self._cut - strip.delay
            placed = [self._placed(c, name, until) for c in channel.clips if not c.mute and clips]
            strip = replace(strip, clips=placed, ways=self._ways_into(name) if source is None else source)
        strip.splits = source is None and name in self._before
        if reused is None:
            strip.keys = [Way(self.strips[key], tap == "pre") for key, tap in self.session.listens_to(channel).values()]
            strip.record = self._record.get(name) if source is None else None
        rack = channel.rack.copy() if reused is None else Rack()
        lanes = [lane for place in rack.addresses() for lane in self._lanes(channel, place, rack)]
        fader = fader_rack(channel)
        fader_lanes = self._lanes(channel, "", fader, "fader")
        apart = strip.splits or reused is not None or strip.record is not None or (self._apart and source is None)
        if apart or fader_lanes:  # its curves hold for what comes out of the rack, which may be late there
            strip.rack = self._chain(rack, lanes, name) if rack.addresses() else None
            strip.fader = self._chain(fader, fader_lanes, name)
        else:
            strip.rack = self._chain(_with_fader(rack, fader["fader"]), lanes, name)
        return strip

    def _placed(self, clip: Clip, name: str, until: int | None) -> Placed:
        try:
            return Placed(clip, self.timeline, self.channels, self.media, until)
        except ValueError as error:
            raise ValueError(f"channel {brief(name)}: {error}") from None

    def _ways_into(self, name: str) -> list[Way]:
        """How the sound of others comes to a channel, in the session's order."""
        found = []
        for source, send in self._into[name]:
            if not self._open(source.name, name):
                continue
            strip = self.strips[source.name]
            if send is None:
                found.append(Way(strip))
                continue
            rack = fader_rack(send)
            lanes, before = self._lanes(source, f"sends.{send.to}", rack, "fader"), send.tap == "pre"
            if self.channels == 2 and not lanes:
                # what the fader makes of one side and of the other
                still = rack(np.eye(2, dtype=np.float32), self.rate).reshape(-1)
                found.append(Way(strip, before, matrix=tuple(float(v) for v in still)))
            else:
                found.append(Way(strip, before, self._chain(rack, lanes, source.name)))
        return found

    def _delay(self, channel: Channel) -> int:
        return self.timeline.span(0, channel.delay, f"delay of {channel.name}")

    def _stem(self, ways: list[Way], clips: bool, dry: bool) -> Strip:
        """What some ways bring to the master, through a copy of it, or as it comes there."""
        master = self.session.master if not dry else Channel("master", "master", output=None, clips=self.session.master.clips)
        return self._strip(master, ways, clips)

    def _drop_unheard(self) -> None:
        """Forget strips that nothing that is wanted hears."""
        wanted, stack = set(map(id, self.outputs)), list(self.outputs)
        while stack:
            for way, _ in stack.pop().sources():
                if id(way.source) not in wanted:
                    wanted.add(id(way.source))
                    stack.append(way.source)
        extra = [s for s in self.outputs if s not in self.strips.values()]
        self.all = [s for s in self.strips.values() if id(s) in wanted] + extra
        self.strips = {name: s for name, s in self.strips.items() if id(s) in wanted}

    def _look_ahead(self) -> None:
        """By how much each strip must be ahead of the mix."""
        for strip in reversed(self.all):
            for way, ahead in strip.sources():
                way.source.lead = max(way.source.lead, ahead)

    # --- running -----------------------------------------------------------------------------------------------------

    def _step_frames(self) -> int:
        """Frames at once: many, where there are few channels."""
        each = 4 * self.channels * (AHEAD + 2) * sum(2 if s.splits else 1 for s in self.all)
        return max(STEPS[0], min(STEPS[1], MEMORY // each // 256 * 256))

    def run(self, give: Give, *, threads: int | None = None, step: int | None = None) -> None:
        """Advance until `give` has had enough; called again, it goes on from there.

        Args:
            give: called with the next frames of every output; False ends it.
            threads: how many; one for each core when not given.
            step: frames at once, the first time.
        """
        threads = None if threads is None else check_integer(threads, "threads", 1)
        step = None if step is None else check_integer(step, "step", 1)
        if step is not None and self.given == 0:
            self.step = step
        keep_memory()
        Crew(self, give).work(max(1, min(threads or cores(), len(self.all))))

    def state(self) -> tuple[dict[str, Any], dict[str, Numbers]]:
        """All that is needed to go on from here, while it does not run: in words, and as arrays."""
        meta: dict[str, Any] = {"given": self.given, "step": self.step, "strips": []}
        arrays: dict[str, Numbers] = {}
        for i, strip in enumerate(self.all):
            meta["strips"].append(strip.state(arrays, f"{i}"))
        return meta, arrays

    def restore(self, meta: dict[str, Any], arrays: Mapping[str, Numbers]) -> None:
        """Go on from a state of the same session.

        Raises:
            ValueError: it is another session's, or another engine's.
        """
        self.given, self.step = int(meta["given"]), int(meta["step"])
        for i, (strip, its) in enumerate(zip(self.all, meta["strips"], strict=True)):
            strip.restore(its, arrays, f"{i}")

    def faults(self) -> list[str]:
        """What went wrong in the sound, and what is missing from recordings, a sentence each."""
        found = list(self.media.notes)
        for strip in self.all:
            found += [f"{label} has {nan_in(n)}; they count as silence" for label, n in strip.notes.items()]
            if strip.rack is None:
                continue
            for (address, _), meter in zip(strip.rack.slots, strip.rack.engine.meters(), strict=True):
                if meter.faults:
                    found.append(f"{strip.name}.{address} put out NaN or infinity {meter.faults} times, and was reset")
        return found


def _frozen(session: Session, media: Media) -> dict[str, Replay]:
    """What stands for frozen channels.

    Raises:
        ValueError: a channel was changed since.
    """
    if not any(channel.frozen for channel in session):
        return {}
    from .fingerprint import Fingerprints

    hashes = Fingerprints(session, solo=False).before
    return {c.name: Frozen(c.name, c.frozen, hashes[c.name], session, media) for c in session if c.frozen}


class Frozen:
    """The sound of a channel before its fader, from a file whose name ends in its hash; silence after its end."""

    def __init__(self, name: str, path: str, key: str, session: Session, media: Media) -> None:
        if Path(path).stem.rpartition(".")[2] != key[:FROZEN_DIGITS]:
            raise ValueError(f"channel {brief(name)} was changed since it was frozen; freeze it again, or unfreeze it")
        self.clip = Placed(Clip(path), session.timeline, session.width, media)
        self.width = session.width

    def __call__(self, a: int, b: int) -> Audio:
        x = np.zeros((self.width, b - a), np.float32)
        self.clip.add_to(x, a)
        return x


def _with_fader(rack: Rack, fader: Effect) -> Rack:
    """One rack of a channel's effects and its fader, which is cheaper than two."""
    items: list[Effect | Serial | Parallel] = list(rack.effects)
    made = fader.copy()
    made._name = "fader"
    while made._name in rack.addresses():
        made._name += "_"
    rack.effects = (*items, made)
    return rack
