"""Differences between two racks: values in units and just-noticeable differences (JND), and what they do to a sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..audio import Audio, as_planar, check_rate
from ..measure.distances import Distances, distances
from ..measure.loudness import loudness
from ..perceptual import CriticalBands, Masking, Noticeable
from ..rack.describe import order_text, value_text
from ..rack.python_effect import PythonEffect
from ..rack.rack import Rack, as_rack
from ..rack.running import Sidechain

BANDS_SHOWN = 3
HEARD_BAND_DB = 0.5
HEARD_JNDS = 1.0
SHORTEST_FRAMES = 1024


def hertz_text(hz: float) -> str:
    """A frequency as one speaks of it: "50 Hz", "340 Hz", "1.4 kHz", "14 kHz"."""
    return f"{hz / 1000.0:.2g} kHz" if hz >= 995.0 else f"{float(f'{hz:.2g}'):g} Hz"


@dataclass(frozen=True)
class ValueDifference:
    """One value that differs: as text, and in JNDs from the first rack to the second (None for choices and switches)."""

    address: str
    before: str
    after: str
    jnds: float | None

    def __str__(self) -> str:
        jnds = "" if self.jnds is None else f" ({self.jnds:+.2g} JND)"
        return f"{self.address}: {self.before} -> {self.after}{jnds}"


@dataclass(frozen=True)
class SoundDifference:
    """The difference of two racks on one sound; the second against the first.

    Attributes:
        distances: of the second's output from the first's.
        loudness_lu: by how much the second is louder.
        bands_db: (centre of a critical band in Hz, level of the second over the first in dB) for every band.
        jnds: just-noticeable differences where they differ most, at `at_s` seconds about `at_hz`.
        audible_db: by how much the difference stands above what the first one masks, mean over bands and time.
    """

    distances: Distances
    loudness_lu: float
    bands_db: tuple[tuple[float, float], ...]
    jnds: float
    at_s: float
    at_hz: float
    audible_db: float

    def sentences(self) -> list[str]:
        """The same in words."""
        if self.jnds < HEARD_JNDS:
            return [f"nobody is likely to hear the difference: {self.jnds:.2g} JND at most ({self.distances.error_db:.0f} dB)"]
        lines = [
            f"heard as {self.jnds:.2g} JND where it differs most, at {self.at_s:.1f} s about {hertz_text(self.at_hz)}; "
            f"{self.audible_db:.1f} dB above masking on average",
            f"loudness {self.loudness_lu:+.1f} LU",
        ]
        moved = sorted((b for b in self.bands_db if abs(b[1]) >= HEARD_BAND_DB), key=lambda b: -abs(b[1]))[:BANDS_SHOWN]
        if moved:
            lines.append("most in these bands: " + ", ".join(f"{hertz_text(hz)} {db:+.1f} dB" for hz, db in sorted(moved)))
        return lines


@dataclass(frozen=True)
class RackDifference:
    """The differences of two racks.

    Attributes:
        structure: sentences on effects that are in one only, on their order, resources, bypass and sidechains.
        values: that differ, the largest difference in JNDs first, choices and switches before all.
        sound: on the sound that was given.
    """

    structure: tuple[str, ...]
    values: tuple[ValueDifference, ...]
    sound: SoundDifference | None = None

    def __bool__(self) -> bool:
        return bool(self.structure or self.values)

    def __str__(self) -> str:
        if not self:
            return "the racks are equal"
        lines = [*self.structure, *map(str, self.values)]
        if self.sound is not None:
            lines += ["on this sound:", *(f"  {sentence}" for sentence in self.sound.sentences())]
        return "\n".join(lines)


def differences(
    first: Rack,
    second: Rack,
    x: npt.ArrayLike | None = None,
    sample_rate: float | None = None,
    *,
    sidechain: Sidechain = None,
) -> RackDifference:
    """The differences of two racks, and with a sound what they do to it.

    Args:
        first, second: effects are compared by address.
        x: (channels, frames) or (frames,): a sound that goes through both.
        sample_rate: Hz, of the sound.
        sidechain: as in a call of the racks.
    """
    first, second = as_rack(first), as_rack(second)
    structure, values = _structure(first, second), _values(first, second)
    if x is None:
        return RackDifference(structure, values)
    if sample_rate is None:
        raise ValueError("give the sample rate of the sound")
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    a, b = (rack.copy()(sound, rate, sidechain=sidechain) for rack in (first, second))
    return RackDifference(structure, values, sound_difference(a, b, rate))


def sound_difference(a: Audio, b: Audio, sample_rate: float) -> SoundDifference:
    """The second sound against the first, (channels, frames) both."""
    short = SHORTEST_FRAMES - a.shape[1]
    if short > 0:  # the windows of the distances
        a, b = (np.pad(sound, ((0, 0), (0, short))) for sound in (a, b))
    hearing, bands = Noticeable(sample_rate), CriticalBands(sample_rate)
    with torch.no_grad():
        x, y = (torch.from_numpy(sound)[None] for sound in (a, b))
        jnds = hearing(y, x)[0].abs().amax(0)
        powers = [bands(sound)[0].double().sum((0, 2)) for sound in (x, y)]
        audible = float(Masking(sample_rate)(y, x))
    band, frame = np.unravel_index(int(jnds.argmax()), jnds.shape)
    loudest = float(powers[0].max())
    levels = 10.0 * torch.log10((powers[1] + 1e-9 * loudest + 1e-15) / (powers[0] + 1e-9 * loudest + 1e-15))
    measured = [max(float(loudness(sound, sample_rate).integrated), -120.0) for sound in (a, b)]
    return SoundDifference(
        distances([(b, a)], sample_rate),
        measured[1] - measured[0],
        tuple((float(hz), float(db)) for hz, db in zip(bands.centres_hz, levels, strict=True)),
        float(jnds.max()),
        float((frame + 1) * hearing.hop_s),
        float(bands.centres_hz[band]),
        audible,
    )


def _structure(first: Rack, second: Rack) -> tuple[str, ...]:
    mine, theirs = first.addresses(), second.addresses()
    sentences = [f"{a}: only in the first" for a in mine if a not in theirs]
    sentences += [f"{a}: only in the second" for a in theirs if a not in mine]
    for address in (a for a in mine if a in theirs):
        one, other = mine[address], theirs[address]
        if type(one) is not type(other):
            sentences.append(f"{address}: {one.card.name} -> {other.card.name}")
            continue
        for name in ("bypass", "key"):
            if getattr(one, name) != getattr(other, name):
                sentences.append(f"{address}: {name} {getattr(one, name)!r} -> {getattr(other, name)!r}")
        for name in sorted({*one.resources, *other.resources}):
            mine_here, theirs_here = one.resources.get(name), other.resources.get(name)
            if mine_here != theirs_here:
                sentences.append(f"{address}: another {name}, {mine_here!r} -> {theirs_here!r}")
        if isinstance(one, PythonEffect) and one != other:
            sentences.append(f"{address}: another Python function")
    orders = [order_text(rack.root, {id(e): a for a, e in rack.addresses().items()}) for rack in (first, second)]
    if orders[0] != orders[1]:
        sentences.append(f"order: {orders[0] or 'empty'} -> {orders[1] or 'empty'}")
    return tuple(sentences)


def _values(first: Rack, second: Rack) -> tuple[ValueDifference, ...]:
    mine, theirs = first.addresses(), second.addresses()
    differing = []
    for address in (a for a in mine if a in theirs and type(mine[a]) is type(theirs[a])):
        one, other = mine[address], theirs[address]
        silent = one.unused() & other.unused()
        for name, p in one.card.addresses.items():
            before, after = one.get(name), other.get(name)
            if before == after or name in silent:
                continue
            jnds = p.jnds(float(before), float(after)) if p.kind == "continuous" else None
            differing.append(ValueDifference(f"{address}.{name}", value_text(p, before), value_text(p, after), jnds))
    return tuple(sorted(differing, key=lambda v: -np.inf if v.jnds is None else -abs(v.jnds)))
