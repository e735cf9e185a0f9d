"""The twin of `feedback_suppressor.h`: notches where a loop of microphone and loudspeaker begins to howl.

Where the notches stand is decided as in the engine, and has no gradient; the sound through them has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from twinrack.twins.curves import TICK_FRAMES, hold, tick_count
from twinrack.twins.recursions import design_filters, svf_cascade
from twinrack.twins.values import Context, Values

Numbers = npt.NDArray[np.float64]

MOST = 16
STEP_DB, LIFT_DB_PER_S, GLIDE_S = 6.0, 3.0, 0.01
SAME_OCTAVES, IDLE_HZ = 1.0 / 12.0, 1000.0
# The tracker, as in howl.h.
WINDOW, HOP, TRACKS = 1024, 512, 4
LOWEST_HZ, LEAST_S, LEAST_WINDOWS, LONGEST = 100.0, 0.13, 12, 10
GROWTH, PERCENT, LATELY, STILL = 2.5, 85, 6, 0.85
LEAST_LEVEL, SHARE, ABOVE_BESIDE, ABOVE_HARMONICS = 1e-5, 0.1, 250.0, 1e2
PURITY, LOUD, STAYS = 0.8, 0.03, 8
NEAR, FAR = 4, 12


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    ticks = tick_count(at.frames)
    with torch.no_grad():
        curves = [hold(t.double(), ticks).expand(-1, ticks).cpu().numpy() for t in (v.depth_db, v.hold_s)]
        sounds = x.detach().float().cpu().numpy()
        decided = [notches(s, *(c[i % len(c)] for c in curves), bool(v.freeze), at.sample_rate) for i, s in enumerate(sounds)]
    if not any(depths.any() for _, depths in decided):
        return x
    hertz, depths = (torch.from_numpy(np.stack(part)).to(x.device) for part in zip(*decided, strict=True))
    q = hold(v.q.double(), ticks).unsqueeze(-1).expand(hertz.shape[0], ticks, MOST).contiguous()
    return svf_cascade(x, design_filters(["bell"] * MOST, True, hertz, -depths, q, at.sample_rate, at.path), at.path)


@dataclass
class Notch:
    hz: float = IDLE_HZ
    target_db: float = 0.0
    db: float = 0.0
    hold: int = 0

    @property
    def rank(self) -> float:
        return 1e3 + self.hold if self.target_db > 0.0 else self.db


def notches(
    x: npt.NDArray[np.float32], depth_db: Numbers, hold_s: Numbers, frozen: bool, rate: float
) -> tuple[Numbers, Numbers]:
    """Frequencies in Hz and depths in dB of the notches in each tick, (ticks, notches), for a sound (channels, frames)."""
    ticks = tick_count(x.shape[1])
    hertz, depths = np.full((ticks, MOST), IDLE_HZ), np.zeros((ticks, MOST))
    howls = {-(-frame // TICK_FRAMES): hz for frame, hz in howls_in(x, rate)}
    if not howls or frozen:
        return hertz, depths
    share = 1.0 - math.exp(-TICK_FRAMES / (GLIDE_S * rate))
    lift = LIFT_DB_PER_S * TICK_FRAMES / rate
    every = [Notch() for _ in range(MOST)]
    for tick in range(min(howls), ticks):
        if tick in howls:
            _set(every, howls[tick], float(depth_db[tick]), round(float(hold_s[tick]) * rate / TICK_FRAMES))
        for i, n in enumerate(every):
            if n.hold > 0:
                n.hold -= 1
            else:
                n.target_db = max(n.target_db - lift, 0.0)
            n.target_db = min(n.target_db, float(depth_db[tick]))
            n.db += share * (n.target_db - n.db)
            hertz[tick, i], depths[tick, i] = n.hz, n.db
    return hertz, depths


def _set(every: list[Notch], hz: float, depth_db: float, hold_ticks: int) -> None:
    away = [abs(math.log2(hz / n.hz)) if n.target_db > 0.0 else math.inf for n in every]
    nearest = int(np.argmin(away))
    if away[nearest] < SAME_OCTAVES:
        n = every[nearest]
        n.hz, n.target_db = 0.5 * (n.hz + hz), min(n.target_db + STEP_DB, depth_db)
    else:
        n = min(every, key=lambda one: one.rank)
        n.hz, n.target_db = hz, min(STEP_DB, depth_db)
    n.hold = hold_ticks


def howls_in(x: npt.NDArray[np.float32], rate: float) -> list[tuple[int, float]]:
    """The frames after which a howl has been noticed, and its frequency in Hz."""
    hops = x.shape[1] // HOP
    if hops == 0:
        return []
    mixed = sum((y / np.float32(1.0 + 0.5 * c) for c, y in enumerate(x)), np.zeros(x.shape[1], np.float32))
    padded = np.concatenate([np.zeros(WINDOW - HOP, np.float32), mixed[: hops * HOP]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    shape = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)
    powers = np.abs(np.fft.rfft(windows * shape)[:, : WINDOW // 2]) ** 2
    first = max(2, math.ceil(LOWEST_HZ * WINDOW / rate))
    least = max(LEAST_WINDOWS, round(LEAST_S * rate / HOP))
    tracks: list[Track] = []
    noticed = []
    for hop, power in enumerate(powers):
        total = float(power[first : WINDOW // 2 - 2].sum())
        peaks = _peaks(power, first, total)
        following: list[Track] = []
        howling: int | None = None
        for top, partial in peaks:
            level = partial / (0.09375 * WINDOW * WINDOW)
            before = next((t for t in tracks if abs(t.bin - top) <= 1), None)
            if before is None:
                following.append(Track(top, level))
                continue
            track = before.copy()
            track.follow(top, level, level > LOUD and partial > PURITY * total)
            if track.howls(least) and howling is None:  # the peaks come loudest first
                howling = top
                track.restart()
            elif track.windows >= LONGEST * least:
                track.restart()
            following.append(track)
        tracks = following
        if howling is not None:
            noticed.append(((hop + 1) * HOP, _between(power, howling) * rate / WINDOW))
    return noticed


@dataclass
class Track:
    """One partial, from window to window: it howls when it has grown, or has been loud, for long enough."""

    bin: int
    last: float
    first: float = 0.0
    windows: int = 0
    rising: int = 0
    loud: int = 0
    levels: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = self.first or self.last

    def copy(self) -> Track:
        return replace(self, levels=list(self.levels))

    def follow(self, top: int, level: float, loud: bool) -> None:
        self.windows += 1
        if self.windows == 3:
            self.first = level
        self.rising += level > self.last
        self.levels.append(level)
        self.loud += loud
        self.bin, self.last = top, level

    def howls(self, least: int) -> bool:
        stays = self.loud >= STAYS * least and self.last > 0.8 * self.first
        return (self.windows >= least and self._grows()) or stays

    def _grows(self) -> bool:
        if 100 * self.rising < PERCENT * self.windows or not self.last > GROWTH * self.first:
            return False
        before = self.levels[-1 - LATELY]
        late = math.log(self.last / before) / LATELY
        return late > STILL * math.log(before / self.first) / (self.windows - 3 - LATELY)

    def restart(self) -> None:
        self.windows = self.rising = self.loud = 0
        self.levels = []
        self.first = self.last


def _peaks(power: Numbers, first: int, total: float) -> list[tuple[int, float]]:
    """Bins and powers of the partials that stand out of what is beside them and have no harmonics, the loudest first."""
    bins = np.arange(first, WINDOW // 2 - FAR)
    tops = bins[(power[bins] > power[bins - 1]) & (power[bins] >= power[bins + 1])]
    partials = np.stack([power[tops + k] for k in range(-2, 3)]).sum(0) if len(tops) else np.zeros(0)
    enough = (partials >= SHARE * total) & (partials / (0.09375 * WINDOW * WINDOW) >= LEAST_LEVEL)
    peaks = []
    for top, partial in zip(tops[enough].tolist(), partials[enough].tolist(), strict=True):
        away = np.concatenate([np.arange(top - FAR, top - NEAR + 1), np.arange(top + NEAR, top + FAR + 1)])
        beside = np.log(np.maximum(power[away[away >= 1]], 1e-30))
        stands_out = math.log(partial) > math.log(ABOVE_BESIDE) + float(beside.mean())
        if stands_out and _has_no_harmonics(power, top, partial):
            peaks.append((top, partial))
    return sorted(peaks, key=lambda peak: -peak[1])[:TRACKS]


def _has_no_harmonics(power: Numbers, top: int, partial: float) -> bool:
    for times in (2, 3):
        at = top * times
        if at + 2 >= WINDOW // 2:
            break
        if float(power[max(at - 2, top + 4) : at + 3].sum()) * ABOVE_HARMONICS > partial:
            return False
    return True


def _between(power: Numbers, top: int) -> float:
    """The place of a peak, in bins, by a parabola through the logarithms."""
    below, at, above = np.log(np.maximum(power[top - 1 : top + 2], 1e-30))
    bend = below - 2.0 * at + above
    return top + float(np.clip(0.5 * (below - above) / bend, -0.5, 0.5) if bend < 0.0 else 0.0)
