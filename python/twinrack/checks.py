"""What messages say about values that somebody gave: short, on one line, and nothing that a terminal would obey."""

from __future__ import annotations

import math
import operator
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import TypeIs

SHOWN = 60  # characters of a value that a message repeats


def visible(text: str, lines: bool = True) -> str:
    """Text in which nothing steers a terminal: control characters, marks of writing direction and halves of surrogate pairs
    are written as escapes such as \\x1b.

    Args:
        lines: keep line breaks and tabs.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c in "\n\t") else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    code = ord(c)
    if c.isspace() and code > 0x7F and c not in "\x85\u2028\u2029":
        return c  # wide and narrow spaces, which isprintable refuses
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def brief(value: object, most: int = SHOWN) -> str:
    """A value as messages repeat it: its repr on one line, cut to `most` characters, whatever it is."""
    if isinstance(value, str | bytes) and len(value) > most:
        value = value[:most]
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"an integer of {int(value.bit_length() * math.log10(2)) + 1} digits"
    elif isinstance(value, np.ndarray) and (value.size != 1 or isinstance(value, np.ma.MaskedArray)):
        return f"an array of shape {value.shape}"
    elif isinstance(value, list | tuple | dict | set | frozenset) and len(value) > most:
        return f"a {type(value).__name__} of {len(value)}"
    try:
        text = repr(value)
    except Exception:  # whatever an object of somebody else does there
        text = f"a {type(value).__name__}"
    text = re.sub(r"\s+", " ", visible(text, lines=False))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def whole_number(value: object, name: str, least: int, most: int | None = None) -> int:
    """A count that somebody gave, also as one of NumPy's integers.

    Raises:
        ValueError: it is no integer in that range; one sentence that begins with `name`.
    """
    wanted = f"from {least} on" if most is None else f"from {least} to {most}"
    try:
        if isinstance(value, bool | np.bool_) or (isinstance(value, np.ndarray) and value.ndim):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except Exception:  # an object of somebody else may raise anything there
        raise ValueError(f"{name} = {brief(value)} is no whole number {wanted}") from None
    if number < least or (most is not None and number > most):
        raise ValueError(f"{name} = {brief(number)} is no whole number {wanted}")
    return number


def real_number(value: object, name: str, least: float | None = None, most: float | None = None) -> float:
    """A number that somebody gave, also as one of NumPy's scalars.

    Raises:
        ValueError: it is no number, NaN, infinity, or outside the range; one sentence that begins with `name`.
    """
    if least is not None and most is not None:
        wanted = f"a number from {least:g} to {most:g}"
    elif least is not None:
        wanted = f"a number of at least {least:g}"
    else:
        wanted = "a number" if most is None else f"a number of at most {most:g}"
    number = to_float(value)
    if number is None or not math.isfinite(number):
        raise ValueError(f"{name} = {brief(value)} must be {wanted}")
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name} = {number:g} must be {wanted}")
    return number


def numbers_of(value: object, name: str) -> npt.NDArray[np.float32]:
    """Numbers that somebody gave, in single precision; what is too large becomes infinity.

    Raises:
        ValueError: they are no numbers, or lists of different lengths; one sentence that begins with `name`.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array(value, np.float32)
    except Exception:  # an object of somebody else may raise anything there
        raise ValueError(f"{name} = {brief(value)} must be numbers that fit, in lists of the same lengths") from None


def to_float(value: object) -> float | None:
    """A value as a float, and None where it is no number: text, lists, arrays of several, or too large."""
    if isinstance(value, str | bytes | bytearray) or (isinstance(value, np.ndarray) and value.ndim):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except Exception:  # an object of somebody else may raise anything there
        return None


def is_integer(value: Any) -> TypeIs[int]:
    """Whether a value is an integer, Python's or NumPy's; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> TypeIs[float]:
    """Whether a value is a real number, Python's or NumPy's; True and False are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
