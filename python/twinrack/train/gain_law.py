"""The law of a gain: of which level, followed how fast, it is a function.

Whatever the curve of a compressor or gate is, the gain over the level is one line if the level is that which the device hears,
and a cloud if it is not. So detector, ways of combining channels and times are found without knowing the curve: by the scatter
of the gains in the order of the levels, relative to their scatter in the order of nothing (von Neumann's ratio). Moments
that follow each other are not compared, for what changes slowly is a line over anything that does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..rack.card import Value
from ..rack.effect import Effect
from ..system import interrupt
from ..twins.dynamics import CHANNEL_MODES, one_pole_coefficient
from ..twins.gain_curve import decibels
from ..twins.recursions import follower
from ..twins.reference import combine_channels
from .data import Pair, Split
from .starts import Values, best_values

Numbers = npt.NDArray[np.float64]

LOOKED_AT_S = 8.0  # of all recordings together
SAMPLES, GAINS = 12000, 32  # frames that are read, and parts of the range of gains that have as many of them each
QUIET_DB = -60.0  # relative to the loudest frame, below which a gain is not read
APART_S = 0.2  # between two moments whose gains are compared
NEIGHBOURS, FEWEST = 4, 0.2  # in the order of levels, and their share of the samples, of which fewer tell nothing
FEW = 100  # frames, of which fewer show nothing
SEEN = 3000  # frames through which a curve is laid
LEAST = 1e-7  # amplitude
ATTACKS_MS, RELEASES_MS = (0.3, 2.0, 10.0, 50.0), (15.0, 60.0, 250.0, 1000.0)
OF_A_PEAK_MS = (0.1, 0.5, 2.0, 6.0, 20.0, 60.0), (10.0, 30.0, 80.0, 200.0, 500.0, 1500.0)  # which has no window
OF_THE_GAIN_MS = np.geomspace(0.2, 150.0, 12), np.geomspace(8.0, 2000.0, 14)  # which is quickly looked at
WINDOWS_MS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
FASTEST_MS, SLOWEST_MS = 0.02, 5000.0
COARSELY, FINELY = 14, 4  # kinds whose times are looked for, of those that act on the level and of those that act on the gain
ACROSS = [way for way in itertools.product((-1, 0, 1), repeat=3) if any(way)]  # of the logarithms of three times
ALONG = [way for way in ACROSS if sum(map(abs, way)) == 1]
COARSE, FINE = (0.7, 0.35), (0.17, 0.09, 0.04, 0.02, 0.01, 0.005)  # steps of the logarithms of the times
MOVES = 4  # of each length
SURE = 0.02  # scatter below which it is a law


@dataclass(frozen=True)
class Law:
    """Of which level the gain is a function.

    Attributes:
        choices: detector, ballistics, channel_mode, and envelope where it is not "branching".
        times_ms: attack_ms, release_ms and, but for a peak, rms_window_ms.
        scatter: from 0 (a line) to 1 (a cloud).
        levels_db, gains_db: of frames all over the recordings; where the ballistics act on the gain, the gains that those were
            on their way to.
    """

    choices: dict[str, Value]
    times_ms: dict[str, float]
    scatter: float
    levels_db: Numbers = field(repr=False)
    gains_db: Numbers = field(repr=False)

    def values_for(self, effect: Effect, learned: set[str]) -> dict[str, Value]:
        """The choices, and those of the times that are learned, as the effect's card allows them."""
        values = dict(self.choices)
        for name, time in self.times_ms.items():
            if name in learned:
                p = effect.card.addresses[name]
                values[name] = min(max(time, p.min), p.max)
        return values

    def curve(self, effect: Effect, names: Sequence[str], gain_db: Callable[..., Tensor]) -> Values:
        """The values of an effect's curve through the gains.

        Args:
            names: of the values.
            gain_db: of the curve, from levels in dB (frames,) and each of the values (sets, 1).
        """
        order = np.argsort(self.levels_db)[:: max(self.levels_db.size // SEEN, 1)]
        levels, gains = torch.from_numpy(self.levels_db[order]), torch.from_numpy(self.gains_db[order])

        def loss(values: dict[str, Tensor]) -> Tensor:
            return (gain_db(levels, *(values[n].unsqueeze(1) for n in names)) - gains).abs().mean(1)

        return best_values(effect, names, loss)[0]


def laws(
    pairs: Sequence[Pair],
    splits: Sequence[Split],
    rate: float,
    attack_lowers: bool,
    envelopes: Sequence[str] = ("branching",),
    count: int = 2,
) -> list[Law]:
    """The laws that come nearest, the best first; none where no level explains the gain.

    Args:
        pairs: recordings of a device with one gain for all channels.
        splits: of each; only what may be trained on is looked at.
        rate: Hz.
        attack_lowers: the attack is the time in which the gain falls, as of a compressor.
        envelopes: ways of following that are looked for: "branching", "decoupled".
        count: at most.
    """
    recordings = _Gains.of(pairs, splits, rate, attack_lowers)
    if recordings is None:
        return []
    kinds = [
        _Kind(detector, ballistics, mode, envelope)
        for detector in ("peak", "rms", "moving_rms")
        for ballistics in ("level", "power", "gain")
        for envelope in (envelopes if ballistics != "gain" else ("branching",))
        for mode in (CHANNEL_MODES if recordings.channels > 1 else CHANNEL_MODES[:1])
    ]
    fits: list[Fit] = []
    for of_gain in (True, False):
        if fits and min(fits)[0] < SURE / 4:
            break
        first = [recordings.first(kind) for kind in kinds if (kind.ballistics == "gain") is of_gain]
        coarse = [recordings.refined(*begun, COARSE, ALONG) for begun in sorted(first)[:COARSELY]]
        fits += [recordings.refined(*begun, FINE, ACROSS) for begun in sorted(coarse)[:FINELY]]
    return [recordings.law(*best) for best in sorted(fits)[:count] if best[0] < SURE]


@dataclass(frozen=True, order=True)
class _Kind:
    detector: str
    ballistics: str
    mode: str
    envelope: str


Fit = tuple[float, _Kind, tuple[float, ...]]  # scatter, kind, and the logarithms of its times


class _Gains:
    """The recordings, and the frames of them at which gains are read.

    Args:
        levels: of each recording, by channel mode, (1, 1, frames).
        frames: that are read of each.
        gains_db: there, and one frame before, one recording after the other: (2, frames).
        seconds: when that is, on one timeline.
    """

    def __init__(
        self, levels: list[dict[str, Tensor]], frames: list[Tensor], gains_db: Numbers, rate: float, channels: int, lowers: int
    ) -> None:
        self.levels, self.frames, self.gains_db, self.rate, self.channels = levels, frames, gains_db, rate, channels
        self.lowers = lowers  # place among the times of that in which the gain falls
        starts = np.cumsum([0.0, *(LOOKED_AT_S for _ in frames[1:])])
        self.seconds = np.concatenate([at.numpy() / rate + start for at, start in zip(frames, starts, strict=True)])
        self.nothing = np.random.default_rng(0).permutation(self.seconds.size)  # an order of the frames

    @classmethod
    def of(cls, pairs: Sequence[Pair], splits: Sequence[Split], rate: float, attack_lowers: bool) -> _Gains | None:
        longest = round(LOOKED_AT_S * rate / len(pairs))
        random, each = np.random.default_rng(0), SAMPLES // len(pairs)
        levels, frames, gains = [], [], []
        for pair, parts in zip(pairs, splits, strict=True):
            begin = _begins(pair)
            dry, wet = (x[:, begin : begin + longest].astype(np.float64) for x in (pair.dry, pair.wet))
            power, after = np.square(dry).sum(0), np.square(wet).sum(0)
            is_read = (power > power.max() * 10 ** (QUIET_DB / 10)) & (after > 1e-14)
            is_read[1:] &= is_read[:-1]
            is_read[0] = False
            at = np.arange(begin, begin + power.size)
            is_read &= np.any([(at >= a) & (at < b) for a, b in parts.train], 0)
            at = np.flatnonzero(is_read)
            if at.size < FEW:
                continue
            at = np.sort(_of_every_gain(at, 10.0 * np.log10(after[at] / power[at]), each, random))
            x = torch.from_numpy(dry[None])
            levels.append({mode: combine_channels(x, i) for i, mode in enumerate(CHANNEL_MODES)})
            frames.append(torch.from_numpy(at))
            gains.append([10.0 * np.log10(after[n] / power[n]) for n in (at, at - 1)])
        if not gains:
            return None
        gains_db = np.concatenate(gains, 1)
        if gains_db.shape[1] < FEW or float(np.ptp(gains_db)) < 1.0:
            return None
        return cls(levels, frames, gains_db, rate, pairs[0].dry.shape[0], 0 if attack_lowers else 1)

    def levels_db(self, kind: _Kind, logs: Sequence[tuple[float, ...]]) -> Numbers:
        """The levels at the frames that are read, for some sets of times: (sets, frames)."""
        times = torch.tensor(np.exp(np.array(logs)), dtype=torch.float64)
        coefficients = one_pole_coefficient(times[:, None, :2], self.rate)
        parts = []
        for levels, at in zip(self.levels, self.frames, strict=True):
            level = levels[kind.mode]
            if kind.detector != "peak":
                windows, which = np.unique(times[:, 2].numpy(), return_inverse=True)
                power = torch.cat([self._averaged(level, kind.detector, float(window)) for window in windows])
                level = (power if kind.ballistics == "power" else power.sqrt())[which]
            else:
                level = (level * level if kind.ballistics == "power" else level).expand(len(times), -1, -1)
            if kind.ballistics == "gain":
                read = level[:, 0, at]
            else:
                read = follower(level.contiguous(), coefficients, kind.envelope == "decoupled")[:, 0, at]
            parts.append(read.sqrt() if kind.ballistics == "power" else read)
        return np.asarray(decibels(torch.cat(parts, 1).clamp(min=LEAST)).numpy(), np.float64)

    def _averaged(self, level: Tensor, detector: str, window_ms: float) -> Tensor:
        """The mean power."""
        power = level * level
        if detector == "rms":
            coefficient = one_pole_coefficient(torch.tensor([[[window_ms, window_ms]]], dtype=torch.float64), self.rate)
            return follower(power, coefficient, False)
        size = max(round(window_ms * 1e-3 * self.rate), 1)
        sums = torch.nn.functional.pad(power.cumsum(-1), (size, 0))
        return (sums[..., size:] - sums[..., :-size]).clamp(min=0.0) / size

    def goals_db(self, kind: _Kind, logs: Sequence[tuple[float, ...]]) -> Numbers:
        """The gains that follow the levels, for each set of times: those that are read, or, where the ballistics act on the
        gain, those that it is on its way to: (sets, frames)."""
        now, before = self.gains_db
        if kind.ballistics != "gain":
            return np.repeat(now[None], len(logs), 0)
        frames = np.exp(np.array(logs)[:, :2]) * 1e-3 * self.rate
        shares = -np.expm1(-1.0 / frames)  # of the way, in a frame
        lower, higher = shares[:, self.lowers, None], shares[:, 1 - self.lowers, None]
        return np.asarray(before + (now - before) / np.where(now < before, lower, higher))

    def scatters(self, kind: _Kind, logs: Sequence[tuple[float, ...]]) -> list[float]:
        """Of each set of times: 0 for a line, 1 for a cloud."""
        interrupt.check()
        windows = {log[2]: log for log in logs}
        if kind.ballistics == "gain":  # the levels depend on the window only
            by_window = dict(zip(windows, np.argsort(self.levels_db(kind, list(windows.values())), axis=1), strict=True))
            orders = [by_window[log[2]] for log in logs]
        else:
            orders = list(np.argsort(self.levels_db(kind, logs), axis=1))
        return [self._scatter(order, goals) for order, goals in zip(orders, self.goals_db(kind, logs), strict=True)]

    def _scatter(self, order: npt.NDArray[np.intp], goals: Numbers) -> float:
        cloud = float(np.abs(np.diff(goals[self.nothing])).mean())
        gains, seconds = goals[order], self.seconds[order]
        total, count = 0.0, 0
        for k in range(1, NEIGHBOURS + 1):
            apart = np.abs(seconds[k:] - seconds[:-k]) > APART_S
            total += float(np.abs(gains[k:] - gains[:-k])[apart].sum())
            count += int(np.count_nonzero(apart))
        return min(total / count / cloud, 1.0) if count > FEWEST * NEIGHBOURS * len(order) else 1.0

    def first(self, kind: _Kind) -> Fit:
        """The best of the times of a grid."""
        windows = (WINDOWS_MS[0],) if kind.detector == "peak" else WINDOWS_MS
        best: Fit | None = None
        usual = OF_A_PEAK_MS if kind.detector == "peak" else (ATTACKS_MS, RELEASES_MS)
        attacks, releases = OF_THE_GAIN_MS if kind.ballistics == "gain" else usual
        for window in windows:  # a window is averaged once
            logs = [(np.log(a), np.log(r), np.log(window)) for a in attacks for r in releases]
            scatters = self.scatters(kind, logs)
            at = int(np.argmin(scatters))
            if best is None or scatters[at] < best[0]:
                best = scatters[at], kind, logs[at]
        assert best is not None
        return best

    def refined(
        self, scatter: float, kind: _Kind, logs: tuple[float, ...], steps: Sequence[float], ways: Sequence[tuple[int, ...]]
    ) -> Fit:
        """The times from there on, by steps in some ways. Across, one may make up for another."""
        ways = [way for way in ways if not (kind.detector == "peak" and way[2])]
        low, high = np.log(FASTEST_MS), np.log(SLOWEST_MS)
        for step in steps:
            for _ in range(MOVES):
                around = [tuple(float(v) for v in np.clip(np.add(logs, np.multiply(way, step)), low, high)) for way in ways]
                scatters = self.scatters(kind, around)
                at = int(np.argmin(scatters))
                if scatters[at] >= scatter:
                    break
                scatter, logs = scatters[at], around[at]
        return scatter, kind, logs

    def law(self, scatter: float, kind: _Kind, logs: tuple[float, ...]) -> Law:
        times = dict(zip(("attack_ms", "release_ms", "rms_window_ms"), (float(np.exp(v)) for v in logs), strict=True))
        if kind.detector == "peak":
            del times["rms_window_ms"]
        choices: dict[str, Value] = {"detector": kind.detector, "ballistics": kind.ballistics}
        if self.channels > 1:
            choices["channel_mode"] = kind.mode
        if kind.envelope != "branching":
            choices["envelope"] = kind.envelope
        return Law(choices, times, scatter, self.levels_db(kind, [logs])[0], self.goals_db(kind, [logs])[0])


def _begins(pair: Pair) -> int:
    """The first frame that is compared and has sound."""
    sound = np.abs(pair.dry[:, pair.compared_from :]).max(0)
    audible = np.flatnonzero(sound > sound.max(initial=0.0) * 10 ** (QUIET_DB / 20))
    return pair.compared_from + (int(audible[0]) if audible.size else 0)


def _of_every_gain(
    at: npt.NDArray[np.intp], gains_db: Numbers, count: int, random: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Some of the frames, as many of each gain as there are, for most of the time the gain is at one end."""
    low, high = (float(np.percentile(gains_db, share)) for share in (1.0, 99.0))
    edges = np.linspace(low, high, GAINS + 1)[1:-1]
    bins = np.searchsorted(edges, gains_db)
    chosen = [random.permutation(at[bins == b])[: max(count // GAINS, 1)] for b in range(GAINS)]
    return np.concatenate(chosen)
