"""Equaliser presets as Equalizer APO, REW, AutoEq and Peace write them: a preamp and filters, one a line.

    Preamp: -6.2 dB
    Filter 1: ON PK Fc 105 Hz Gain -2.6 dB Q 0.70

Their filters are those of R. Bristow-Johnson's cookbook, which the equaliser's bilinear design is too.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from ..audio import check_rate
from ..rack.rack import Rack
from ..system.disk import atomic
from .apo_reader import STAGES, Reader, text_lines
from .apo_routes import rack_of
from .peace import peace_lines
from .sections import Level, Section, sections_of

WRITTEN = {
    "bell": "PK", "low_shelf": "LSC", "high_shelf": "HSC", "high_cut": "LPQ", "low_cut": "HPQ", "notch": "NO",
    "band_pass": "BP", "all_pass": "AP",
}  # fmt: skip
OTHERWISE = "give a preset of Equalizer APO, REW, AutoEq or Peace"
CHANNELS = {"all": "all", "left": "L", "right": "R"}


def read_equalizer_apo(
    path: str | os.PathLike[str], *, sample_rate: float = 48000.0, device: str = "", stage: str = "post-mix"
) -> tuple[Rack, list[str]]:
    """Read a preset: AutoEq's ParametricEQ.txt and GraphicEQ.txt, REW's exported filters, Equalizer APO's or Peace's own.

    Lines are understood as Equalizer APO does: numbers with decimal commas and separated thousands, words in any order, text
    around them; lines that say nothing are passed over. Filters are PK, PEQ, Modal, LS, HS, LSC, HSC, LP, LPQ, HP, HPQ, NO, BP
    and AP, with Q, a bandwidth in octaves or a slope. Include, If, Eval, Channel, Device, Stage and Copy decide what a line
    acts on; what they exclude is not played. A GraphicEQ becomes a convolution with a response of minimum phase: from 20 Hz to
    0.45 of the sample rate within 0.1 dB of its curve where that has up to 12 dB an octave, within 0.4 dB where it is steeper.
    IIR filters, Delay and Convolution become convolutions too. The rack is for mono and stereo: where the preamps of left and
    right differ, a mono sound has the louder; where a Copy mixes channels, it needs stereo.

    Args:
        sample_rate: Hz for which bandwidths in octaves, GraphicEQ, IIR and Delay are exact, 8000 to 192000. A filter above
            0.49 of it is moved there.
        device: name of the device that is played on, for Device lines; those for a device are left out where none is given.
        stage: "post-mix", "pre-mix" or "capture", for Stage lines.

    Returns:
        A rack of gains, as many equalisers of 16 bands as needed, of bilinear design, and convolutions; and what is left out
        or played otherwise than written, a sentence with the line each.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: nothing in it can be used, or its preamps add up to more than 100 dB; one sentence with the file.
    """
    path = Path(path)
    if stage not in STAGES:
        raise ValueError(f"stage = {stage!r} is none of {', '.join(STAGES)}")
    reader = Reader(check_rate(sample_rate), device, stage)
    lines = text_lines(path)
    sliders = peace_lines(lines)
    if sliders is None:
        reader.read(path, lines)
    else:
        reader.read(path, sliders[0], as_written=False)
    lost = [f"{path}: {sentence}" for sentence in (sliders[1] if sliders else [])] + reader.lost
    if not reader.used:
        why = lost[0].removeprefix(f"{path}, ").removeprefix(f"{path}: ") if lost else OTHERWISE
        raise ValueError(f"{path} has no Preamp, Filter or GraphicEQ line that can be used; {why}")
    try:
        rack = rack_of(reader.channels["L"], reader.channels["R"], reader.sample_rate, reader.order, path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return rack, lost


def write_equalizer_apo(rack: Rack, path: str | os.PathLike[str]) -> list[str]:
    """Write the equalisers and gains of a rack as a preset for Equalizer APO and its like.

    Gains become one preamp, balance and polarity those of left and right; steep cuts become several filters; bypassed
    equalisers are OFF.

    Returns:
        What could not be carried, one sentence each.

    Raises:
        OSError: the folder is missing, read-only or full.
    """
    sections, lost = sections_of(rack)
    levels = [item for item in sections if isinstance(item, Level)]
    lines = [f"Preamp: {sum((level.gain_db for level in levels), 0.0):.10g} dB"]
    factors = [math.prod(level.factor(side) for level in levels) for side in (0, 1)]
    for name, factor in zip("LR", factors, strict=True):
        if abs(factor) not in (0.0, 1.0):
            lines += [f"Channel: {name}", f"Preamp: {20.0 * math.log10(abs(factor)):.10g} dB", "Channel: all"]
    turned = [f"{name}={'-1.0*' + name if f else '0.0'}" for name, f in zip("LR", factors, strict=True) if f <= 0.0]
    if turned:
        lines.append(f"Copy: {' '.join(turned)}")
    channel = "all"
    for number, item in enumerate((item for item in sections if isinstance(item, Section)), 1):
        if item.channel != channel:
            channel = item.channel
            lines.append(f"Channel: {CHANNELS[channel]}")
        lines.append(f"Filter {number}: {_line(item)}")
    path = Path(path)
    with atomic(path) as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lost


def _line(section: Section) -> str:
    gain = f" Gain {section.gain_db:.10g} dB" if section.kind in ("bell", "low_shelf", "high_shelf") else ""
    state = "ON" if section.on else "OFF"
    return f"{state} {WRITTEN[section.kind]} Fc {section.frequency_hz:.10g} Hz{gain} Q {section.q:.10g}"
