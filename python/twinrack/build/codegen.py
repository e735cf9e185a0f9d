"""Code from cards and sweeps: the build runs this to make the C++ tables, the lists of effects and sweeps, and the type stubs.

    python codegen.py PLUGINS_DIR OUT_DIR

writes `cards.h` (constexpr tables and value structs), `cards_json.h` (the validated cards, which Python reads back from
the extension), one translation unit for each effect and each sweep (`units.txt` lists them), `registry.inc`, `sweeps.inc`, and
`effects.pyi` for editors.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if __package__ or TYPE_CHECKING:
    from .card_schema import (
        RESOURCE_CLASSES,
        Card,
        CardError,
        Choice,
        Continuous,
        Group,
        Parameter,
        Resource,
        Switch,
        read_cards,
    )
else:  # run by the build, before there is a package to import
    sys.path.insert(0, str(Path(__file__).parent))
    from card_schema import (
        RESOURCE_CLASSES,
        Card,
        CardError,
        Choice,
        Continuous,
        Group,
        Parameter,
        Resource,
        Switch,
        read_cards,
    )

GENERATED = "Generated from plugins/ by codegen.py; edit what is there instead."


NUMBERED = 9  # effects of one kind in a rack whose addresses the type checker knows


def cpp_float(value: float) -> str:
    text = repr(float(value))
    return f"{text}f"


def cpp_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def enumerator(option: str) -> str:
    return f"n{option}" if option[0].isdigit() else option


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def cpp_row(parameter: Parameter, prefix: str) -> str:
    address = cpp_string(prefix + parameter.id)
    if isinstance(parameter, Continuous):
        scale = {"linear": "Scale::linear", "log": "Scale::log", "db": "Scale::log"}[parameter.scale]
        low, high, default = cpp_float(parameter.min), cpp_float(parameter.max), cpp_float(parameter.default)
        return f"{{{address}, {scale}, {low}, {high}, {default}, {cpp_float(parameter.smoothing_ms)}}}"
    if isinstance(parameter, Choice):
        top, first = len(parameter.options) - 1, parameter.options.index(parameter.default)
        return f"{{{address}, Scale::step, 0.0f, {cpp_float(top)}, {cpp_float(first)}, 0.0f}}"
    return f"{{{address}, Scale::step, 0.0f, 1.0f, {cpp_float(parameter.default)}, 0.0f}}"


def cpp_field(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return f"{camel(parameter.id)} {parameter.id};"
    return f"{'bool' if isinstance(parameter, Switch) else 'float'} {parameter.id};"


def cpp_read(parameter: Parameter, target: str, index: str) -> str:
    value = f"flat[{index}]"
    if isinstance(parameter, Choice):
        value = f"static_cast<{camel(parameter.id)}>(static_cast<int>({value}))"
    elif isinstance(parameter, Switch):
        value = f"{value} > 0.5f"
    return f"{target}.{parameter.id} = {value};"


def cpp_enums(parameters: tuple[Parameter, ...]) -> list[str]:
    return [
        f"  enum class {camel(p.id)} : int {{ {', '.join(enumerator(o) for o in p.options)} }};"
        for p in parameters
        if isinstance(p, Choice)
    ]


def cpp_card(card: Card) -> str:
    rows = [cpp_row(p, "") for p in card.parameter]
    for group in card.group:
        rows += [cpp_row(p, f"{group.id}{i}.") for i in range(1, group.count + 1) for p in group.parameter]
    lines = [f"struct {card.class_} {{"]
    lines += [f"  static constexpr const char* id = {cpp_string(card.id)};"]
    lines += cpp_enums(card.parameter)
    for group in card.group:
        lines += cpp_enums(group.parameter)
        lines += [f"  struct {group.class_} {{"] + [f"    {cpp_field(p)}" for p in group.parameter] + ["  };"]
    lines += ["  struct Values {"] + [f"    {cpp_field(p)}" for p in card.parameter]
    lines += [f"    std::array<{g.class_}, {g.count}> {g.id}s;" for g in card.group] + ["  };"]
    lines += [f"  static constexpr std::array<Parameter, {len(rows)}> parameters{{{{"]
    lines += [f"      {row}," for row in rows] + ["  }};"]
    lines += ["  static Values unpack(const float* flat) noexcept TR_RT {", "    Values values{};"]
    lines += [f"    {cpp_read(p, 'values', str(i))}" for i, p in enumerate(card.parameter)]
    start = len(card.parameter)
    for group in card.group:
        size = len(group.parameter)
        lines += [
            f"    for (std::size_t i = 0; i < {group.count}; ++i) {{",
            f"      auto& item = values.{group.id}s[i];",
            f"      const std::size_t at = {start} + i * {size};",
        ]
        lines += [f"      {cpp_read(p, 'item', f'at + {j}')}" for j, p in enumerate(group.parameter)]
        lines += ["    }"]
        start += group.count * size
    lines += ["    return values;", "  }", "};", ""]
    return "\n".join(lines)


def cards_header(cards: list[Card]) -> str:
    body = "\n".join(cpp_card(card) for card in cards)
    return f"""// {GENERATED}
#pragma once
#include <array>
#include <cstddef>

#include "rt/card.h"
#include "rt/realtime.h"

namespace twinrack::cards {{

{body}
}}  // namespace twinrack::cards
"""


def json_header(cards: list[Card]) -> str:
    pieces = [cpp_string(json.dumps(c.model_dump(mode="json", by_alias=True), ensure_ascii=False)) for c in cards]
    rows = ",\n    ".join(pieces)
    return f"""// {GENERATED}
#pragma once

namespace twinrack::cards {{

inline constexpr const char* json[] = {{
    {rows},
}};

}}  // namespace twinrack::cards
"""


class Sweep(NamedTuple):
    """A file that holds a recursion for training (see cpp/adjoint/sweep.h)."""

    name: str  # in the list of sweeps
    identifier: str
    struct: str
    header: str


def sweeps_of(plugins: Path, cards: list[Card]) -> list[Sweep]:
    """`plugins/<id>/<part>_sweep.h` is the sweep `<id>.<part>`, `cpp/adjoint/<name>_sweep-inl.h` the sweep `<name>`."""
    sweeps = []
    for path in sorted((plugins.parent / "cpp" / "adjoint").glob("*_sweep-inl.h")):
        name = path.name.removesuffix("_sweep-inl.h")
        sweeps.append(Sweep(name, name, f"{camel(name)}Sweep", f"adjoint/{path.name}"))
    for card in cards:
        for path in sorted((plugins / card.id).glob("*_sweep.h")):
            part = path.name.removesuffix("_sweep.h")
            header = f"plugins/{card.id}/{path.name}"
            sweeps.append(Sweep(f"{card.id}.{part}", f"{card.id}_{part}", f"{card.class_}{camel(part)}Sweep", header))
    return sweeps


def unit(file: str, headers: list[str], result: str, function: str, value: str) -> str:
    """A translation unit: a function that is compiled for every SIMD target, and `get_` and its name, which calls the best."""
    includes = "\n".join(f'#include "{header}"' for header in headers)
    return f"""// {GENERATED}
// Compiled once for every SIMD target.
#include "dsp/lanes/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "{file}"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

{includes}

HWY_BEFORE_NAMESPACE();
namespace twinrack {{
namespace HWY_NAMESPACE {{
const {result}* {function}() {{ return {value}; }}
}}  // namespace HWY_NAMESPACE
}}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace twinrack {{
HWY_EXPORT({function});
const {result}* get_{function}();
const {result}* get_{function}() {{ return HWY_DYNAMIC_DISPATCH({function})(); }}
}}  // namespace twinrack
#endif
"""


def effect_unit(card: Card) -> str:
    headers = ["engine/effect-inl.h", f"plugins/{card.id}/{card.id}.h"]
    return unit(f"effect_{card.id}.cc", headers, "EffectType", f"{card.id}_type", f"effect_type<{card.class_}>()")


def sweep_unit(sweep: Sweep) -> str:
    headers = ["adjoint/sweep-inl.h", sweep.header]
    value = f"sweep_type<{sweep.struct}>({cpp_string(sweep.name)})"
    return unit(f"sweep_{sweep.identifier}.cc", headers, "adjoint::SweepType", f"{sweep.identifier}_sweep", value)


def registry(cards: list[Card]) -> str:
    return "".join(f"TWINRACK_EFFECT({card.id})\n" for card in cards)


def stub_type(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return "Literal[" + ", ".join(json.dumps(option) for option in parameter.options) + "]"
    return "bool" if isinstance(parameter, Switch) else "float"


def stub_default(parameter: Parameter) -> str:
    return repr(parameter.default)


def stub_class(
    name: str,
    doc: str,
    base: str,
    parameters: tuple[Parameter, ...],
    groups: tuple[Group, ...],
    resources: tuple[Resource, ...] = (),
) -> str:
    lines = [f"class {name}({base}):", f'    """{doc}"""', ""]
    arguments = ["self"]
    if base == "GroupItem" and parameters:
        first, parameters_rest = parameters[0], parameters[1:]
        arguments.append(f"{first.id}: {stub_type(first)} = {stub_default(first)}")
    else:
        parameters_rest = parameters
    if parameters_rest or groups or base == "Effect":
        arguments.append("*")
    for p in parameters_rest:
        if isinstance(p, Continuous) and p.follows is not None:
            arguments.append(f"{p.id}: float | None = None")
        else:
            arguments.append(f"{p.id}: {stub_type(p)} = {stub_default(p)}")
    arguments += [f"{g.id}s: Sequence[{g.class_}] = ()" for g in groups]
    if base == "Effect":
        arguments += [f"{r.id}: {r.type.capitalize()}Like | None = None" for r in resources]
        arguments += ["name: str | None = None", "bypass: bool = False", "key: str | None = None"]
    for p in parameters:
        lines += [f"    {p.id}: {stub_type(p)}", f'    """{p.doc}"""']
    for r in resources:
        lines += [f"    @property\n    def {r.id}(self) -> {RESOURCE_CLASSES[r.type]} | None: ..."]
        lines += [f"    @{r.id}.setter\n    def {r.id}(self, value: {r.type.capitalize()}Like | None) -> None: ..."]
    for g in groups:
        lines += [f"    @property\n    def {g.id}s(self) -> Sequence[{g.class_}]: ..."]
    lines += ["    def __init__(", *[f"        {argument}," for argument in arguments], "    ) -> None: ...", ""]
    return "\n".join(lines)


def addressed_stub(cards: list[Card]) -> str:
    """`rack["compressor"]` is a Compressor for type checkers and editors, as are `compressor_2` and those after it."""
    lines = ["class Addressed:"]
    for card in cards:
        addresses = [card.id, *(f"{card.id}_{number}" for number in range(2, NUMBERED + 1))]
        literal = ", ".join(json.dumps(address) for address in addresses)
        lines += [f"    @overload\n    def __getitem__(self, address: Literal[{literal}]) -> {card.class_}: ..."]
    lines += ["    @overload\n    def __getitem__(self, address: str | int) -> Any: ...", ""]
    return "\n".join(lines)


def effects_stub(cards: list[Card]) -> str:
    names: list[str] = []
    classes: list[str] = []
    for card in cards:
        for group in card.group:
            names.append(group.class_)
            classes.append(stub_class(group.class_, group.doc, "GroupItem", group.parameter, ()))
        names.append(card.class_)
        classes.append(stub_class(card.class_, card.purpose, "Effect", card.parameter, card.group, card.resource))
    body = "\n".join([*classes, addressed_stub(cards)])
    public = ", ".join(json.dumps(name) for name in names)
    return f"""# {GENERATED}
from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, overload

import numpy.typing as npt

from ..resources.network import ControlNetwork, Network
from ..resources.noise_network import NoiseNetwork
from ..resources.response import Response
from .effect import Effect, GroupItem

ResponseLike = Response | str | PathLike[str] | tuple[npt.ArrayLike, float]
NetworkLike = Network | str | PathLike[str]
ControlLike = ControlNetwork
NoiseLike = NoiseNetwork | str

__all__ = [{public}]
CLASSES: dict[str, type[Effect]]

{body}"""


def write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main(plugins: Path, out: Path) -> None:
    cards = read_cards(plugins)
    sweeps = sweeps_of(plugins, cards)
    units = {f"effect_{card.id}.cc": effect_unit(card) for card in cards}
    units |= {f"sweep_{sweep.identifier}.cc": sweep_unit(sweep) for sweep in sweeps}
    out.mkdir(parents=True, exist_ok=True)
    write_if_changed(out / "cards.h", cards_header(cards))
    write_if_changed(out / "cards_json.h", json_header(cards))
    write_if_changed(out / "registry.inc", registry(cards))
    write_if_changed(out / "sweeps.inc", "".join(f"TWINRACK_SWEEP({sweep.identifier})\n" for sweep in sweeps))
    write_if_changed(out / "effects.pyi", effects_stub(cards))
    for name, text in units.items():
        write_if_changed(out / name, text)
    write_if_changed(out / "units.txt", "".join(f"{name}\n" for name in units))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except CardError as error:
        sys.exit(f"error: {error}")
