"""Presets: settings with names that engineers use, set by hand.

Those of effects stand in `plugins/<id>/presets.toml`; those of what is made of several effects, `READY_MADE`, in files beside
this module: `multiband_compressor.toml` (a `Bands` with a compressor in each band), `exciter.toml` and `bass_enhancer.toml`
(harmonics), `crossfeed.toml` and `stereo.toml` (equalisers on the side).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ..checks import brief
from .card import CARDS, hint_for
from .effect import CLASSES, Effect
from .harmonics import BASS_ENHANCER, EXCITER, harmonics_presets
from .ready_made import ReadyMade, read_settings
from .stereo import CROSSFEED, STEREO, side_presets
from .tree import Bands, Parallel

FILE = "presets.toml"
MULTIBAND = "multiband_compressor"
READY_MADE = {  # and what people call them
    MULTIBAND: "Multiband compressor", EXCITER: "Exciter", BASS_ENHANCER: "Bass enhancer", CROSSFEED: "Crossfeed",
    STEREO: "Stereo width",
}  # fmt: skip


@dataclass(frozen=True)
class MultibandPreset(ReadyMade):
    """A setting of a multiband compressor.

    Attributes:
        name: such as "mastering".
        text: what it is for.
        splits_hz: where its bands meet.
        bands: values of the compressor in each, the lowest first; all others are the card's defaults.
    """

    name: str
    text: str
    splits_hz: tuple[float, ...]
    bands: tuple[Mapping[str, Any], ...]

    @property
    def values(self) -> dict[str, Any]:
        """By the addresses that they have in a rack of their own."""
        values: dict[str, Any] = {f"crossover.split{i}_hz": hz for i, hz in enumerate(self.splits_hz, start=1)}
        for number, band in enumerate(self.bands, start=1):
            values |= {f"compressor{'' if number == 1 else f'_{number}'}.{name}": value for name, value in band.items()}
        return values

    def make(self) -> Bands:
        """A new Bands with these values."""
        return Bands([[CLASSES["compressor"](**band)] for band in self.bands], self.splits_hz)


@dataclass(frozen=True)
class Preset:
    """A setting of an effect.

    Attributes:
        effect: id of its card.
        name: such as "drum bus".
        text: what it is for.
        values: by address; all others are the card's defaults.
    """

    effect: str
    name: str
    text: str
    values: Mapping[str, Any]

    def make(self) -> Effect:
        """A new effect with these values."""
        effect = CLASSES[self.effect]()
        self.apply(effect)
        return effect

    def apply(self, effect: Effect) -> None:
        """Set an effect's values: these, and of all others the card's defaults.

        Raises:
            ValueError: it is another effect.
        """
        if effect.card.id != self.effect:
            raise ValueError(f"the preset {brief(self.name)} is one of {self.effect}, not of {effect.card.id}")
        for address, value in self.full().items():
            effect.set(address, value)

    def full(self) -> dict[str, Any]:
        """Every value by its address."""
        return {**CLASSES[self.effect]().values(), **self.values}


def multiband_presets() -> dict[str, MultibandPreset]:
    """The presets of a multiband compressor by name."""
    given = read_settings(MULTIBAND)
    return {n: MultibandPreset(n, p["text"], tuple(p["splits_hz"]), tuple(p["bands"])) for n, p in given.items()}


def effect_presets(effect: str) -> dict[str, Preset]:
    """The presets of an effect by name; empty where it has none.

    Args:
        effect: id of its card, such as "compressor".

    Raises:
        ValueError: there is no such effect.
    """
    if effect not in CARDS:
        raise ValueError(f"there is no effect {brief(effect)}{hint_for(effect, [*CARDS, *READY_MADE])}")
    return dict(_presets(effect))


def ready_made_presets(kind: str) -> Mapping[str, ReadyMade]:
    """The presets of one of `READY_MADE` by name."""
    if kind == MULTIBAND:
        return multiband_presets()
    return side_presets(kind) if kind in (CROSSFEED, STEREO) else harmonics_presets(kind)


def presets(effect: str) -> Mapping[str, Preset | ReadyMade]:
    """The presets of an effect by name, empty where it has none; or those of "multiband_compressor", "exciter",
    "bass_enhancer", "crossfeed" or "stereo", which are made of several effects.

    Args:
        effect: id of its card, such as "compressor".

    Raises:
        ValueError: there is no such effect.
    """
    return ready_made_presets(effect) if effect in READY_MADE else effect_presets(effect)


def preset(effect: str, name: str) -> Effect | Parallel:
    """A new effect with the values of a preset: `preset("compressor", "vocal")`; or what several effects make together:
    `preset("multiband_compressor", "mastering")`, a Bands, `preset("exciter", "air")`, a Parallel.

    Raises:
        ValueError: there is no such effect, or it has no such preset.
    """
    known = presets(effect)
    if name not in known:
        listed = f"; there are {', '.join(known)}" if known else "; it has none"
        raise ValueError(f"{effect} has no preset {brief(name)}{listed}")
    return known[name].make()


@cache
def _presets(effect: str) -> dict[str, Preset]:
    place = files("twinrack.plugins") / effect / FILE
    if not place.is_file():
        return {}
    given = tomllib.loads(place.read_text(encoding="utf-8"))
    return {name: Preset(effect, name, p["text"], _flat(p["values"])) for name, p in given.items()}


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """By address: TOML reads "band1.type" as a table."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat
