"""The card file format: what every `plugins/<id>/card.toml` must say, checked with pydantic.

The build validates all cards with this module and stops at the first that is incomplete; the extension then carries the
validated cards, so this module (and pydantic) is not needed when the package is imported.
"""

from __future__ import annotations

import keyword
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Sentence = Annotated[str, Field(min_length=4)]
# What a parameter is for, where many are trained at once. main: the effect is set by it. level: another gain stage, or an
# analysis of the recording, covers it. fine: a detail, which the sound of a whole mix hardly determines.
Role = Literal["main", "level", "fine"]
# What an effect can do to a recording. linear: gains and filters, none of which moves by itself. dynamics: the gain follows
# the sound. reverb: the sound goes on after its input. modulation: linear, and moved by an oscillator. delay: repeats, which
# it may bend. nonlinear: distortion and tails; assumed where the card says nothing.
Category = Literal["linear", "dynamics", "reverb", "nonlinear", "modulation", "delay"]
ResourceType = Literal["response", "network", "control", "noise"]
# The class of `twinrack.resources` for each; `resources.types` has the classes themselves.
RESOURCE_CLASSES: dict[ResourceType, str] = {
    "response": "Response",
    "network": "Network",
    "control": "ControlNetwork",
    "noise": "NoiseNetwork",
}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Follows(Strict):
    """The default of a parameter, in proportion to another one's value when only that one is given."""

    parameter: Identifier
    factor: float = Field(gt=0)


class Jnd(Strict):
    """The just-noticeable difference of a parameter: a `step` in its unit where its scale is linear, else `percent` of its
    value. `source` names who measured it; "derived" says that `tools/derive_jnds.py` computed it with the project's own model
    of hearing, at the effect's default, which holds less exactly elsewhere."""

    step: float | None = Field(default=None, gt=0)
    percent: float | None = Field(default=None, gt=0)
    source: Sentence


class Continuous(Strict):
    """A number in physical units, with its range, its expected range, the least change that one hears, and how fast the engine
    glides to a new value."""

    id: Identifier
    kind: Literal["continuous"] = "continuous"
    unit: str = Field(min_length=1)
    min: float
    max: float
    default: float
    expected: tuple[float, float]
    scale: Literal["linear", "log", "db"]
    smoothing_ms: float = Field(ge=0)
    learnable: bool
    role: Role = "main"
    rebuilds: bool = False  # works on what the effect is built from; a running stream crossfades to a new one
    learning_step: float = Field(default=1.0, gt=0, le=1)  # share of the usual training step, for what is sensitive
    doc: Sentence
    perceptual: Sentence
    jnd: Jnd
    follows: Follows | None = None

    @model_validator(mode="after")
    def _ranges(self) -> Continuous:
        low, high = self.expected
        if not self.min < self.max:
            raise ValueError(f"min {self.min} is not below max {self.max}")
        if not self.min <= self.default <= self.max:
            raise ValueError(f"default {self.default} is outside {self.min} … {self.max}")
        if not self.min <= low < high <= self.max:
            raise ValueError(f"expected {list(self.expected)} is not a range inside {self.min} … {self.max}")
        if self.scale != "linear" and self.min <= 0:
            raise ValueError(f"scale {self.scale} needs min above 0")
        in_units = self.scale == "linear"
        if (self.jnd.step is not None) != in_units or (self.jnd.percent is not None) == in_units:
            raise ValueError(f"jnd needs {'step' if in_units else 'percent'}, as the scale is {self.scale}")
        return self


class Choice(Strict):
    """One of several named options."""

    id: Identifier
    kind: Literal["choice"]
    options: tuple[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], ...] = Field(min_length=2)
    default: str
    role: Role = "main"
    rebuilds: bool = False
    doc: Sentence
    perceptual: Sentence

    @model_validator(mode="after")
    def _default(self) -> Choice:
        if self.default not in self.options:
            raise ValueError(f"default {self.default!r} is none of {list(self.options)}")
        return self


class Switch(Strict):
    """On or off."""

    id: Identifier
    kind: Literal["switch"]
    default: bool
    role: Role = "main"
    rebuilds: bool = False
    doc: Sentence
    perceptual: Sentence


def _kind(data: object) -> str:
    """Which kind of parameter is meant: "continuous" unless it says otherwise."""
    kind = data.get("kind", "continuous") if isinstance(data, dict) else getattr(data, "kind", "")
    return kind if kind in ("choice", "switch") else "continuous"


Parameter = Annotated[
    Annotated[Continuous, Tag("continuous")] | Annotated[Choice, Tag("choice")] | Annotated[Switch, Tag("switch")],
    Discriminator(_kind),
]


class Group(Strict):
    """A set of parameters that is repeated `count` times, such as the bands of an equaliser."""

    id: Identifier
    class_: str = Field(alias="class", pattern=r"^[A-Z][A-Za-z0-9]*$")
    count: int = Field(ge=1, le=64)
    doc: Sentence
    parameter: tuple[Parameter, ...] = Field(min_length=1)


class Resource(Strict):
    """An array that belongs to the effect: an impulse response, the weights of a network."""

    id: Identifier
    type: ResourceType = "response"
    doc: Sentence
    shape: str = Field(min_length=1)
    learnable: bool = False  # training changes it unless it is frozen


class Card(Strict):
    """Everything the project says about one effect."""

    id: Identifier
    class_: str = Field(alias="class", pattern=r"^[A-Z][A-Za-z0-9]*$")
    name: str = Field(min_length=1)
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    purpose: Sentence
    rationale: Sentence
    assumptions: tuple[Sentence, ...] = Field(min_length=1)
    references: tuple[Sentence, ...] = Field(min_length=1)
    channels: Literal["any", "mono", "stereo"]
    latency: str
    sidechain: bool = False
    category: Category = "nonlinear"
    costly: bool = False  # to train: of a mix it is trained only where it is named
    loops: Literal["none"] | None = None  # "none": nothing in it feeds back; otherwise loops.py in the folder names all loops
    curves: tuple[Literal["response", "transfer", "step", "harmonics", "decay"], ...] | None = None  # that reports draw
    parameter: tuple[Parameter, ...] = ()
    group: tuple[Group, ...] = ()
    resource: tuple[Resource, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        ids = [p.id for p in self.parameter] + [g.id for g in self.group] + [r.id for r in self.resource]
        for name in ids:
            if ids.count(name) > 1:
                raise ValueError(f"{name!r} is declared twice")
        for group in self.group:
            names = [p.id for p in group.parameter]
            if len(set(names)) < len(names):
                raise ValueError(f"a parameter of group {group.id!r} is declared twice")
            ids += names
        reserved = {
            "bypass",
            "name",
            "key",
            "card",
            "address",
            "values",
            "keys",
            "items",
            "get",
            "set",
            "pop",
            "update",
            "copy",
        }
        reserved |= {"clear", "popitem", "setdefault", "training", "unused"}
        for name in ids:
            if keyword.iskeyword(name) or name in reserved:
                raise ValueError(f"{name!r} cannot be the name of a parameter")
        if not ids:
            raise ValueError("has neither a parameter, a group nor a resource")
        by_id = {p.id: p for p in self.parameter}
        if self.latency != "none" and self.latency not in by_id:
            raise ValueError(f"latency {self.latency!r} is neither 'none' nor the id of a parameter")
        for p in self.parameter:
            if isinstance(p, Continuous) and p.follows is not None:
                other = by_id.get(p.follows.parameter)
                if not isinstance(other, Continuous) or other.follows is not None:
                    raise ValueError(f"{p.id} follows {p.follows.parameter!r}, which follows another parameter")
                if abs(other.default * p.follows.factor - p.default) > 1e-6 * abs(p.default):
                    raise ValueError(f"default of {p.id} is not {p.follows.factor} × that of {other.id}")
        return self


class CardError(ValueError):
    """A card that does not say what it must; the message names the file and the field."""


def read_card(path: Path) -> Card:
    """Read and validate one `card.toml`.

    Raises:
        CardError: names the file and the first field that is missing or wrong.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        card = Card.model_validate(data)
    except FileNotFoundError:
        raise CardError(f"{path}: the effect has no card; add one (see CONTRIBUTING.md)") from None
    except tomllib.TOMLDecodeError as error:
        raise CardError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(_place(data, first["loc"])) or "card"
        raise CardError(f"{path}: {where}: {first['msg']}") from None
    if card.id != path.parent.name:
        raise CardError(f"{path}: id: {card.id!r} is not the name of its folder, {path.parent.name!r}")
    for field in ("loops", "curves"):
        if getattr(card, field) is not None and (path.parent / f"{field}.py").exists():
            raise CardError(f"{path}: {field}: also stands in {field}.py beside it; keep one of them")
    return card


def _place(data: object, location: tuple[int | str, ...]) -> list[str]:
    """Pydantic's location as a person would say it: list indices become the id of the parameter there."""
    words: list[str] = []
    for part in location:
        if part in ("continuous", "choice", "switch"):
            continue
        if isinstance(part, int) and isinstance(data, list) and part < len(data):
            data = data[part]
            words.append(str(data.get("id", part)) if isinstance(data, dict) else str(part))
        else:
            data = data.get(str(part)) if isinstance(data, dict) else None
            words.append(str(part))
    return words


def read_cards(plugins: Path) -> list[Card]:
    """All cards below `plugins/`, sorted by id."""
    cards = [read_card(folder / "card.toml") for folder in sorted(plugins.iterdir()) if _is_effect(folder)]
    names: dict[str, str] = {}
    for card in cards:
        for name in [card.class_, *(group.class_ for group in card.group)]:
            if name in names:
                raise CardError(f"{plugins / card.id / 'card.toml'}: class: {name} is also that of {names[name]}")
            names[name] = card.id
    return cards


def _is_effect(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith((".", "_"))
