"""The description of a session as text: for each channel its routing, clips, effects, sends, sidechains and automation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ..rack.describe import WIDTH, value_text
from ..rack.effect import Effect
from .channel import OWN, Channel
from .session import Session
from .timeline import Time


def describe(session: Session) -> str:
    """The whole session; values that differ from their defaults."""
    tempo = ", ".join(
        f"{t.bpm:g}{f' from beat {t.beat:g}' if t.beat else ''}{' gliding' if t.ramp else ''}" for t in session.tempo
    )
    lines = [
        f"Session {session.name!r}, {session.sample_rate:g} Hz, {session.width} audio channel{'s' if session.width > 1 else ''}"
        f", {tempo} BPM"
    ]
    if session.end is not None:
        lines.append(f"ends at {_time(session.end)}")
    lines += [f"{name}: {text}" for name, text in session.metadata.items()]
    for channel in session:
        lines += ["", *_channel(channel)]
    return "\n".join(lines)


def _time(time: Time) -> str:
    return time if isinstance(time, str) else f"{time:g} s"


def _differing(effect: Effect, but: tuple[str, ...] = ()) -> str:
    """Values that differ from their defaults; of an equaliser its bands in use."""
    unused, values = effect.unused(), effect.values()
    parts = [
        f"{address} {value_text(p, values[address])}"
        for address, p in effect.card.addresses.items()
        if address not in unused and address not in but and values[address] != effect.default(address)
    ]
    return ", ".join(parts)


def _channel(channel: Channel) -> Iterator[str]:
    marks = [mark for mark in ("mute", "solo") if getattr(channel, mark)]
    marks += [] if channel.polarity == "normal" else [f"polarity {channel.polarity}"]
    marks += [f"delay {_time(channel.delay)}"] if channel.delay not in (0, 0.0) else []
    fader = ", ".join(f"{n} {value_text(channel.fader.card.addresses[n], channel.fader.get(n))}" for n in OWN if n != "mute")
    yield f"{channel.name} ({channel.kind}) → {channel.output or 'out'}{''.join(f', {mark}' for mark in marks)}"
    yield f"  fader    {fader}"
    for clip in channel.clips:
        where = "" if clip.path is None else f" ({clip.path})" if clip.name else f" ({clip.path.parent})"
        parts = [f"from {_time(clip.start)}"]
        parts += [f"{what} {_time(t)}" for what in ("offset", "duration") if (t := getattr(clip, what)) not in (None, 0, 0.0)]
        parts += [f"{what} {_time(t)}" for what in ("fade_in", "fade_out") if (t := getattr(clip, what)) not in (0, 0.0)]
        parts += [f"{clip.gain_db:+g} dB"] if clip.gain_db else []
        parts += [mark for mark in ("loop", "reverse", "mute") if getattr(clip, mark)]
        parts += [] if clip.channels is None else [f"channels {', '.join(map(str, clip.channels))}"]
        yield from _wrapped(f"  clip     {clip.label}{where}: {', '.join(parts)}")
    for address, effect in channel.rack.addresses().items():
        bypassed = " (bypassed)" if effect.bypass else ""
        yield from _wrapped(f"  effect   {address}{bypassed}: {_differing(effect) or 'all at its defaults'}")
    for key, (source, tap) in channel.sidechain_sources().items():
        yield f"  listens  {key}: to {source}, {'before' if tap == 'pre' else 'after'} its fader"
    for send in channel.sends:
        settings = _differing(send.fader, ("gain_db",))
        level = f"{send.gain_db:+.1f} dB{f', {settings}' if settings else ''}"
        yield f"  send     to {send.to}: {level}, {'before' if send.tap == 'pre' else 'after'} the fader"
    for address, points in channel.automation.items():
        p = channel.parameter(address)
        first, last = points[0], points[-1]
        span = f"from {value_text(p, first.value)} at {_time(first.time)} to {value_text(p, last.value)} at {_time(last.time)}"
        yield from _wrapped(f"  moves    {address}: {len(points)} point{'s' if len(points) > 1 else ''}, {span}")
    if channel.frozen is not None:
        yield f"  frozen   {channel.frozen}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * 11, break_long_words=False, break_on_hyphens=False)
