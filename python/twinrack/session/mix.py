"""The mix of a session: its channels as strips in order, advanced step by step on all cores.

Every strip adds its inputs in the session's order and every engine runs along the absolute grid, so the result is the same,
bit for bit, for any number of threads and any size of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..checks import brief, check_integer, nan_in
from ..rack.effect import Effect
from ..rack.effects import Fader
from ..rack.rack import Rack
from ..rack.tree import Chain, Parallel
from ..system.cores import cores
from ..system.memory import keep_memory
from .automated import automation_of
from .automation import Lane
from .cache import StoredSound, open_pinned
from .channel import SENDS, Channel
from .clip import Clip, ClipReader, end_of
from .fingerprint import Fingerprints
from .media import Media
from .routing import Node, Route, Routing
from .scheduler import AHEAD, Scheduler, Sink
from .session import Session
from .strip import RouteReader, Strip
from .timeline_rack import AutomatedParameter, TimelineRack, latency_before

MEMORY = 48 << 20  # bytes that the buffers between strips may take, about
STEPS = (256, 32768)  # frames at once, least and most

Record = Callable[[Audio], None]
Numbers = npt.NDArray[Any]


class Mix:
    """The strips of a session.

    Args:
        session: it is not changed, and may not be while this is in use.
        media: opens its recordings.
        outputs: channels whose sound is wanted, after the fader; the master's when not given.
        stems: besides, the sound of each channel that goes to the master, through a copy of the master's rack and fader.
        dry_stems: without that copy.
        reuse: for channels that need not be computed, their sound before the fader.
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
        reuse: Mapping[str, StoredSound] | None = None,
        record: Mapping[str, Record] | None = None,
        apart: bool = False,
    ) -> None:
        self.session, self.rate, self.channels = session, session.sample_rate, session.width
        self.media, self.timeline = media, session.timeline
        self.routing = Routing(session)
        self._reuse = {**_frozen(session, media), **(reuse or {})}
        self._record, self._apart = dict(record or {}), apart
        self._cut = None if session.end is None else self.timeline.frames(session.end, "the session's end")
        if self._cut is not None and self._cut <= 0:
            raise ValueError(f"the session's end is {brief(session.end)}; it must come after its beginning")
        self.strips: dict[str, Strip] = {}
        for node in self.routing:
            self.strips[node.name] = self._strip(node)
        self.outputs = [self.strips[name] for name in (["master"] if outputs is None else outputs)]
        self.stem_names: list[str] = []
        if stems:
            self._add_stems(dry_stems)
        self._drop_unused()
        self._set_leads()
        self.given = 0  # frames that the sink has had
        self.step = self._step_frames()
        self.end = self._cut if self._cut is not None else self._last_frame()
        if self.end <= 0:
            raise ValueError(
                f"no clip of session {brief(session.name)} reaches {self.outputs[0].name}; add clips, or give it an end"
            )

    # --- building ----------------------------------------------------------------------------------------------------

    def _last_frame(self) -> int:
        """The frame at which the last clip that is heard has come out."""
        ends: dict[str, int] = {}
        for node in self.routing:
            clip_ends = [end_of(clip, self.timeline, self.media) for clip in node.clips]
            ends[node.name] = max([0, *clip_ends, *(ends[route.source.name] for route in node.inputs)]) + node.delay
        return max((ends[s.name] for s in self.outputs), default=0)

    def _automated(self, channel: Channel, place: str, rack: Rack, effect: str | None = None) -> list[AutomatedParameter]:
        """The automation of what stands at a place of a channel, which `rack` holds as `effect`."""
        automated = []
        for address, points in automation_of(channel, self.timeline).items():
            where, its, name = channel.find(address)
            if where == place:
                lane = Lane(f"{channel.name}.{address}", its.card.addresses[name], points, self.timeline)
                latency = latency_before(rack, self.rate)[where] if effect is None else 0
                automated.append(AutomatedParameter(effect or where, name, lane, latency))
        return automated

    def _timeline_rack(self, rack: Rack, automated: list[AutomatedParameter], channel: str) -> TimelineRack:
        try:
            return TimelineRack(rack, self.rate, self.channels, automated, self.timeline.knots())
        except ValueError as error:
            raise ValueError(f"channel {brief(channel)}: {error}") from None

    def _strip(self, node: Node, inputs: list[RouteReader] | None = None) -> Strip:
        """A strip for a channel; with `inputs`, a copy of it that has those alone, for a stem."""
        channel, name, copy = node.channel, node.name, inputs is not None
        stored = None if copy else self._reuse.get(name)
        if stored is not None:
            strip = Strip(name, self.channels, stored=stored)
        else:
            strip = Strip(
                name, self.channels, [self._reader(clip, node) for clip in node.clips],
                self._readers(node) if inputs is None else inputs,
                [self._tap(route) for route in node.keys.values()],
                np.array(node.signs, np.float32)[:, None] if node.inverts else None, node.delay,
                record=None if copy else self._record.get(name),
            )  # fmt: skip
        strip.tapped = node.tapped and not copy
        rack = channel.rack.copy() if stored is None else Rack()
        fader = Rack([channel.fader.copy()])
        automated = [a for place in rack.addresses() for a in self._automated(channel, place, rack)]
        fader_automated = self._automated(channel, "", fader, "fader")
        apart = strip.tapped or stored is not None or strip.record is not None or (self._apart and not copy)
        if apart or fader_automated:  # its curves hold for what comes out of the rack, which has latency there
            strip.rack = self._timeline_rack(rack, automated, name) if rack.addresses() else None
            strip.fader = self._timeline_rack(fader, fader_automated, name)
        else:
            strip.rack = self._timeline_rack(_with_fader(rack, channel.fader), automated, name)
        return strip

    def _reader(self, clip: Clip, node: Node) -> ClipReader:
        until = None if self._cut is None else self._cut - node.delay
        try:
            return ClipReader(clip, self.timeline, self.channels, self.media, until)
        except ValueError as error:
            raise ValueError(f"channel {brief(node.name)}: {error}") from None

    def _tap(self, route: Route) -> RouteReader:
        return RouteReader(self.strips[route.source.name], route.tap == "pre")

    def _readers(self, node: Node) -> list[RouteReader]:
        """Readers of what comes into a channel, in the session's order."""
        readers = []
        for route in node.inputs:
            reader, send = self._tap(route), route.send
            if send is not None:
                rack = Rack([send.fader.copy()])
                automated = self._automated(route.source, f"{SENDS}.{send.to}", rack, "fader")
                if self.channels == 2 and not automated:
                    # what the fader makes of one side and of the other
                    still = rack(np.eye(2, dtype=np.float32), self.rate).reshape(-1)
                    reader = replace(reader, matrix=tuple(float(v) for v in still))
                else:
                    reader = replace(reader, send=self._timeline_rack(rack, automated, route.source.name))
            readers.append(reader)
        return readers

    def _add_stems(self, dry: bool) -> None:
        """A strip for what each channel, and the master's own clips, bring to the master."""
        master = self.routing.master
        for channel in self.session:
            own_clips = channel is master.channel and bool(channel.clips)
            routes = [route for route in master.inputs if route.source is channel]
            if not routes and not own_clips:
                continue
            self.stem_names.append(channel.name)
            if dry and len(routes) == 1 and routes[0].send is None:
                self.outputs.append(self.strips[channel.name])
                continue
            part = replace(master, inputs=tuple(routes), clips=master.clips if own_clips else ())
            if dry:  # as it comes into the master
                plain = Channel("master", "master", output=None)
                part = replace(part, channel=plain, keys={}, signs=(1.0,) * self.channels, delay=0)
            self.outputs.append(self._strip(part, self._readers(part)))

    def _drop_unused(self) -> None:
        """Forget strips from which no output is made."""
        used, stack = set(map(id, self.outputs)), list(self.outputs)
        while stack:
            for route, _ in stack.pop().sources():
                if id(route.source) not in used:
                    used.add(id(route.source))
                    stack.append(route.source)
        extra = [s for s in self.outputs if s not in self.strips.values()]
        self.all = [s for s in self.strips.values() if id(s) in used] + extra
        self.strips = {name: s for name, s in self.strips.items() if id(s) in used}

    def _set_leads(self) -> None:
        """By how much each strip must be ahead of the mix."""
        for strip in reversed(self.all):
            for route, ahead in strip.sources():
                route.source.lead = max(route.source.lead, ahead)

    # --- running -----------------------------------------------------------------------------------------------------

    def _step_frames(self) -> int:
        """Frames at once: many, where there are few channels."""
        each = 4 * self.channels * (AHEAD + 2) * sum(2 if s.tapped else 1 for s in self.all)
        return max(STEPS[0], min(STEPS[1], MEMORY // each // 256 * 256))

    def run(self, sink: Sink, *, threads: int | None = None, step: int | None = None) -> None:
        """Advance until the sink has had enough; called again, it goes on from there.

        Args:
            sink: called with the next frames of every output; False ends it.
            threads: how many; one for each core when not given.
            step: frames at once, the first time.
        """
        threads = None if threads is None else check_integer(threads, "threads", 1)
        step = None if step is None else check_integer(step, "step", 1)
        if step is not None and self.given == 0:
            self.step = step
        keep_memory()
        scheduler = Scheduler(self.all, self.outputs, self.step, self.given, sink)
        try:
            scheduler.work(max(1, min(threads or cores(), len(self.all))))
        finally:
            self.given = scheduler.given

    def state(self) -> tuple[dict[str, Any], dict[str, Numbers]]:
        """All that is needed to go on from here, while it does not run: as JSON, and as arrays."""
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
        """Sentences about faults in the sound, and about parts that are missing from recordings."""
        sentences = list(self.media.notes)
        for strip in self.all:
            sentences += [f"{label} has {nan_in(n)}; they count as silence" for label, n in strip.faults.items()]
            for address, meter in strip.meters():
                if meter.faults:
                    sentences.append(f"{strip.name}.{address} put out NaN or infinity {meter.faults} times, and was reset")
        return sentences


def _frozen(session: Session, media: Media) -> dict[str, StoredSound]:
    """The pinned sounds of frozen channels.

    Raises:
        FileNotFoundError, ValueError: a file is missing, or a channel was changed since.
    """
    paths = {channel.name: Path(channel.frozen) for channel in session if channel.frozen}
    keys = Fingerprints(session, solo=False).before if paths else {}
    return {name: open_pinned(path, name, keys[name], session.width, media) for name, path in paths.items()}


def _with_fader(rack: Rack, fader: Fader) -> Rack:
    """One rack of a channel's effects and its fader, which is cheaper than two."""
    items: list[Effect | Chain | Parallel] = list(rack.effects)
    name = "fader"
    while name in rack.addresses():
        name += "_"
    values: dict[str, Any] = fader.values()
    rack.effects = (*items, Fader(name=name, bypass=fader.bypass, **values))
    return rack
