"""Evidence: where in a recording a value is determined, as a map over time and critical bands.

For each value the rack is rendered half a just-noticeable difference (JND) above and below it; the difference is what one JND
changes in the sound. Its power over time and frequency is the Fisher information of the value under white noise, so the map
says where a recording speaks for the value, and where it is silent (S. Kay, Fundamentals of Statistical Signal Processing,
3.9). Two renders see what a derivative does not: a gate that opens or does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
import torch

from ..audio import Audio, as_planar, check_rate
from ..perceptual import CriticalBands, Noticeable
from ..rack.card import Parameter
from ..rack.effect import Effect
from ..rack.idle import idle
from ..rack.rack import Rack, as_rack
from ..rack.running import Sidechain
from ..render.many import render_many
from .sound_change import hertz_text

Numbers = npt.NDArray[np.float64]

NOTHING_DB = -110.0  # relative to the sound: so little is rounding
AT_ONCE = 16  # renders


@dataclass(frozen=True)
class Evidence:
    """Where one value is determined.

    Attributes:
        address: of the value.
        value: that it has, in its unit.
        jnd: one just-noticeable difference of it, in its unit.
        power: (bands, frames) of what one JND changes, mean over channels; a sine of amplitude 1 has 1/2. All 0 where nothing
            determines the value.
        centres_hz: of the critical bands.
        times_s: of the middles of the frames.
        change_db: energy of the change relative to the sound's.
        heard_jnds: how much of a change one hears in this recording when the value moves by one JND (see
            `perceptual.Noticeable`): about 1 where the recording is like what the card's JND was found with.
    """

    address: str
    value: float
    jnd: float
    power: Numbers
    centres_hz: Numbers
    times_s: Numbers
    change_db: float
    heard_jnds: float

    @property
    def is_empty(self) -> bool:
        """Whether nothing in the recording determines the value."""
        return not self.power.any()

    @property
    def over_time(self) -> Numbers:
        """The share of the evidence in each frame; 0 everywhere where there is none."""
        total = float(self.power.sum())
        return self.power.sum(0) / total if total > 0.0 else np.zeros(self.power.shape[1])

    @property
    def over_frequency(self) -> Numbers:
        """The share of the evidence in each critical band; 0 everywhere where there is none."""
        total = float(self.power.sum())
        return self.power.sum(1) / total if total > 0.0 else np.zeros(self.power.shape[0])

    def share_within(self, start_s: float, end_s: float) -> float:
        """The share of the evidence between two times, 0 to 1."""
        return float(self.over_time[(self.times_s >= start_s) & (self.times_s < end_s)].sum())

    def strongest(self, seconds: float = 1.0) -> tuple[float, float]:
        """The stretch of this length with the most evidence, in seconds; the beginning where there is none."""
        hop = float(self.times_s[1] - self.times_s[0]) if self.times_s.size > 1 else seconds
        count = max(1, min(round(seconds / hop), self.times_s.size))
        sums = np.convolve(self.over_time, np.ones(count), "valid")
        first = int(np.argmax(sums))
        start = max(float(self.times_s[first]) - 0.5 * hop, 0.0)
        return start, start + count * hop

    def __str__(self) -> str:
        if self.is_empty:
            return f"{self.address}: nothing in this recording determines it"
        start, end = self.strongest()
        band = float(self.centres_hz[int(np.argmax(self.over_frequency))])
        share = 100.0 * self.share_within(start, end)
        return (
            f"{self.address}: most at {start:.1f} to {end:.1f} s ({share:.0f} % of the evidence), "
            f"about {hertz_text(band)}; 1 JND of it is {self.heard_jnds:.2g} JND in this recording"
        )


def evidence(
    rack: Rack,
    x: npt.ArrayLike,
    sample_rate: float,
    addresses: Iterable[str] | None = None,
    *,
    sidechain: Sidechain = None,
) -> list[Evidence]:
    """Where in a recording each value of a rack is determined, in the order of the rack.

    Args:
        rack: it is not changed.
        x: (channels, frames) or (frames,): the sound that goes in.
        sample_rate: Hz.
        addresses: of the values, * for any ("compressor.*"); all that are numbers and do something when not given.
        sidechain: as in a call of the rack.

    Raises:
        ValueError: nothing is at an address, or its card has no just-noticeable difference.
    """
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    rack = as_rack(rack)
    chosen = values_of(rack, addresses, sound.shape[0])
    whole = rack.copy()(sound, rate, sidechain=sidechain)
    bands, hearing = CriticalBands(rate), Noticeable(rate)
    size = max(float(np.sum(whole.astype(np.float64) ** 2)), 1e-30)
    hop = 0.5 * bands.size / rate
    results = []
    for address, p, above, below, width in renders_about(rack, sound, rate, chosen, sidechain):
        value, change = float(rack.get(address)), (above - below) / np.float32(width)
        change_db = 10.0 * np.log10(max(float(np.sum(change.astype(np.float64) ** 2)), 1e-30) / size)
        power = bands(torch.from_numpy(change)[None])[0].double()
        with torch.no_grad():
            heard_jnds = float(hearing.most(*(torch.from_numpy(y)[None] for y in (above, below)))) / width
        map_ = power.mean(0).numpy() if change_db > NOTHING_DB else np.zeros(power.shape[1:])
        times = (np.arange(map_.shape[1]) + 1.0) * hop
        centres = bands.centres_hz.numpy()
        results.append(
            Evidence(address, value, float(p.jnd_at(value) or 0.0), map_, centres, times, float(change_db), heard_jnds)
        )
    return results


def values_of(rack: Rack, addresses: Iterable[str] | None = None, channels: int | None = None) -> dict[str, Parameter]:
    """The numbers of a rack that do something, by address; of bypassed effects none.

    Args:
        addresses: patterns, * for any; all of them when not given.
        channels: of the sound; None where it is not known.

    Raises:
        ValueError: a pattern fits nothing.
    """
    every = {
        f"{address}.{name}": p
        for address, effect in rack.addresses().items()
        if not effect.bypass
        for name, p in effect.card.addresses.items()
        if p.kind == "continuous" and p.jnd is not None and name not in _silent(effect, channels)
    }
    if addresses is None:
        return every
    patterns = [addresses] if isinstance(addresses, str) else list(addresses)
    for pattern in patterns:
        if not any(fnmatchcase(a, pattern) for a in every):
            raise ValueError(f"{pattern!r} fits no number that does something in this rack; there are {', '.join(every)}")
    return {a: p for a, p in every.items() if any(fnmatchcase(a, pattern) for pattern in patterns)}


def _silent(effect: Effect, channels: int | None) -> set[str]:
    return set(effect.switched_off()) | idle(effect.card, effect.values(), channels)


def renders_about(
    rack: Rack, sound: Audio, rate: float, chosen: dict[str, Parameter], sidechain: Sidechain = None
) -> Iterable[tuple[str, Parameter, Audio, Audio, float]]:
    """Of each value the sounds (channels, frames) half a JND above and below it, and how many JNDs these lie apart: fewer
    than 1 at the end of its range."""
    listed = list(chosen.items())
    for first in range(0, len(listed), AT_ONCE // 2):
        some = listed[first : first + AT_ONCE // 2]
        racks, widths = [], []
        for address, p in some:
            value = float(rack.get(address))
            ends = [p.moved_by(value, half) for half in (0.5, -0.5)]
            widths.append(abs(p.jnds(ends[1], ends[0]) or 0.0))
            for end in ends:
                copied = rack.copy()
                copied.set(address, end)
                racks.append(copied)
        rendered = render_many(racks, sound, rate, sidechain=sidechain)
        for i, (address, p) in enumerate(some):
            yield address, p, rendered[2 * i], rendered[2 * i + 1], max(widths[i], 1e-6)
