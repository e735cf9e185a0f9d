"""What tests of sessions share: small and random sessions, and a mixer in plain numpy that is slow and obvious."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import twinrack as tr
from support import music, random_effect
from twinrack.session.automation import Lane
from twinrack.session.channel import Channel, why_fixed
from twinrack.session.clip import Clip
from twinrack.session.session import Session
from twinrack.session.timeline_rack import latency_before

RATE = 48000
TICK = 32
EFFECTS = ("gain", "parametric_eq", "compressor", "gate", "limiter", "saturation", "fdn_reverb", "convolution_reverb")


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    return 0.1 * music(2, int(seconds * RATE), RATE, seed)


def one_track(clip: tr.Clip | None = None, **more: Any) -> Session:
    """A session of one track, "k"."""
    session = Session("one", RATE)
    session.add_track("k", clips=[clip or Clip(sound(1.0))], **more)
    return session


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def make_song(folder: Path, seconds: float = 2.0, tracks: int = 3) -> Path:
    session = tr.Session("song", RATE, metadata={"title": "Song", "artist": "Band"})
    session.add_return("plate", rack=[tr.FDNReverb(mix=1.0, decay_s=0.4)])
    for i in range(tracks):
        path = folder / f"{i}.wav"
        x = np.tile(0.1 * music(2, 2 * RATE, RATE, i), (1, int(seconds / 2)))
        soundfile.write(path, x.T, RATE, subtype="FLOAT")
        rack = [tr.ParametricEQ(bands=[tr.Band("bell", gain_db=i)]), tr.Compressor(threshold_db=-30, lookahead_ms=i)]
        session.add_track(f"track {i}", clips=[tr.Clip(path)], rack=rack, pan=0.1 * i - 0.1).send("plate", -12)
    session.automate("track 1.gain_db", [(0, -6), (1, 0, "smooth"), (1.5, -3)])
    session.master.rack = tr.Rack([tr.Limiter(ceiling_db=-1)])
    path = folder / "song.session.json"
    session.save(path)
    return path


def command(*arguments: object, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "twinrack", *map(str, arguments)], capture_output=True, text=True, check=False, **more
    )  # fmt: skip


def random_clip(rng: np.random.Generator, seed: int, longest: int, channels: int) -> Clip:
    frames = int(rng.integers(500, longest // 2))
    source = 0.3 * music(int(rng.choice([1, channels])), frames, RATE, seed)
    start = f"{int(rng.integers(0, longest - 600))} frames"
    kind = rng.integers(4)
    offset = int(rng.integers(0, frames // 4))
    there = frames - offset
    fades = {"fade_in": f"{there // 7} frames", "fade_out": f"{there // 5} frames"} if rng.random() < 0.5 else {}
    curves = ["linear", "equal_power", "smooth", "exponential"]
    more: dict[str, Any] = {**fades, "fade_in_curve": str(rng.choice(curves)), "fade_out_curve": str(rng.choice(curves))}
    if kind == 1:
        length = max(there // 3, 1)
        more |= {"loop": True, "loop_length": f"{length} frames", "duration": f"{int(there * 1.7)} frames"}
    if kind == 2:
        more["duration"] = f"{there - there // 9} frames"
    return Clip(
        source, start, f"{offset} frames", gain_db=float(rng.uniform(-12, 6)), reverse=bool(rng.random() < 0.3), **more
    )  # fmt: skip


def random_points(rng: np.random.Generator, p: Any, seconds: float) -> list[tuple[float, Any, str]]:
    times = np.sort(rng.uniform(-0.1, seconds * 1.1, int(rng.integers(1, 6))))
    if p.kind != "continuous":
        return [(float(t), p.at(float(rng.random())), "hold") for t in times]
    curves = ["hold", "linear", "smooth"] + (["exponential"] if p.min > 0 else [])
    low, high = p.position(p.expected[0]), p.position(p.expected[1])
    return [(float(t), p.at(float(rng.uniform(low, high))), str(rng.choice(curves))) for t in times]


def random_rack(rng: np.random.Generator, keys: list[str], effects: tuple[str, ...] = EFFECTS) -> tr.Rack:
    items: list[Any] = []
    for _ in range(int(rng.integers(0, 3))):
        card = tr.CARDS[str(rng.choice(effects))]
        effect = random_effect(card, rng, "expected")
        if card.sidechain and keys and rng.random() < 0.6:
            effect._key = str(rng.choice(keys))  # a constructor argument otherwise
        items.append(effect if rng.random() < 0.7 else tr.Parallel([[], [effect]]))
    return tr.Rack(items)


def random_session(
    seed: int, seconds: float = 0.5, *, effects: tuple[str, ...] = EFFECTS, automation: bool = True, switches: bool = True
) -> Session:
    """Any graph without a circle: tracks, groups in groups, returns that send to returns, sidechains, delays, automation."""
    rng = np.random.default_rng(seed)
    width = int(rng.choice([2, 2, 2, 1, 3]))
    session = Session("random", RATE, width=width)
    longest = int(seconds * RATE)
    laws = tr.CARDS["fader"].addresses["law"].options
    names = [f"{i}" for i in range(int(rng.integers(2, 9)))]  # each may only hear those before it
    for i, name in enumerate(names):
        later = names[i + 1 :]
        track = i < 2 or rng.random() < 0.4
        channel = Channel(
            name,
            "track" if track else "group",
            clips=[random_clip(rng, 100 * seed + 10 * i + n, longest, width) for n in range(int(rng.integers(1, 4)))]
            if track
            else [],
            rack=random_rack(rng, names[:i], effects),
            output=str(rng.choice([*later, "master", "master"])) if rng.random() < 0.9 else None,
            gain_db=float(rng.uniform(-12, 3)),
            pan=float(rng.uniform(-1, 1)),
            width=float(rng.uniform(0, 2)),
            law=str(rng.choice(laws)),
            mute=bool(rng.random() < 0.05),
            polarity=str(rng.choice(["normal", "normal", "invert", "invert_left", "invert_right"])),
            delay=f"{int(rng.choice([0, 0, 0, 117, 2000, -64, -1501]))} frames",
        )
        for to in later:
            if rng.random() < 0.25:
                channel.send(
                    to, float(rng.uniform(-20, 0)), tap=str(rng.choice(["pre", "post"])), pan=float(rng.uniform(-1, 1))
                )
        for key in channel.rack.sidechains:
            if rng.random() < 0.5:
                channel.keys[key] = (key, "pre")
        session.add(channel)
    session.master.rack = random_rack(rng, names, effects)
    session.master.gain_db = float(rng.uniform(-6, 0))
    reached = {"master"}
    for name in reversed(names):
        if session[name].output in reached or any(s.to in reached for s in session[name].sends):
            reached.add(name)
    if not any(session[name].clips for name in reached):
        session["0"].output = "master"
    if automation:
        for address in session.addresses():
            channel, rest = session.split(address)
            _, effect, name = channel.find(rest)
            p = effect.card.addresses[name]
            movable = not why_fixed(effect, name) and (p.kind == "continuous" or (switches and name == "mute"))
            if movable and rng.random() < 0.06:
                session.automate(address, random_points(rng, p, seconds))
    return session


# --- the slow mixer ----------------------------------------------------------------------------------------------------


def slow_fade(curve: str, t: np.ndarray) -> np.ndarray:
    return {
        "linear": lambda: t,
        "equal_power": lambda: np.sin(np.pi / 2 * t),
        "smooth": lambda: 3 * t**2 - 2 * t**3,
        "exponential": lambda: 10 ** (3 * (t - 1)),
    }[curve]()


def number(time: Any) -> int:
    return round(float(str(time).split()[0])) if "frames" in str(time) else round(float(time) * RATE)


def slow_clip(clip: Clip, width: int, frames: int) -> np.ndarray:
    x = np.asarray(clip.source, np.float64)[:, number(clip.offset) :]
    if clip.loop:
        region = x[:, : number(clip.loop_length)]
        region = region[:, ::-1] if clip.reverse else region
        count = number(clip.duration)
        x = np.tile(region, (1, count // region.shape[1] + 1))[:, :count]
    else:
        x = x if clip.duration is None else x[:, : number(clip.duration)]
        x = x[:, ::-1] if clip.reverse else x
    n = x.shape[1]
    fade = np.ones(n)
    a, b = number(clip.fade_in), number(clip.fade_out)
    fade[:a] *= slow_fade(clip.fade_in_curve, (np.arange(a) + 0.5) / max(a, 1))
    fade[n - b :] *= slow_fade(clip.fade_out_curve, (np.arange(b)[::-1] + 0.5) / max(b, 1))
    y = np.zeros((width, frames))
    start = number(clip.start)
    y[:, start : start + n] = (x * fade * 10 ** (clip.gain_db / 20))[:, : frames - start]
    return y


def slow_curves(session: Session, channel: Channel, place: str, frames: int, late: int = 0) -> dict[str, np.ndarray]:
    found = {}
    for address, points in channel.automation.items():
        where, effect, name = channel.find(address)
        if where == place:
            lane = Lane(address, effect.card.addresses[name], points, session.timeline)
            found[name] = lane.curve(-late / TICK, -(-frames // TICK))
    return found


def per_frame(values: np.ndarray, frames: int) -> np.ndarray:
    """One value a tick, on straight lines that have arrived at the tick's end; the first has nothing before it."""
    before = np.concatenate([values[:1], values[:-1]])
    share = np.arange(1, TICK + 1) / TICK
    return (before[:, None] + (values - before)[:, None] * share).reshape(-1)[:frames]


def slow_fader(x: np.ndarray, fader: tr.Fader, curves: dict[str, np.ndarray]) -> np.ndarray:
    frames = x.shape[1]
    ticks = -(-frames // TICK)
    value = {n: curves.get(n, np.full(ticks, fader.get(n) if n != "law" else 0.0)) for n in ("gain_db", "pan", "width", "mute")}
    opened, goal = np.empty(ticks), None
    for k, muted in enumerate(value["mute"]):  # 16 ticks from open to shut
        target = 0 if muted > 0.5 else 16
        goal = target if goal is None else goal + np.clip(target - goal, -1, 1)
        opened[k] = goal
    t = opened / 16
    level = 10 ** (value["gain_db"].astype(np.float64) / 20) * t * t * (3 - 2 * t)
    sides = []
    for pan in (-value["pan"].astype(np.float64), value["pan"].astype(np.float64)):
        p = (pan + 1) / 2
        law = {
            "balance": np.minimum(1, 1 + pan),
            "constant_power_3db": np.sin(np.pi / 2 * p),
            "compromise_4_5db": np.sqrt(np.maximum(p * np.sin(np.pi / 2 * p), 0)),
            "linear_6db": p,
        }[str(fader.law)]
        sides.append(level * law)
    same, other = (1 + value["width"]) / 2, (1 - value["width"]) / 2
    y = x.copy()
    for c in range(0, x.shape[0] - 1, 2):
        left, right = x[c], x[c + 1]
        y[c] = per_frame(sides[0] * same, frames) * left + per_frame(sides[0] * other, frames) * right
        y[c + 1] = per_frame(sides[1] * other, frames) * left + per_frame(sides[1] * same, frames) * right
    if x.shape[0] % 2:
        y[-1] = x[-1] * per_frame(level, frames)
    return y


def shifted(x: np.ndarray, frames: int) -> np.ndarray:
    y = np.zeros_like(x)
    if frames >= 0:
        y[:, frames:] = x[:, : x.shape[1] - frames]
    else:
        y[:, :frames] = x[:, -frames:]
    return y


def slow_mix(session: Session, frames: int, *, extra: int = 60000) -> np.ndarray:
    """The mix by the definition: every channel whole, one after the other; `extra` frames more so that nothing is cut off."""
    long, width = frames + extra, session.width
    before: dict[str, np.ndarray] = {}
    after: dict[str, np.ndarray] = {}
    for channel in session.order():
        x = sum((slow_clip(c, width, long) for c in channel.clips if not c.mute), np.zeros((width, long)))
        for other in session:
            if other.output == channel.name:
                x = x + after[other.name]
            for send in other.sends:
                if send.to == channel.name:
                    source = before[other.name] if send.tap == "pre" else after[other.name]
                    x = x + slow_fader(source, send.fader, slow_curves(session, other, f"sends.{send.to}", long))
        sign = np.ones(width)
        if channel.polarity in ("invert", "invert_left"):
            sign[0::2] = -1
        if channel.polarity in ("invert", "invert_right"):
            sign[1::2] = -1
        x = shifted(x * sign[:, None], number(channel.delay))
        late = latency_before(channel.rack, RATE)
        curves = {
            f"{place}.{name}": curve
            for place in channel.rack.addresses()
            for name, curve in slow_curves(session, channel, place, long, late[place]).items()
        }
        keys = {
            key: (before if tap == "pre" else after)[source].astype(np.float32)
            for key, (source, tap) in session.listens_to(channel).items()
        }
        y = channel.rack(x.astype(np.float32), RATE, sidechain=keys or None, automation=curves or None).astype(np.float64)
        before[channel.name] = y
        after[channel.name] = slow_fader(y, channel.fader, slow_curves(session, channel, "", long))
    return after["master"][:, :frames]
