"""Equaliser presets as Equalizer APO, AutoEq and REW write them: a preamp and filters, one a line.

    Preamp: -6.2 dB
    Filter 1: ON PK Fc 105 Hz Gain -2.6 dB Q 0.70

Their filters are those of R. Bristow-Johnson's cookbook, which the equaliser's bilinear design is too.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

from ..disk import atomic, read_whole
from ..effects import Band, Gain, ParametricEQ
from ..rack import Rack
from .sections import Level, Section, sections_of

LARGEST = 1 << 20  # bytes of a preset
BANDS = 16
TYPES = {
    "PK": "bell", "PEQ": "bell", "MODAL": "bell", "LS": "low_shelf", "LSC": "low_shelf", "HS": "high_shelf",
    "HSC": "high_shelf", "LP": "high_cut", "LPQ": "high_cut", "HP": "low_cut", "HPQ": "low_cut", "NO": "notch",
    "BP": "band_pass", "AP": "all_pass",
}  # fmt: skip
WRITTEN = {
    "bell": "PK", "low_shelf": "LSC", "high_shelf": "HSC", "high_cut": "LPQ", "low_cut": "HPQ", "notch": "NO",
    "band_pass": "BP", "all_pass": "AP",
}  # fmt: skip
DEFAULT_Q = {"notch": 30.0}
GENTLE = 0.9  # shelf slope of the cookbook where a line says none
_NUMBER = r"([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
_FILTER = re.compile(r"filter\s*\d*\s*:\s*(on|off)\s*(.*)", re.IGNORECASE)
_PREAMP = re.compile(rf"preamp\s*:\s*{_NUMBER}\s*dB", re.IGNORECASE)
_REST = re.compile(
    rf"(?:\s+{_NUMBER}\s*dB)?\s+Fc\s+{_NUMBER}\s*Hz"
    rf"(?:\s+Gain\s+{_NUMBER}\s*dB)?(?:\s+(?:Q\s+{_NUMBER}|BW\s+Oct\s+{_NUMBER}|T60\s+target\s+{_NUMBER}.*))?",
    re.IGNORECASE,
)


def read_equalizer_apo(path: str | os.PathLike[str]) -> tuple[Rack, list[str]]:
    """Read a preset such as AutoEq's ParametricEQ.txt.

    Read are Preamp and the filters PK, PEQ, Modal, LS, HS, LSC, HSC, LP, LPQ, HP, HPQ, NO, BP and AP, with Q or, for bells, a
    bandwidth in octaves (exact far below half the sample rate). LSC and HSC name the middle of a shelf, LS and HS with a Q or
    slope its corner, from which the middle follows as in Equalizer APO. Filters that are OFF are left out.

    Returns:
        A rack of a gain (when there is a preamp) and as many equalisers of 16 bands as needed, of bilinear design; and what
        could not be carried, a sentence with the line each.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line that cannot be understood or whose value is out of range, or no filter at all; one sentence with
            file and line.
    """
    path = Path(path)
    preamp, bands, lost = 0.0, list[Band](), list[str]()
    known = False
    for n, line in enumerate(_text(path).splitlines(), 1):
        where = f"{path}, line {n}"
        words = line.strip()
        if not words or words.startswith(("#", "//", ";")):
            continue
        command = words.partition(":")[0].split(" ")[0].lower()
        if command == "preamp":
            found = _PREAMP.fullmatch(words)
            if not found:
                raise ValueError(f'{where}: {words[:60]!r} is no preamp; write it as "Preamp: -6.2 dB"')
            preamp, known = preamp + float(found[1]), True
        elif command == "filter":
            band = _band(words, where, lost)
            known = True
            if band is not None:
                bands.append(band)
        else:
            lost.append(f"{where}: {words[:60]!r} is left out, for only Preamp and Filter are read")
    if not known:
        raise ValueError(f"{path} holds neither Preamp nor Filter lines; give a preset of Equalizer APO or AutoEq")
    effects: list[Gain | ParametricEQ] = []
    if preamp:
        try:
            effects.append(Gain(gain_db=preamp))
        except ValueError as error:
            raise ValueError(f"{path}: the preamps add up to {preamp:g} dB: {error}") from None
    for first in range(0, len(bands), BANDS):
        effects.append(ParametricEQ(bands=bands[first : first + BANDS], warping="bilinear"))
    return Rack(effects, name=path.stem), lost


def _text(path: Path) -> str:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.is_dir() or path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is a folder, or larger than any preset; give a text file such as ParametricEQ.txt")
    data = read_whole(path, "preset", LARGEST)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _band(words: str, where: str, lost: list[str]) -> Band | None:
    """The filter of a line; None for one that is off or is not carried.

    Raises:
        ValueError: it cannot be understood, or a value is out of range.
    """
    line = _FILTER.fullmatch(words)
    if not line:
        raise ValueError(f'{where}: {words[:60]!r} is no filter; write "Filter 1: ON PK Fc 105 Hz Gain -2.6 dB Q 0.70"')
    name, _, rest = line[2].partition(" ")
    if line[1].lower() == "off" or name.lower() in ("", "none"):
        return None
    kind = TYPES.get(name.upper())
    if kind is None:
        lost.append(f"{where}: filter {name[:20]} is left out, for the equaliser has none such")
        return None
    found = _REST.fullmatch(" " + rest.strip())
    if not found:
        raise ValueError(
            f'{where}: {rest[:60]!r} cannot be understood after {name}; write it as "Fc 105 Hz Gain -2.6 dB Q 0.70"'
        )
    slope, frequency, gain, q, octaves, _ = (None if g is None else float(g) for g in found.groups())
    shelf = kind in ("low_shelf", "high_shelf")
    if gain is None and (shelf or kind == "bell"):
        raise ValueError(f"{where}: {name} has no gain; add Gain and dB")
    if (octaves is not None and (kind != "bell" or octaves <= 0)) or (slope is not None and (not shelf or slope <= 0)):
        raise ValueError(f"{where}: a bandwidth is for PK and a slope for shelves, and both are above 0; give Q instead")
    assert frequency is not None
    try:
        if shelf:
            frequency, q = _shelf(name.upper(), frequency, gain or 0.0, q, None if slope is None else slope / 12.0)
        elif octaves is not None:
            q = 1.0 / (2.0 * math.sinh(0.5 * math.log(2.0) * octaves))
        q = DEFAULT_Q.get(kind, math.sqrt(0.5)) if q is None else q
        given: dict[str, Any] = {"type": kind, "frequency_hz": frequency, "gain_db": gain or 0.0, "q": q}
        return Band(**given)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"{where}: {error}") from None


def _shelf(name: str, frequency: float, gain_db: float, q: float | None, slope: float | None) -> tuple[float, float]:
    """Middle and Q of a shelf from its middle or corner and its Q or slope S, as in the cookbook and Equalizer APO."""
    a = 10.0 ** (gain_db / 40.0)
    both = a + 1.0 / a
    corner = not name.endswith("C") and (q is not None or slope is not None)
    if q is None:
        slope = GENTLE if slope is None else slope
        square = both * (1.0 / slope - 1.0) + 2.0
        if square <= 0:
            raise ValueError(f"the slope {12 * slope:g} dB is too steep for a gain of {gain_db:g} dB; give a Q")
        q = 1.0 / math.sqrt(square)
    elif corner and q > 0:
        steepness = (1.0 / (q * q) - 2.0) / both + 1.0
        if steepness <= 0:
            raise ValueError(f"the Q {q:g} is too high for the corner of a gain of {gain_db:g} dB; give the middle, as {name}C")
        slope = 1.0 / steepness
    if corner and slope is not None:
        factor = 10.0 ** (abs(gain_db) / 80.0 / slope)
        frequency = frequency * factor if name == "LS" else frequency / factor
    return frequency, q


def write_equalizer_apo(rack: Rack, path: str | os.PathLike[str]) -> list[str]:
    """Write the equalisers and gains of a rack as a preset for Equalizer APO and its like.

    Gains become one preamp; steep cuts become several filters; bypassed equalisers are OFF.

    Returns:
        What could not be carried, one sentence each.

    Raises:
        OSError: the folder is missing, read-only or full.
    """
    found, lost = sections_of(rack)
    preamp = 0.0
    lines: list[str] = []
    for item in found:
        if isinstance(item, Level):
            preamp += item.gain_db
            if item.balance or item.polarity != "normal":
                lost.append("balance and polarity of a gain are left out, which a preset cannot say")
        else:
            lines.append(f"Filter {len(lines) + 1}: {_line(item)}")
    path = Path(path)
    with atomic(path) as beside:
        beside.write_text("\n".join([f"Preamp: {preamp:.10g} dB", *lines]) + "\n", encoding="utf-8")
    return lost


def _line(section: Section) -> str:
    gain = f" Gain {section.gain_db:.10g} dB" if section.kind in ("bell", "low_shelf", "high_shelf") else ""
    state = "ON" if section.on else "OFF"
    return f"{state} {WRITTEN[section.kind]} Fc {section.frequency_hz:.10g} Hz{gain} Q {section.q:.10g}"
