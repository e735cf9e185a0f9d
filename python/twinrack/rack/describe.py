"""A rack as text: every value with its unit, what differs from the default marked, and where the values came from."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from .card import Group, Parameter, Value
from .effect import Effect
from .idle import idle
from .python_effect import PythonEffect
from .rack import Rack
from .tree import Chain, Parallel, Split

WIDTH = 80
MARK = "*"


def value_text(p: Parameter, value: Value) -> str:
    """A value as it is read: "-24 dB", "3:1" (an expander's "1:3"), "on", "rms"."""
    if p.kind == "switch":
        return "on" if value else "off"
    if p.kind == "choice":
        return str(value)
    number = f"{float(value):.6g}" if p.unit == "Hz" and abs(float(value)) >= 1000 else f"{float(value):.4g}"
    if p.id == "ratio":
        return f"{number}:1" if p.doc.startswith("dB in") else f"1:{number}"  # an expander's is dB out for one dB in
    return number if p.unit == "1" else f"{number} {p.unit}"


def describe(rack: Rack) -> str:
    """The whole rack: what sounds after what, and a table of values for each effect."""
    addresses = {id(effect): address for address, effect in rack.addresses().items()}
    lines = [f"rack {rack.name!r}: {order_text(rack.root, addresses) or 'empty, so the sound stays as it is'}"]
    if rack.sidechains:
        lines.append(f"sidechain inputs: {', '.join(rack.sidechains)}")
    for address, effect in rack.addresses().items():
        lines += ["", *effect_lines(address, effect)]
    if rack.addresses():
        lines += ["", f"{MARK} differs from the default, which stands behind it"]
    return "\n".join([*lines, *_provenance(rack.provenance)])


def order_text(item: Effect | Chain | Parallel, addresses: Mapping[int, str]) -> str:
    """Effects in their order, by the addresses that they have: a → (b | c → d) → e; a → crossover(b | c), where it splits.

    Args:
        item: an effect, Chain or Parallel.
        addresses: of its effects, by id.
    """
    if isinstance(item, Effect):
        return addresses[id(item)]
    if isinstance(item, Parallel):
        split = addresses[id(item.splitter)] if isinstance(item, Split) else ""
        return f"{split}({' | '.join(order_text(branch, addresses) or 'dry' for branch in item.branches)})"
    return " → ".join(order_text(child, addresses) for child in item.items)


def effect_lines(address: str, effect: Effect) -> Iterator[str]:
    """The name of an effect, and its values, one a line; group items that are in use, such as bands, follow."""
    if isinstance(effect, PythonEffect):
        yield f"{address} (a Python function): {effect!r}"
        return
    marks = [mark for mark in ("bypassed" if effect.bypass else "", f"listens to {effect.key}" if effect.key else "") if mark]
    yield f"{address} ({effect.card.name}){''.join(f', {mark}' for mark in marks)}"
    for name, resource in effect.resources.items():
        yield f"  {name}  {resource!r}"
    without = idle(effect.card, effect.values())
    values, unused = effect.values(), effect.unused()
    yield from _table(effect.card.parameters, values, effect, without, "")
    for group, _, prefix in effect.card.groups_of():
        item = {p.id: f"{prefix}.{p.id}" for p in group.parameters}
        if not unused.issuperset(item.values()):
            yield from _item_lines(group, prefix, {id: values[address] for id, address in item.items()}, without)


def _table(
    parameters: tuple[Parameter, ...], values: Mapping[str, Value], effect: Effect, without: set[str], prefix: str
) -> Iterator[str]:
    width = max((len(p.id) for p in parameters), default=0)
    for p in parameters:
        text, default = value_text(p, values[p.id]), value_text(p, effect.default(p.id))
        note = "   (does nothing here)" if f"{prefix}{p.id}" in without else ""
        changed = f" {MARK} (default {default})" if values[p.id] != effect.default(p.id) else ""
        yield f"  {p.id:<{width}}  {text}{changed}{note}"


def _item_lines(group: Group, prefix: str, values: Mapping[str, Value], without: set[str]) -> Iterator[str]:
    """A band: its values in a line or two, without those that do nothing."""
    parts = []
    for p in group.parameters:
        if f"{prefix}.{p.id}" not in without:
            mark = MARK if values[p.id] != p.default else ""
            parts.append(f"{p.id} {value_text(p, values[p.id])}{mark}")
    yield from textwrap.wrap(f"  {prefix}: {', '.join(parts)}", WIDTH, subsequent_indent="    ", break_long_words=False)


def _provenance(provenance: Mapping[str, Any]) -> Iterator[str]:
    held = provenance.get("held_out") or {}
    if held:
        yield f"\nfitted on {provenance.get('date', 'an unknown date')}; residual on held-out audio, re target:"
        for name, d in held.items():
            yield f"  {name:<8} {d['error_db']:7.1f} dB"
    for key, words in (
        ("not_determined", "not determined by the recording"),
        ("outside_expected", "outside the expected range"),
    ):
        if provenance.get(key):
            yield f"{words}: {', '.join(provenance[key])}"
