"""Cards of the effects, read from the extension: what each effect is for and what its parameters mean.

The build has validated them (see `card_schema`), so reading them here is quick and needs nothing but the standard library.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from .. import _engine
from ..checks import SHOWN, brief, to_float

Value = float | str | bool


@dataclass(frozen=True)
class Parameter:
    """One parameter of an effect. `kind` is "continuous", "choice" or "switch"; a choice has `options` and no unit. `role` is
    "main", "level" or "fine" (see `card_schema.Role`). `jnd` is the just-noticeable difference: on a linear scale in the
    parameter's unit, on others in percent of the value; None where the card has none."""

    id: str
    kind: str
    default: Value
    doc: str
    perceptual: str
    unit: str = ""
    min: float = 0.0
    max: float = 1.0
    expected: tuple[float, float] = (0.0, 1.0)
    scale: str = "linear"
    smoothing_ms: float = 0.0
    learnable: bool = False
    learning_step: float = 1.0
    role: str = "main"
    rebuilds: bool = False
    options: tuple[str, ...] = ()
    follows: tuple[str, float] | None = None
    jnd: float | None = None
    jnd_source: str = ""

    def check(self, value: object, place: str) -> Value:
        """The value as it is stored, or a ValueError that says the parameter, the value and the range.

        Args:
            value: what a user gave.
            place: where it is for, such as "compressor".
        """
        name = f"{place}.{self.id}"
        if self.kind == "choice":
            text = value if isinstance(value, str) else brief(value)
            if text not in self.options:
                near = get_close_matches(text[:SHOWN], self.options, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"{name} = {brief(value)} is none of {', '.join(self.options)}{hint}")
            return str(text)
        if self.kind == "switch":
            number = to_float(value)
            if number not in (0.0, 1.0):
                raise ValueError(f"{name} = {brief(value)} is a switch: True or False")
            return bool(number)
        if isinstance(value, str | bytes | bool) or str(getattr(value, "dtype", "")) == "bool":
            # "-20" and True would pass as numbers, and are mistakes
            raise ValueError(f"{name} must be a number, got {brief(value)} (allowed: {self.range_text()})")
        number = to_float(value)
        if number is None:
            raise ValueError(f"{name} must be a number, got {brief(value)} (allowed: {self.range_text()})")
        if math.isnan(number):
            raise ValueError(f"{name} is NaN; give a number between {self.min:g} and {self.max:g} {self.unit}")
        if number < self.min:
            raise ValueError(f"{name} = {number:g} is below {self.min:g} {self._unit()}(allowed: {self.range_text()})")
        if number > self.max:
            raise ValueError(f"{name} = {number:g} is above {self.max:g} {self._unit()}(allowed: {self.range_text()})")
        return number

    def _unit(self) -> str:
        return "" if self.unit == "1" else f"{self.unit} "

    def range_text(self) -> str:
        """Range or options, as a person reads them."""
        if self.kind == "choice":
            return ", ".join(self.options)
        if self.kind == "switch":
            return "on or off"
        return f"{self.min:g} to {self.max:g}{'' if self.unit == '1' else ' ' + self.unit}"

    def to_engine(self, value: Value) -> float:
        """The number the engine knows: a choice is its index, a switch 0 or 1."""
        if self.kind == "choice":
            return float(self.options.index(str(value)))
        return float(value)

    def position(self, value: float) -> float:
        """Where a value is in its range, 0 to 1, in the parameter's own scale."""
        if self.scale == "linear":
            return (value - self.min) / (self.max - self.min)
        return math.log(value / self.min) / math.log(self.max / self.min)

    def at(self, position: float) -> Value:
        """The value at a place 0 to 1 of its range: of a choice one of its options, of a switch True from 0.5 on."""
        position = min(max(position, 0.0), 1.0)
        if self.kind == "choice":
            return self.options[min(int(position * len(self.options)), len(self.options) - 1)]
        if self.kind == "switch":
            return position >= 0.5
        linear = self.scale == "linear"
        value = self.min + (self.max - self.min) * position if linear else self.min * (self.max / self.min) ** position
        return min(max(value, self.min), self.max)

    def jnds(self, before: float, after: float) -> float | None:
        """Just-noticeable differences from one value to another, negative downwards; None where the card has no JND."""
        if self.jnd is None:
            return None
        if self.scale == "linear":
            return (after - before) / self.jnd
        return math.log(after / before) / math.log1p(0.01 * self.jnd)

    def jnd_at(self, value: float) -> float | None:
        """One JND upwards from a value, in the parameter's unit; None where the card has none."""
        if self.jnd is None:
            return None
        return self.jnd if self.scale == "linear" else 0.01 * self.jnd * value

    def jnd_text(self) -> str:
        """The JND as a person reads it: "1 dB", "5 %"; empty where there is none."""
        if self.jnd is None:
            return ""
        unit = "%" if self.scale != "linear" else "" if self.unit == "1" else self.unit
        return f"{self.jnd:g} {unit}".rstrip()

    def moved_by(self, value: float, jnds: float) -> float:
        """The value so many JNDs above, at the end of the range where it would be beyond.

        Raises:
            ValueError: the card has no JND.
        """
        if self.jnd is None:
            raise ValueError(f"{self.id} has no just-noticeable difference in its card")
        if self.scale == "linear":
            return min(max(value + jnds * self.jnd, self.min), self.max)
        exponent = math.log(value) + jnds * math.log1p(0.01 * self.jnd)
        return min(max(math.exp(min(max(exponent, -700.0), 700.0)), self.min), self.max)

    def place(self, value: Value) -> float:
        """The inverse, for every kind: a choice is in the middle of its part of the range."""
        if self.kind == "choice":
            return (self.options.index(str(value)) + 0.5) / len(self.options)
        return float(value) if self.kind == "switch" else self.position(float(value))


@dataclass(frozen=True)
class Group:
    """Parameters that are repeated `count` times, such as the bands of an equaliser."""

    id: str
    class_name: str
    count: int
    doc: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Card:
    """The description of one effect; the C++ tables come from the same file. `card_schema` describes each field."""

    id: str
    class_name: str
    name: str
    version: str
    purpose: str
    rationale: str
    assumptions: tuple[str, ...]
    references: tuple[str, ...]
    channels: str
    latency: str
    sidechain: bool
    parameters: tuple[Parameter, ...]
    groups: tuple[Group, ...]
    resources: tuple[Mapping[str, Any], ...] = field(default=())
    category: str = "nonlinear"
    costly: bool = False
    loops: str | None = None
    curves: tuple[str, ...] | None = None

    @functools.cached_property
    def addresses(self) -> dict[str, Parameter]:
        """All parameters by their address below the effect, in the engine's order."""
        parameters = {p.id: p for p in self.parameters}
        for group in self.groups:
            for index in range(1, group.count + 1):
                parameters.update({f"{group.id}{index}.{p.id}": p for p in group.parameters})
        return parameters

    def _repr_html_(self) -> str:
        """For notebooks: purpose, and a table of the parameters."""
        from ..pages.drawing import card_html

        return card_html(self)

    def may_change_latency(self, address: str) -> bool:
        """Whether a new value of this parameter can change the latency: the one that sets it, a choice, or a switch."""
        if self.latency == "none":
            return False
        return address == self.latency or self.addresses[address].kind != "continuous"

    def groups_of(self) -> Iterator[tuple[Group, int, str]]:
        """Every repeated item: its group, its number from 1, and its address prefix."""
        for group in self.groups:
            for index in range(1, group.count + 1):
                yield group, index, f"{group.id}{index}"


def _parameter(data: dict[str, Any]) -> Parameter:
    data = dict(data)
    follows, jnd = data.pop("follows", None), data.pop("jnd", None)
    if jnd is not None:
        data |= {"jnd": jnd["step"] or jnd["percent"], "jnd_source": jnd["source"]}
    for key in ("expected", "options"):
        if key in data:
            data[key] = tuple(data[key])
    return Parameter(**data, follows=(follows["parameter"], follows["factor"]) if follows else None)


def _card(data: dict[str, Any]) -> Card:
    groups = tuple(
        Group(g["id"], g["class"], g["count"], g["doc"], tuple(map(_parameter, g["parameter"]))) for g in data["group"]
    )
    return Card(
        id=data["id"],
        class_name=data["class"],
        name=data["name"],
        version=data["version"],
        purpose=data["purpose"],
        rationale=data["rationale"],
        assumptions=tuple(data["assumptions"]),
        references=tuple(data["references"]),
        channels=data["channels"],
        latency=data["latency"],
        sidechain=data["sidechain"],
        parameters=tuple(map(_parameter, data["parameter"])),
        groups=groups,
        resources=tuple(data["resource"]),
        category=data["category"],
        costly=data["costly"],
        loops=data["loops"],
        curves=None if data["curves"] is None else tuple(data["curves"]),
    )


CARDS: dict[str, Card] = {card.id: card for card in (_card(json.loads(text)) for text in _engine.cards())}

FILTER_SHAPES = CARDS["parametric_eq"].addresses["band1.type"].options[1:]  # without "off"; in the engine's order


def find_card(effect: str) -> Card:
    """The card of an effect by its id.

    Raises:
        ValueError: no such effect; names the nearest one.
    """
    card = CARDS.get(effect) if isinstance(effect, str) else None
    if card is None:
        meant = hint_for(effect[:SHOWN], list(CARDS)) if isinstance(effect, str) else ""
        hint = meant or f"; `twinrack effects` lists all {len(CARDS)}"
        raise ValueError(f"no effect is called {brief(effect)}{hint}")
    return card


# Other programs' names for an effect, in small letters without spaces and underscores: the cards that do the same.
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "reverb": ("fdn_reverb", "convolution_reverb"), "plate": ("fdn_reverb",), "hall": ("fdn_reverb",), "room": ("fdn_reverb",),
    "algorithmicreverb": ("fdn_reverb",), "freeverb": ("fdn_reverb",),
    "convolution": ("convolution_reverb",), "convolver": ("convolution_reverb",), "impulseresponse": ("convolution_reverb",),
    "ir": ("convolution_reverb",), "cabinet": ("convolution_reverb",), "cab": ("convolution_reverb",),
    "eq": ("parametric_eq",), "equalizer": ("parametric_eq",), "equaliser": ("parametric_eq",), "peq": ("parametric_eq",),
    "filter": ("parametric_eq",), "highpass": ("parametric_eq",), "lowpass": ("parametric_eq",), "lowcut": ("parametric_eq",),
    "highcut": ("parametric_eq",), "shelf": ("parametric_eq",), "highpassfilter": ("parametric_eq",),
    "lowpassfilter": ("parametric_eq",), "peakfilter": ("parametric_eq",), "notch": ("parametric_eq",),
    "comp": ("compressor",), "dynamics": ("compressor", "gate", "limiter"), "ducker": ("compressor",),
    "ducking": ("compressor",), "sidechain": ("compressor",), "noisegate": ("gate",), "expander": ("gate",),
    "maximizer": ("limiter",), "maximiser": ("limiter",), "brickwall": ("limiter",),
    "distortion": ("saturation",), "overdrive": ("saturation",), "drive": ("saturation",), "saturator": ("saturation",),
    "clipper": ("saturation",), "clipping": ("saturation",), "waveshaper": ("saturation",), "tape": ("saturation",),
    "fuzz": ("saturation",),
    "volume": ("gain", "fader"), "level": ("gain",), "trim": ("gain",), "polarity": ("gain",), "balance": ("gain",),
    "pan": ("fader",), "panner": ("fader",), "width": ("fader",), "mute": ("fader",),
    "nam": ("adapter",), "amp": ("adapter",), "neural": ("adapter",), "lstm": ("adapter",), "wavenet": ("adapter",),
    "network": ("adapter",), "noisereduction": ("denoiser",), "denoise": ("denoiser",), "rnnoise": ("denoiser",),
    "noisesuppression": ("denoiser",), "hiss": ("denoiser",), "hum": ("denoiser",),
    "graphicequalizer": ("graphic_eq",), "graphicequaliser": ("graphic_eq",), "geq": ("graphic_eq",),
    "echo": ("delay",), "pingpong": ("delay",), "slapback": ("delay",), "multichorus": ("chorus",), "ensemble": ("chorus",),
    "ringmod": ("ring_modulator",), "wah": ("auto_wah",),
    "envelopefilter": ("auto_wah",), "doubler": ("chorus", "delay"), "autopan": ("auto_pan",),
    "transientdesigner": ("transient_shaper",), "transient": ("transient_shaper",),
    "dynamicequalizer": ("dynamic_eq",), "dyneq": ("dynamic_eq",), "agc": ("leveller",),
    "leslie": ("rotary",), "feedbackdestroyer": ("feedback_suppressor",),
    "howl": ("feedback_suppressor",), "larsen": ("feedback_suppressor",), "ms": ("mid_side_levels",),
    "rider": ("leveller",), "vocalrider": ("leveller",), "midside": ("mid_side_levels",),
}  # fmt: skip
# Effects that do not exist here: the hint to the nearest substitute.
NOT_HERE = {
    "multibandcompressor": '; it is a Bands of compressors: tr.preset("multiband_compressor", "mastering"), or tr.Bands([…])',
    "exciter": '; it is made of several effects: tr.preset("exciter", "air")',
    "enhancer": '; there are tr.preset("exciter", "air") and tr.preset("bass_enhancer", "small loudspeakers")',
    "bassenhancer": '; it is made of several effects: tr.preset("bass_enhancer", "small loudspeakers")',
    "crossfeed": '; it is an equaliser on the side: tr.preset("crossfeed", "classic")',
    "stereo": '; it is an equaliser on the side: tr.preset("stereo", "mono bass"); tr.Fader has a width',
    "stereowidth": '; it is an equaliser on the side: tr.preset("stereo", "wide"); tr.Fader has a width',
    "monomaker": '; it is an equaliser on the side: tr.preset("stereo", "mono bass")',
    "haas": '; it is a delay on one side: tr.preset("delay", "haas")',
    "linearphaseeq": "; tr.linear_phase makes a filter of linear phase of any equaliser or curve",
    "linearphase": "; tr.linear_phase makes a filter of linear phase of any equaliser or curve",
    "fir": "; a ConvolutionReverb plays a filter; tr.linear_phase makes one of an equaliser or a curve",
    "roomcorrection": "; tr.room.correct makes a rack of what tr.room.measure measured",
    "multiband": '; it is a Bands of compressors: tr.preset("multiband_compressor", "mastering"), or tr.Bands([…])',
}


def hint_for(name: str, names: Sequence[str]) -> str:
    """The end of a sentence about a name that is not known: what was meant, by other names that effects have, or by spelling.

    Args:
        name: what was asked for.
        names: ids of cards, or names of their classes.
    """
    plain = "".join(c for c in str(name).lower() if c not in "_- ")
    if plain in NOT_HERE:
        return NOT_HERE[plain]
    meant = [n for id in OTHER_NAMES.get(plain, ()) for n in (id, CARDS[id].class_name) if id in CARDS and n in names]
    if not meant:
        by_plain = {n.lower().replace("_", ""): n for n in names}
        meant = [by_plain[near] for near in get_close_matches(plain, by_plain, 1)]
    return f"; did you mean {' or '.join(map(repr, meant))}?" if meant else ""
