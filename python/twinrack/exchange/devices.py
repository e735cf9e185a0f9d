"""The effects that DAWproject has a generic device for, and which of their values it can express."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..hosting.effect import Plugin
from ..rack.effect import Effect
from ..rack.tree import Chain, Parallel
from .units import DOWNWARDS, GAIN, HERTZ, MILLISECONDS, PLAIN, SWITCH, Scale


@dataclass(frozen=True)
class Field:
    """One value: the element's name, the address below the effect, its scale."""

    tag: str
    address: str
    scale: Scale


@dataclass(frozen=True)
class Device:
    """A generic device: the element's name, and its values in the schema's order."""

    tag: str
    fields: tuple[Field, ...]


DEVICES: dict[str, Device] = {
    "compressor": Device(
        "Compressor",
        (
            Field("Attack", "attack_ms", MILLISECONDS),
            Field("AutoMakeup", "auto_makeup", SWITCH),
            Field("OutputGain", "makeup_db", GAIN),
            Field("Ratio", "ratio", PLAIN),
            Field("Release", "release_ms", MILLISECONDS),
            Field("Threshold", "threshold_db", GAIN),
        ),
    ),
    "gate": Device(
        "NoiseGate",
        (
            Field("Attack", "attack_ms", MILLISECONDS),
            Field("Range", "range_db", DOWNWARDS),
            Field("Ratio", "ratio", PLAIN),
            Field("Release", "release_ms", MILLISECONDS),
            Field("Threshold", "threshold_db", GAIN),
        ),
    ),
    "limiter": Device(
        "Limiter",
        (
            Field("Attack", "lookahead_ms", MILLISECONDS),
            Field("InputGain", "input_gain_db", GAIN),
            Field("Release", "release_ms", MILLISECONDS),
            Field("Threshold", "ceiling_db", GAIN),
        ),
    ),
    "gain": Device("Equalizer", (Field("InputGain", "gain_db", GAIN),)),
    "parametric_eq": Device("Equalizer", ()),
}
BAND_TYPES = {
    "bell": "bell", "low_shelf": "lowShelf", "high_shelf": "highShelf", "low_cut": "highPass", "high_cut": "lowPass",
    "notch": "notch", "band_pass": "bandPass",
}  # fmt: skip
CUTS, WITH_GAIN = ("low_cut", "high_cut"), ("bell", "low_shelf", "high_shelf")
BAND = (Field("Freq", "frequency_hz", HERTZ), Field("Gain", "gain_db", GAIN), Field("Q", "q", PLAIN))


def serial(items: Sequence[Effect | Chain | Parallel]) -> Iterator[Effect | Parallel]:
    """The effects and parallels of a rack one after the other, chains within it opened."""
    for item in items:
        if isinstance(item, Chain):
            yield from serial(item.items)
        else:
            yield item


def bands(effect: Effect) -> Iterator[tuple[int, str, int]]:
    """The bands of an equaliser that DAWproject can express: number from 1, type, order."""
    for i in range(1, effect.card.groups[0].count + 1):
        kind = str(effect.get(f"band{i}.type"))
        if kind in BAND_TYPES and effect.get(f"band{i}.channel") == "all":
            slope = int(str(effect.get(f"band{i}.slope_db_per_octave")))
            yield i, kind, slope // 6 if kind in CUTS else 2


def losses(effect: Effect | Parallel, where: str) -> list[str]:
    """The losses of an effect in DAWproject, a sentence each; `where` is its address."""
    if isinstance(effect, Parallel):
        return [f"the parallel branches of {where} are left out: DAWproject has devices one after the other only"]
    card = effect.card
    if isinstance(effect, Plugin):
        sentences = [] if effect.key is None else [f"{where}: its sidechain {effect.key!r} is left out"]
        if effect.uri_format == "lv2":
            sentences.append(
                f"{where} is an LV2 plugin, which comes back in twinrack only: DAWproject has no device for it, and other "
                "programs leave it out"
            )
        return sentences
    if card.id not in DEVICES:
        return [f"{where} ({card.name}) is left out: DAWproject has equalisers, compressors, gates and limiters only"]
    sentences = []
    if card.id == "parametric_eq":
        if effect.get("warping") != "matched":
            sentences.append(
                f"{where}: the warping is left out; what reads the file has filters of its own near half the sample rate"
            )
        sentences += [
            f"{where}.band{i} is left out: DAWproject has no all pass"
            for i in range(1, card.groups[0].count + 1)
            if effect.get(f"band{i}.type") == "all_pass"
        ]
        sentences += [
            f"{where}.band{i} is left out: it acts on the {side} channel only, and DAWproject's bands act on all"
            for i in range(1, card.groups[0].count + 1)
            if effect.get(f"band{i}.type") not in ("off", "all_pass") and (side := effect.get(f"band{i}.channel")) != "all"
        ]
        return sentences
    expressible = {field.address for field in DEVICES[card.id].fields}
    names = [n for n, p in card.addresses.items() if n not in expressible and effect.get(n) != p.default]
    if names:
        sentences.append(f"{where}: DAWproject has no {', '.join(names)}; these have the default of what reads the file")
    if effect.key is not None:
        sentences.append(f"{where}: its sidechain {effect.key!r} is left out, which DAWproject cannot express")
    return sentences
