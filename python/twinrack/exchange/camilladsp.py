"""A rack's equalisers and gains as a configuration for CamillaDSP 3: filters by name, and the pipeline through them."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

from ..checks import check_integer
from ..rack.rack import Rack
from ..system.disk import atomic
from .sections import Level, Section, sections_of

TYPES = {
    "bell": "Peaking", "low_shelf": "Lowshelf", "high_shelf": "Highshelf", "high_cut": "Lowpass", "low_cut": "Highpass",
    "notch": "Notch", "band_pass": "Bandpass", "all_pass": "Allpass",
}  # fmt: skip
Value = float | str | bool
_MOST_CHANNELS = 16


def write_camilladsp(rack: Rack, path: str | os.PathLike[str], *, channels: int = 2) -> list[str]:
    """Write the sections `filters` and `pipeline` of a CamillaDSP configuration; its `devices` are the machine's own.

    Each band is a Biquad (steep cuts are several) on the channels that it acts on, each gain a Gain; where balance or polarity
    differ between left (even) and right (odd) channels, one for each side. Bypassed effects are left out.

    Args:
        channels: how many audio channels the pipeline has, 1 to 16.

    Returns:
        What could not be carried, one sentence each.

    Raises:
        ValueError: a number of channels that is none.
        OSError: the folder is missing, read-only or full.
    """
    channels = check_integer(channels, "channels", 1, _MOST_CHANNELS)
    found, lost = sections_of(rack)
    filters: dict[str, tuple[str, dict[str, Value]]] = {}
    steps: list[tuple[list[int], list[str]]] = []

    def step(where: list[int], name: str, kind: str, parameters: dict[str, Value]) -> None:
        filters[name] = (kind, parameters)
        if steps and steps[-1][0] == where:
            steps[-1][1].append(name)
        else:
            steps.append((where, [name]))

    everywhere = list(range(channels))
    for item in found:
        number = len(filters) + 1
        if isinstance(item, Section):
            if item.on:
                place = {"all": everywhere, "left": everywhere[:1], "right": everywhere[1:2]}[item.channel]
                if place:
                    step(place, f"band_{number}", "Biquad", _biquad(item))
            continue
        sides = [_gain(item, side if channels > 1 else None) for side in (0, 1)]
        if sides[0] == sides[1]:
            step(everywhere, f"gain_{number}", "Gain", sides[0])
        else:
            for side, name in ((0, "left"), (1, "right")):
                step(everywhere[side::2], f"gain_{number}_{name}", "Gain", sides[side])
    path = Path(path)
    with atomic(path) as beside:
        beside.write_text(_yaml(filters, steps), encoding="utf-8")
    return lost


def _biquad(section: Section) -> dict[str, Value]:
    found: dict[str, Value] = {"type": TYPES[section.kind], "freq": section.frequency_hz, "q": section.q}
    if section.kind in ("bell", "low_shelf", "high_shelf"):
        found["gain"] = section.gain_db
    return found


def _gain(level: Level, side: int | None) -> dict[str, Value]:
    """A gain for the left (0) or right (1) channels, or for a single one, which has no balance."""
    if side is None:
        level = replace(level, balance=0.0)
    factor = level.factor(side or 0)
    gain = level.gain_db + (20.0 * math.log10(abs(factor)) if factor else 0.0)
    return {"gain": gain, "scale": "dB", "inverted": math.copysign(1.0, factor) < 0, "mute": not factor}


def _yaml(filters: dict[str, tuple[str, dict[str, Value]]], steps: list[tuple[list[int], list[str]]]) -> str:
    """Text of so little structure that its scalars are those of JSON."""
    lines = ["filters:" if filters else "filters: {}"]
    for name, (kind, parameters) in filters.items():
        lines += [f"  {name}:", f"    type: {kind}", "    parameters:"]
        lines += [f"      {key}: {_scalar(value)}" for key, value in parameters.items()]
    lines.append("pipeline:" if steps else "pipeline: []")
    for channels, names in steps:
        lines += ["  - type: Filter", f"    channels: {json.dumps(channels)}", f"    names: [{', '.join(names)}]"]
    return "\n".join(lines) + "\n"


def _scalar(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    text = repr(float(value))
    return text if "e" not in text else f"{value:.17f}".rstrip("0") + "0"
