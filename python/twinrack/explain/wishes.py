"""Wishes for a rack's sound that can be measured: a loudness, a quieter band, less gain reduction, a gate that stays open."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..audio import Audio
from ..measure.gain_over_time import gain_trajectory
from ..measure.loudness import loudness
from ..rack.effect import Effect
from ..rack.rack import Rack
from ..rack.running import Sidechain
from ..render.many import render_many
from .intermediate import up_to_effect

Numbers = npt.NDArray[np.float64]
Columns = Mapping[str, Numbers]  # values by address, one for each rendering

SIBILANCE_HZ = (5000.0, 10000.0)
OPEN_DB = -1.0  # a gate that takes away less is open
CLOSED_DB = -120.0
OPEN_S = 0.05  # how long around a time it must be
LOUDNESS_TOLERANCE_LU = 0.1


@dataclass(frozen=True, eq=False)
class Rendering:
    """A rack to be measured with many values, or on many sounds, at once.

    Attributes:
        rack: structure, and all values that are not in the columns.
        columns: values by address; one of each for each rendering.
        sounds: (channels, frames), one for all renderings or one for each.
        sample_rate: Hz.
        sidechain: as in a call of the rack.
    """

    rack: Rack
    columns: Columns
    sounds: Audio | Sequence[Audio]
    sample_rate: float
    sidechain: Sidechain = None

    @property
    def count(self) -> int:
        several = [len(column) for column in self.columns.values()]
        return max([*several, 1 if isinstance(self.sounds, np.ndarray) else len(self.sounds)])

    def rendered(self, rack: Rack | None = None) -> Sequence[Audio]:
        """The sound of each rendering; of another rack with the same addresses where one is given."""
        racks = [self.rack if rack is None else rack] * self.count
        return list(render_many(racks, self.sounds, self.sample_rate, self.columns, sidechain=self.sidechain))

    def value(self, address: str, which: int) -> float:
        """The value at an address in one rendering."""
        column = self.columns.get(address)
        return float(self.rack.get(address)) if column is None else float(column[which if len(column) > 1 else 0])


class Wish:
    """A figure of a rack's sound, and the range in which it is wanted.

    Attributes:
        name: of the figure, such as "loudness".
        low, high: the range; infinite where it is open.
        unit: of the figure.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf
    unit: str = "dB"

    def measured(self, rendering: Rendering) -> Numbers:
        """The figure of each rendering."""
        raise NotImplementedError

    def miss(self, values: Numbers) -> Numbers:
        """By how much each value lies outside what is wanted; 0 where it is met."""
        return np.asarray(np.maximum(np.maximum(self.low - values, values - self.high), 0.0))

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"{self.name} at most {self.high:g} {self.unit}"
        if math.isinf(self.high):
            return f"{self.name} at least {self.low:g} {self.unit}"
        return f"{self.name} of {0.5 * (self.low + self.high):g} {self.unit} ± {0.5 * (self.high - self.low):g}"


class SoundWish(Wish):
    """A wish about the sound that comes out."""

    def of_sound(self, y: Audio, sample_rate: float) -> float:
        """The figure of one sound, (channels, frames)."""
        raise NotImplementedError

    def measured(self, rendering: Rendering) -> Numbers:
        return np.array([self.of_sound(y, rendering.sample_rate) for y in rendering.rendered()])


class LoudnessOf(SoundWish):
    """Integrated loudness of the output (EBU R 128).

    Args:
        lufs: that is wanted.
        tolerance_lu: in both directions.
    """

    name, unit = "loudness", "LUFS"

    def __init__(self, lufs: float, tolerance_lu: float = LOUDNESS_TOLERANCE_LU) -> None:
        self.low, self.high = lufs - tolerance_lu, lufs + tolerance_lu

    def of_sound(self, y: Audio, sample_rate: float) -> float:
        return max(float(loudness(y, sample_rate).integrated), -120.0)


class BandMoves(SoundWish):
    """The level of a band of frequencies, compared with what it is now.

    Args:
        now: the output as it is, (channels, frames).
        sample_rate: Hz.
        by_db: below 0 it must fall by as much or more, above 0 rise.
        low_hz, high_hz: of the band.
        name: of it.
    """

    def __init__(
        self, now: Audio, sample_rate: float, by_db: float, low_hz: float, high_hz: float, name: str | None = None
    ) -> None:
        if not 0.0 <= low_hz < high_hz:
            raise ValueError(f"the band from {low_hz:g} to {high_hz:g} Hz is empty; give the lower frequency first")
        self.low_hz, self.high_hz = low_hz, high_hz
        self.name = f"change of {name or f'{low_hz:g} to {high_hz:g} Hz'}"
        self._before = self._level(now, sample_rate)
        if by_db < 0.0:
            self.high = by_db
        else:
            self.low = by_db

    def _level(self, y: Audio, sample_rate: float) -> float:
        size = 1 << (y.shape[-1] - 1).bit_length()
        spectrum = torch.fft.rfft(torch.from_numpy(y), size)
        first, last = (math.ceil(hz * size / sample_rate) for hz in (self.low_hz, self.high_hz))
        return float(10.0 * np.log10(float(spectrum[:, first:last].abs().square().sum(dtype=torch.float64)) + 1e-12))

    def of_sound(self, y: Audio, sample_rate: float) -> float:
        return self._level(y, sample_rate) - self._before


class ErrorBelow(SoundWish):
    """The energy of the difference from a target, relative to the target.

    Args:
        target: (channels, frames).
        db: that it must be below.
    """

    name = "error"

    def __init__(self, target: Audio, db: float) -> None:
        self.target, self.high = target, db

    def of_sound(self, y: Audio, sample_rate: float) -> float:
        if y.shape != self.target.shape:
            raise ValueError(f"the target has the shape {self.target.shape}, the sound {y.shape}; both must be the same")
        error, size = (float(np.vdot(z, z)) for z in (y - self.target, self.target))
        return 10.0 * math.log10(max(error, 1e-30) / max(size, 1e-30))


class Figure(SoundWish):
    """A figure of one's own.

    Args:
        name, unit: of it.
        function: of (channels, frames) and the sample rate in Hz, gives the figure.
        low, high: the range in which it is wanted.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Audio, float], float],
        low: float = -math.inf,
        high: float = math.inf,
        unit: str = "dB",
    ) -> None:
        self.name, self.function, self.low, self.high, self.unit = name, function, low, high, unit

    def of_sound(self, y: Audio, sample_rate: float) -> float:
        return float(self.function(y, sample_rate))


def moves_own_gain(effect: Effect) -> bool:
    """Whether an effect's own gain follows the sound, such as a compressor's; a controller moves that of others."""
    return effect.card.category == "dynamics" and not any(r["type"] == "control" for r in effect.card.resources)


class EffectWish(Wish):
    """A wish about the gain of one effect over time; gains that do not follow the sound, such as makeup, do not count.

    Args:
        rack: that it is in.
        address: of the effect.

    Raises:
        ValueError: the effect's gain does not follow the sound.
    """

    def __init__(self, rack: Rack, address: str) -> None:
        effect = rack.addresses().get(address)
        if effect is None or not moves_own_gain(effect):
            movers = [a for a, e in rack.addresses().items() if moves_own_gain(e)]
            known = f"there are {', '.join(movers)}" if movers else "this rack has none"
            raise ValueError(f"{address!r} is not an effect whose gain follows the sound; {known}")
        self.address = address
        self._levels = [n for n, p in effect.card.addresses.items() if p.role == "level" and p.unit == "dB"]

    def of_gain(self, times_s: Numbers, gain_db: Numbers) -> float:
        """The figure of the gain over time; the gain is NaN where the sound is silent."""
        raise NotImplementedError

    def measured(self, rendering: Rendering) -> Numbers:
        return np.array([self.of_gain(times, gain) for times, gain in self.gains(rendering)])

    def gains(self, rendering: Rendering) -> list[tuple[Numbers, Numbers]]:
        """Of each rendering the times in seconds and the gain in dB that follows the sound; NaN where the sound is silent."""
        before, after = (up_to_effect(rendering.rack, self.address, inclusive) for inclusive in (False, True))
        for name, p in after[self.address].card.addresses.items():
            if p.kind == "switch" and p.role == "level":  # automatic makeup
                after[self.address].set(name, False)
        curves = []
        rendered = zip(rendering.rendered(before), rendering.rendered(after), strict=True)
        for which, (dry, wet) in enumerate(rendered):
            times, gain = gain_trajectory(dry, wet, rendering.sample_rate)
            constant = sum(rendering.value(f"{self.address}.{name}", which) for name in self._levels)
            curves.append((times, gain - constant))
        return curves


class GainReduction(EffectWish):
    """The largest gain reduction of an effect, in windows of 10 ms.

    Args:
        rack, address: of the effect.
        at_most_db: that is wanted.
    """

    def __init__(self, rack: Rack, address: str, at_most_db: float) -> None:
        super().__init__(rack, address)
        self.name, self.high = f"gain reduction of {address}", at_most_db

    def of_gain(self, times_s: Numbers, gain_db: Numbers) -> float:
        return float(np.clip(-np.nanmin(gain_db), 0.0, None)) if np.isfinite(gain_db).any() else 0.0


class StaysOpen(EffectWish):
    """The gain of a gate around a time: at least -1 dB; where the sound is silent, it counts as closed.

    Args:
        rack, address: of the gate.
        at_s: seconds.
    """

    def __init__(self, rack: Rack, address: str, at_s: float) -> None:
        super().__init__(rack, address)
        self.at_s, self.low = at_s, OPEN_DB
        self.name = f"gain of {address} at {at_s:g} s"

    def of_gain(self, times_s: Numbers, gain_db: Numbers) -> float:
        around = np.abs(times_s - self.at_s) <= OPEN_S
        if not around.any():
            raise ValueError(f"{self.at_s:g} s is outside the sound, which ends at {times_s[-1] if times_s.size else 0:.2f} s")
        return float(np.nanmin(gain_db[around])) if np.isfinite(gain_db[around]).any() else CLOSED_DB


NUMBER = r"([-+−]?\d+(?:\.\d+)?)"
FORMS = """loudness=-16, sibilance=-3, 200-400 Hz=-2, reduction of compressor=6, gate open at 1:23, error=-30"""


def parse_wish(
    text: str, rack: Rack, x: Audio, sample_rate: float, target: Audio | None = None, sidechain: Sidechain = None
) -> Wish:
    """A wish as it is written on the command line: "loudness=-16", "sibilance=-3", "200-400 Hz=-2",
    "reduction of compressor=6", "gate open at 1:23", "error=-30".

    Raises:
        ValueError: it is not understood; names the forms.
    """
    plain = text.strip().replace("−", "-")
    if (m := re.fullmatch(rf"loudness\s*=\s*{NUMBER}\s*(?:LUFS)?", plain)) is not None:
        return LoudnessOf(float(m[1]))
    if (m := re.fullmatch(rf"sibilance\s*=\s*{NUMBER}\s*(?:dB)?", plain)) is not None:
        return BandMoves(_now(rack, x, sample_rate, sidechain), sample_rate, float(m[1]), *SIBILANCE_HZ, "sibilance")
    if (m := re.fullmatch(rf"(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*Hz\s*=\s*{NUMBER}\s*(?:dB)?", plain)) is not None:
        low, high, by = (float(number) for number in m.groups())
        return BandMoves(_now(rack, x, sample_rate, sidechain), sample_rate, by, low, high)
    if (m := re.fullmatch(rf"reduction of (\w+)\s*=\s*{NUMBER}\s*(?:dB)?", plain)) is not None:
        return GainReduction(rack, m[1], float(m[2]))
    if (m := re.fullmatch(r"(\w+) open at (?:(\d+):)?(\d+(?:\.\d+)?)\s*s?", plain)) is not None:
        return StaysOpen(rack, m[1], 60.0 * float(m[2] or 0) + float(m[3]))
    if (m := re.fullmatch(rf"error\s*=\s*{NUMBER}\s*(?:dB)?", plain)) is not None:
        if target is None:
            raise ValueError("a wish for the error needs a target: --target recording.wav")
        return ErrorBelow(target, float(m[1]))
    raise ValueError(f"the wish {text!r} is not understood; write one of: {FORMS}")


def _now(rack: Rack, x: Audio, sample_rate: float, sidechain: Sidechain) -> Audio:
    return np.asarray(rack.copy()(x, sample_rate, sidechain=sidechain))
