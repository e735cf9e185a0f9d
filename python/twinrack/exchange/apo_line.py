"""One line of a preset: its numbers in any locale, its filter as Equalizer APO computes it.

The formulas are those of R. Bristow-Johnson's cookbook: Q, bandwidth in octaves at bilinear warping, shelf slope S. LS and HS
with a Q or slope name a corner, from which the middle follows; LSC, HSC and REW's LSQ, HSQ name the middle.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..rack.card import Parameter
from ..rack.effect import CLASSES

TYPES = {
    "PK": "bell", "PEQ": "bell", "MODAL": "bell", "LS": "low_shelf", "LSC": "low_shelf", "LSQ": "low_shelf",
    "HS": "high_shelf", "HSC": "high_shelf", "HSQ": "high_shelf", "LP": "high_cut", "LPQ": "high_cut", "HP": "low_cut",
    "HPQ": "low_cut", "NO": "notch", "BP": "band_pass", "AP": "all_pass",
}  # fmt: skip
WITH_GAIN = ("bell", "low_shelf", "high_shelf")
SHELVES = ("low_shelf", "high_shelf")
DEFAULT_Q = {"notch": 30.0, "high_cut": math.sqrt(0.5), "low_cut": math.sqrt(0.5), "band_pass": math.sqrt(0.5)}
GENTLE = 0.9  # shelf slope S of the cookbook where a line says none
BELOW_NYQUIST = 0.49  # of the sample rate, up to which the equaliser is what the cookbook is
LONGEST = 1000  # characters of a filter that are read
_HIGHEST_HZ = 24000.0  # "31.250 Hz" as thousands would be above it: it is a decimal number
_SMALL, _LARGE = 1e-3, 1e6  # far outside the equaliser's ranges, and still safe to compute with
_NUMBER = r"([-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[-+]?\d+)?)"
_GROUPED = r"([-+]?[.,]?\d[\d.,'’\s]*(?:e[-+]?\d+)?)"
_TYPE = re.compile(r"\s*(on|off)\b\s*([a-z]*)(\d*)", re.IGNORECASE)
_WORDS = {
    "Fc": re.compile(rf"(?:^|\s)Fc\s*{_GROUPED}\s*H\s*z", re.IGNORECASE),
    "Gain": re.compile(rf"(?:^|\s)Gain\s*{_NUMBER}\s*dB", re.IGNORECASE),
    "Q": re.compile(rf"(?:^|\s)Q\s*{_NUMBER}", re.IGNORECASE),
    "BW Oct": re.compile(rf"(?:^|\s)BW\s+Oct\s*{_NUMBER}", re.IGNORECASE),
    "slope": re.compile(rf"^\s*{_NUMBER}\s*dB", re.IGNORECASE),
}
_LEVEL = re.compile(rf"\s*{_NUMBER}", re.IGNORECASE)
_TIME = re.compile(rf"\s*{_NUMBER}\s*(ms|samples)\b", re.IGNORECASE)
_IIR = re.compile(r"\s*ON\s+IIR\b.*?\bOrder\s+(\d+)(.*)", re.IGNORECASE)
_NODE = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


class LeftOutError(ValueError):
    """A line that is not carried; says why, without its place."""


@dataclass(frozen=True, eq=False)
class Filter:
    """A band of bilinear design, within the equaliser's ranges: `kind` as its bands are called; Hz, dB, Q."""

    kind: str
    frequency_hz: float
    gain_db: float
    q: float


def filter_of(text: str, sample_rate: float, notes: list[str]) -> Filter | None:
    """The filter of a line, from the words after its colon; None for one that is off or of type None.

    Args:
        sample_rate: Hz at which a bandwidth in octaves means what it means in Equalizer APO.
        notes: gets what is played otherwise than written, a sentence each, without its place.

    Raises:
        LeftOutError: it plays nothing in Equalizer APO either, or cannot be said by the equaliser.
    """
    text = text[:LONGEST].replace("\N{MINUS SIGN}", "-")
    head = _TYPE.match(text)
    if not head:
        raise LeftOutError('a filter is ON or OFF; write "Filter 1: ON PK Fc 105 Hz Gain -2.6 dB Q 0.70"')
    name = head[2].upper()
    if head[1].lower() == "off" or name in ("", "NONE"):
        return None
    kind = TYPES.get(name)
    if kind is None:
        raise LeftOutError(f"the equaliser has no filter of type {head[2][:20]}")
    if head[3] and name in ("LP", "HP"):
        notes.append(f"{name}{head[3][:3]} is played with 12 dB per octave, as Equalizer APO does; REW's falls by 6")
    found = {word: pattern.search(text[head.end() :]) for word, pattern in _WORDS.items()}
    said = {word: plain_number(match[1]) for word, match in found.items() if match and word != "Fc"}
    if found["Fc"] is None:
        raise LeftOutError(f'{name} has no frequency; write it as "Fc 105 Hz"')
    frequency = frequency_of(found["Fc"][1], sample_rate, notes)
    gain = said.get("Gain", 0.0) if kind in WITH_GAIN else 0.0
    if kind in WITH_GAIN and "Gain" not in said:
        raise LeftOutError(f'{name} has no gain, so that it plays nothing; add "Gain -2.6 dB"')
    width = said.get("BW Oct", 0.0) if kind not in SHELVES else 0.0
    slope = said.get("slope", 0.0) if kind in SHELVES else 0.0
    q = 0.0 if slope else said.get("Q", 0.0)
    if frequency <= 0 or min(width, slope, q) < 0:
        raise LeftOutError("a frequency, Q, bandwidth or slope is above 0")
    frequency = _below_nyquist(max(frequency, _SMALL), sample_rate, notes)
    gain = _held("gain_db", gain, notes)
    width, slope, q = (min(max(v, _SMALL), _LARGE) if v else 0.0 for v in (width, slope, q))
    if kind in SHELVES:
        frequency, q = _shelf(name, frequency, gain, q, slope / 12.0)
    elif width:
        turn = 2.0 * math.pi * frequency / sample_rate
        q = 0.5 / math.sinh(min(0.5 * math.log(2.0) * width * turn / math.sin(turn), 300.0))
    elif not q:
        if kind not in DEFAULT_Q:
            raise LeftOutError(
                f'{name} has no Q and no bandwidth, so that it plays nothing in Equalizer APO either; add "Q 0.70"'
            )
        q = DEFAULT_Q[kind]
    return Filter(kind, _held("frequency_hz", frequency, notes), gain, _held("q", q, notes))


def _below_nyquist(frequency: float, sample_rate: float, notes: list[str]) -> float:
    highest = min(BELOW_NYQUIST * sample_rate, _range("frequency_hz").max)
    if frequency <= highest or BELOW_NYQUIST * sample_rate >= frequency:
        return frequency
    place = "at or above half" if frequency >= sample_rate / 2 else f"above {BELOW_NYQUIST:g}"
    notes.append(f"Fc {frequency:g} Hz is {place} of the sample rate {sample_rate:g} Hz and is moved to {highest:g} Hz")
    return highest


def _range(name: str) -> Parameter:
    return next(p for p in CLASSES["parametric_eq"].card.groups[0].parameters if p.id == name)


def _held(name: str, value: float, notes: list[str]) -> float:
    """A value within the range of the equaliser's bands."""
    p = _range(name)
    within = min(max(value, p.min), p.max)
    if within != value:
        word, unit = {"frequency_hz": ("Fc", " Hz"), "gain_db": ("Gain", " dB"), "q": ("Q", "")}[name]
        notes.append(f"{word} {value:.6g}{unit} is played as {within:g}{unit}, the equaliser's limit")
    return within


def _shelf(name: str, frequency: float, gain_db: float, q: float, slope: float) -> tuple[float, float]:
    """Middle and Q of a shelf from its middle or corner and its Q or slope S; 0 where it has none."""
    a = 10.0 ** (gain_db / 40.0)
    both = a + 1.0 / a
    corner = name in ("LS", "HS") and (q > 0 or slope > 0)
    if q:
        steepness = (1.0 / (q * q) - 2.0) / both + 1.0
    else:
        steepness = 1.0 / (slope or GENTLE)
        square = both * (steepness - 1.0) + 2.0
        if square <= 0:
            raise LeftOutError(f"the slope {12 * slope:g} dB is too steep for a gain of {gain_db:g} dB; give a Q")
        q = 1.0 / math.sqrt(square)
    if corner:
        factor = 10.0 ** max(-300.0, min(300.0, abs(gain_db) / 80.0 * steepness))
        frequency = frequency * factor if name == "LS" else frequency / factor
    return frequency, q


def plain_number(text: str) -> float:
    """A number with a point or a comma before its decimals.

    Raises:
        LeftOutError: infinity.
    """
    found = float(text.replace(",", "."))
    if not math.isfinite(found):
        raise LeftOutError(f"{text[:20]} is infinity")
    return found


def frequency_of(text: str, sample_rate: float, notes: list[str]) -> float:
    """Hz, with spaces, points, commas or apostrophes between thousands: three digits after a single point are thousands, as
    REW writes them and Equalizer APO reads them, where that is a frequency that can be heard."""
    text = re.sub(r"[\s'’]", "", text)
    marks = re.findall(r"[.,]", text)
    if len(set(marks)) == 2:  # the last one is the decimal mark
        head, _, tail = text.rpartition(marks[-1])
        return plain_number(re.sub(r"[.,]", "", head) + "." + tail)
    grouped = re.fullmatch(r"[-+]?[1-9]\d{0,2}(?:[.,]\d{3})+", text)
    if len(marks) > 1 and not grouped:
        raise LeftOutError(f"{text[:20]!r} is no frequency")
    if not grouped:
        return plain_number(text)
    thousands = plain_number(re.sub(r"[.,]", "", text))
    if len(marks) == 1 and thousands > max(_HIGHEST_HZ, sample_rate / 2):
        decimal = plain_number(text)
        notes.append(f"Fc {text[:20]} Hz is read as {decimal:g} Hz, for as thousands it could not be heard")
        return decimal
    return thousands


def level_of(text: str) -> float:
    """dB of a preamp.

    Raises:
        LeftOutError: there is no number.
    """
    found = _LEVEL.match(text[:LONGEST].replace("\N{MINUS SIGN}", "-"))
    if not found:
        raise LeftOutError('a preamp is a number of dB; write "Preamp: -6.2 dB"')
    return plain_number(found[1])


def delay_of(text: str, sample_rate: float) -> int:
    """Frames of a delay in ms or samples.

    Raises:
        LeftOutError: there is neither, or it is below 0.
    """
    found = _TIME.match(text[:LONGEST])
    if not found or plain_number(found[1]) < 0:
        raise LeftOutError('a delay is a time from 0 on; write "Delay: 10 ms" or "Delay: 480 samples"')
    length = min(plain_number(found[1]), _LARGE * _LARGE)
    return int(length * sample_rate / 1000.0 + 0.5 if found[2].lower() == "ms" else length + 0.5)


def coefficients_of(text: str) -> tuple[list[float], list[float]] | None:
    """Numerator and denominator of an IIR filter; None for a line that is none.

    Raises:
        LeftOutError: their count is not that of the order.
    """
    found = _IIR.match(text[:LONGEST])
    if not found:
        return None
    numbers = [plain_number(n) for n in re.findall(_NUMBER, found[2], re.IGNORECASE)]
    count = int(found[1][:4]) + 1
    if count < 2 or len(numbers) != 2 * count:
        raise LeftOutError('write an IIR of order 2 as "ON IIR Order 2 Coefficients b0 b1 b2 a0 a1 a2"')
    return numbers[:count], numbers[count:]


def nodes_of(text: str) -> list[tuple[float, float]]:
    """The points of a GraphicEQ, (Hz, dB), lowest first. Commas are decimal marks where the line has no point.

    Raises:
        LeftOutError: there is no point above 0 Hz.
    """
    text = text.replace("\N{MINUS SIGN}", "-")
    if "." not in text:
        text = text.replace(",", ".")
    numbers = [float(n) for n in _NODE.findall(text)]
    pairs = zip(numbers[::2], numbers[1::2], strict=False)
    found = sorted({hz: db for hz, db in pairs if 0 < hz < math.inf and math.isfinite(db)}.items())
    if not found:
        raise LeftOutError('a GraphicEQ is points of Hz and dB; write "GraphicEQ: 20 -1.2; 1000 0; 20000 3"')
    return found
