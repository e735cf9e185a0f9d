"""Checks of values given by a user, and the sentences that refuse them.

A message repeats a value on one line, cut to `SHOWN` characters, with control characters escaped.
"""

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
    """Text that is safe to print: control characters, marks of writing direction and halves of surrogate pairs become
    escapes such as \\x1b.

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
    """A value as messages repeat it: its repr on one line, cut to `most` characters."""
    if isinstance(value, np.generic):
        value = value.item()
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
    except Exception:  # an object of somebody else may raise anything there
        text = f"a {type(value).__name__}"
    text = re.sub(r"\s+", " ", visible(text, lines=False))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def must_be(name: str, wanted: str, value: object) -> ValueError:
    """The error for a value of the wrong kind: "steps must be an integer of at least 1, got 0"."""
    return ValueError(f"{name} must be {wanted}, got {brief(value)}")


def count_nan(x: npt.NDArray[Any]) -> int:
    """How many numbers of an array are NaN or infinity."""
    return int(x.size - np.count_nonzero(np.isfinite(x)))


def nan_in(count: int, unit: str = "sample") -> str:
    """How messages name numbers that are NaN or infinity: "NaN or infinity in 6 samples"."""
    return f"NaN or infinity in {count} {unit}{'' if count == 1 else 's'}"


def check_integer(value: object, name: str, least: int, most: int | None = None) -> int:
    """An integer, Python's or NumPy's, as Python's.

    Raises:
        ValueError: not an integer from `least` to `most`; "{name} must be an integer of at least 1, got 0".
    """
    wanted = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    try:
        if isinstance(value, bool | np.bool_) or (isinstance(value, np.ndarray) and value.ndim):
            raise TypeError
        integer = operator.index(value)  # type: ignore[arg-type]
    except Exception:  # an object of somebody else may raise anything there
        raise must_be(name, wanted, value) from None
    if integer < least or (most is not None and integer > most):
        raise must_be(name, wanted, integer)
    return integer


def check_number(value: object, name: str, least: float | None = None, most: float | None = None) -> float:
    """A number, Python's or NumPy's, as a float.

    Raises:
        ValueError: not a number, NaN, infinity, or outside the range; "{name} must be a number from 0 to 1, got 2".
    """
    if least is not None and most is not None:
        wanted = f"a number from {least:g} to {most:g}"
    elif least is not None:
        wanted = f"a number of at least {least:g}"
    else:
        wanted = "a number" if most is None else f"a number of at most {most:g}"
    number = to_float(value)
    if number is None or not math.isfinite(number):
        raise must_be(name, wanted, value)
    if (least is not None and number < least) or (most is not None and number > most):
        raise must_be(name, wanted, value)
    return number


def check_numbers(value: object, name: str) -> npt.NDArray[np.float32]:
    """Numbers as an array in single precision; what is too large becomes infinity.

    Raises:
        ValueError: not numbers, or lists of different lengths.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array(value, np.float32)
    except Exception:  # an object of somebody else may raise anything there
        raise must_be(name, "numbers, in lists of equal lengths", value) from None


def check_text(value: object, name: str) -> str:
    """Text.

    Raises:
        ValueError: anything else; "{name} must be text, got 3".
    """
    if isinstance(value, str):
        return value
    raise must_be(name, "text", value)


def to_float(value: object) -> float | None:
    """A value as a float; None for text, lists, arrays of several numbers, and integers beyond double precision."""
    if isinstance(value, str | bytes | bytearray) or (isinstance(value, np.ndarray) and value.ndim):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except Exception:  # an object of somebody else may raise anything there
        return None


def is_integer(value: Any) -> TypeIs[int]:
    """Whether a value is an integer, Python's or NumPy's; True and False are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> TypeIs[float]:
    """Whether a value is a real number, Python's or NumPy's; True and False are not."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
