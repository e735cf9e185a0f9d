"""Configurations of Peace (.peace), an editor for Equalizer APO, as the lines that they stand for.

They are sections of numbered sliders: frequencies, gains, qualities and filter types for speaker 0, and again with the number
of each further speaker.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

TYPES = (
    "PK", "LPQ", "HPQ", "BP", "LS", "HS", "NO", "AP", None, None, None, None, None, None, "LSC", "HSC", "LS", "HS",
)  # fmt: skip
WITHOUT_GAIN = ("LPQ", "HPQ", "BP", "NO", "AP")
SPEAKERS = ("all", "L", "R", "C", "SUB", "RL", "RR", "SL", "SR", "RC")
_SAID = {"description", "preamp", "graphiceq", "hotkey"}


def peace_lines(lines: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """The lines for Equalizer APO, and what is left out, a sentence each without its file; None for another kind of file."""
    sections: dict[str, dict[str, str]] = {}
    now: dict[str, str] = {}
    for line in lines:
        head = re.fullmatch(r"\s*\[(\w+)\]\s*", line)
        if head:
            now = sections.setdefault(head[1].lower(), {})
        elif sections:
            key, equals, value = line.partition("=")
            if equals:
                now[key.strip().lower()] = value.strip()
    if "frequencies" not in sections:
        return None
    general, speakers = sections.get("general", {}), sections.get("speakers", {})
    commands: list[str] = []
    lost = [f"[{name.capitalize()}] is left out" for name in ("commands", "effects", "surround") if sections.get(name)]
    lost += [f"{key[:40]!r} is left out" for key in general if re.sub(r"\d+$", "", key) not in _SAID]
    for number in range(max(len(SPEAKERS), 1 + len(speakers) // 3)):
        suffix = str(number or "")
        default = SPEAKERS[number] if number < len(SPEAKERS) and not speakers else ""
        target = speakers.get(f"speakertargets{number}", default)
        gained = _sliders(sections, suffix, general.get("graphiceq", "0") == "1", lost)
        preamp = general.get(f"preamp{suffix}")
        if preamp:
            gained.insert(0, f"Preamp: {preamp} dB")
        if "=" in target:
            commands.append(f"Copy: {target}")
            target = " ".join(word.partition("=")[0] for word in target.split())
        if gained and target:
            commands += [f"Channel: {target}", *gained]
    return commands, lost


def _sliders(sections: dict[str, dict[str, str]], suffix: str, graphic: bool, lost: list[str]) -> list[str]:
    """The filters of a speaker, or its curve."""
    part = [sections.get(name + suffix, {}) for name in ("frequencies", "gains", "qualities", "filters")]
    frequencies, gains, qualities, types = part
    numbers = sorted(int(key[9:]) for key in frequencies if re.fullmatch(r"frequency\d{1,4}", key))
    if graphic:
        nodes = [f"{frequencies[f'frequency{n}']} {gains.get(f'gain{n}', '0')}" for n in numbers]
        return [f"GraphicEQ: {'; '.join(nodes)}"] if gains else []
    commands = []
    for n in numbers:
        code = types.get(f"filter{n}", "0")
        kind = TYPES[int(code)] if code.isdecimal() and int(code) < len(TYPES) else None
        gain, q = gains.get(f"gain{n}", "0"), qualities.get(f"quality{n}", "1.41")
        if kind is None:
            speaker = f" of speaker {suffix}" if suffix else ""
            lost.append(f"slider {n}{speaker} is left out: the equaliser has none of its filter type {code[:10]!r}")
        elif kind in WITHOUT_GAIN:
            commands.append(f"Filter: ON {kind} Fc {frequencies[f'frequency{n}']} Hz Q {q}")
        elif gain.strip("0.,-+ "):
            width = f" Q {q}" if code in ("0", "14", "15", "16", "17") else ""
            commands.append(f"Filter: ON {kind} Fc {frequencies[f'frequency{n}']} Hz Gain {gain} dB{width}")
    return commands
