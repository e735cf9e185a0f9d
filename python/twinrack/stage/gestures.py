"""Takes as sessions: the inputs of a take become clips, and the changes of its parameters automation."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..rack import patch
from ..rack.card import Parameter
from ..rack.effect import place_of
from ..session.automation import TICK_FRAMES, Point
from ..session.channel import why_fixed
from ..session.clip import Clip
from ..session.session import Session
from ..session.timeline_rack import latency_before
from .line import LOWEST_DB
from .take import DRY, read_events, read_head

Change = tuple[int, float]  # tick, and the value that it was set to


def _at(tick: int, latency: int) -> str:
    return f"{tick * TICK_FRAMES - latency} frames"


def glides(p: Parameter, before: float, changes: Sequence[Change], rate: float, latency: int = 0) -> list[Point]:
    """The points of a value that was set while it sounded, and glided as the engine lets it glide.

    Args:
        before: where it stood.
        changes: in order; the tick from which on each holds.
        rate: Hz.
        latency: frames by which the effects before it hold the sound back, which a live stream does not compensate.
    """
    ticks = 0 if p.kind != "continuous" else math.ceil(p.smoothing_ms * 1e-3 * rate / TICK_FRAMES)

    def value(number: float) -> Any:
        return number if p.kind == "continuous" else p.options[int(number)] if p.kind == "choice" else bool(number)

    log = p.scale != "linear"

    def along(a: float, b: float, done: int) -> float:
        t = done / ticks
        s = t * t * (3.0 - 2.0 * t)
        return math.exp(math.log(a) + (math.log(b) - math.log(a)) * s) if log else a + (b - a) * s

    if not changes:
        return []
    points: list[Point] = [Point(0.0, value(before), "hold")]
    current = before
    for i, (tick, target) in enumerate(changes):
        following = changes[i + 1][0] if i + 1 < len(changes) else None
        if following == tick:
            continue  # set again at once
        if ticks == 0:
            points.append(Point(_at(tick, latency), value(target), "hold"))
            current = target
            continue
        end = tick - 1 + ticks
        if following is None or following > end:
            points += [Point(_at(tick - 1, latency), current, "smooth"), Point(_at(end, latency), target, "hold")]
            current = target
            continue
        for k in range(tick, following):  # cut off by the next change
            points.append(Point(_at(k, latency), along(current, target, k - tick + 1), "hold"))
        current = along(current, target, following - tick)
    return points


def read_take(folder: str | os.PathLike[str]) -> tuple[Session, list[str]]:
    """A take as a session: a track for each line, with its inputs, its rack, and the changes of its parameters.

    Args:
        folder: written by `LiveStream.record`.

    Returns:
        The session, and what could not be carried, a sentence each: bypasses, racks that were put in place of others, levels of
        lines that moved, the safety limiter.

    Raises:
        FileNotFoundError, ValueError: there is no take, or it is broken.
    """
    folder = Path(folder)
    head = read_head(folder)
    rate, first = float(head["sample_rate"]), int(head["first_frame"])
    widths = {len(line["inputs"]) for line in head["lines"]}
    if len(widths) > 1:
        raise ValueError(f"{folder}: its lines have {', '.join(map(str, sorted(widths)))} channels; a session has one number")
    session = Session(folder.name, rate, width=widths.pop())
    left_out: list[str] = []
    changes: dict[tuple[str, str], list[Change]] = {}
    racks = {line["name"]: patch.load(folder / line["rack"]) for line in head["lines"]}
    swapped: set[str] = set()
    for event in read_events(folder):
        line = event.get("line", "")
        tick = max(-(-(int(event["frame"]) - first) // TICK_FRAMES), 0)
        if line in swapped:
            continue
        if "set" in event and line in racks:
            effect, name = racks[line].running.split(event["set"])
            p = effect.card.addresses[name]
            if why_fixed(effect, name):
                left_out.append(
                    f"{line}.{event['set']} was changed at {tick * TICK_FRAMES / rate:.2f} s, which a session cannot"
                )
                continue
            changes.setdefault((line, event["set"]), []).append((tick, p.to_engine(event["to"])))
        elif "bypass" in event:
            left_out.append(f"{line}.{event['bypass']} was bypassed or not at {tick * TICK_FRAMES / rate:.2f} s")
        elif "rack" in event:
            left_out.append(f"{line} got another rack at {tick * TICK_FRAMES / rate:.2f} s; what came after is left out")
            swapped.add(line)
        elif event.get("ask") == "level":
            left_out.append(f"the level of a line moved at {tick * TICK_FRAMES / rate:.2f} s")
    for line in head["lines"]:
        rack = racks[line["name"]]
        inputs = [int(n) for n in line["inputs"]]
        clips = [] if 0 in inputs else [Clip(folder / DRY, channels=tuple(n - 1 for n in inputs), name=line["name"])]
        if 0 in inputs:
            left_out.append(f"{line['name']} hears silence on a channel, which a clip cannot; it has no clip")
        track = session.add_track(line["name"], clips=clips, rack=rack, gain_db=max(float(line["level_db"]), LOWEST_DB))
        track.mute = bool(line["mute"])
        for key in rack.sidechains:
            routed = line["sidechain"][key]
            numbers = [routed] if isinstance(routed, int) else list(routed)
            name = f"{line['name']} {key}"
            picked = tuple((numbers * session.width)[: session.width] if len(numbers) == 1 else numbers)
            session.add_track(name, clips=[Clip(folder / DRY, channels=tuple(n - 1 for n in picked))], output=None)
            track.keys[key] = (name, "post")
        latencies = latency_before(rack, rate)
        for (name, address), done in changes.items():
            if name == line["name"]:
                effect, parameter = rack.running.split(address)
                p = effect.card.addresses[parameter]
                track.automate(address, glides(p, p.to_engine(effect.get(parameter)), done, rate, latencies[place_of(effect)]))
    if head["safety"].get("limiter"):
        left_out.append("the safety limiter of the stream is not in the session")
    return session, left_out
