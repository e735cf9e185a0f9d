"""Expressions of Equalizer APO, in conditions, in Eval and between backquotes: numbers, texts and truth values in three-valued
logic, so that what depends on something that is not known here (a device's name, the registry) is UNKNOWN and never guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from enum import Enum


class Unknown(Enum):
    """The one value that stands for what is not known here."""

    VALUE = "unknown"


UNKNOWN = Unknown.VALUE
Value = float | bool | str | Unknown
_LONGEST = 1000  # characters
_DEEPEST = 50  # brackets and signs within one another
_MOST_BITS = 1 << 31
_TOKEN = re.compile(
    r'\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|"(?P<text>[^"]*)"|(?P<name>[A-Za-z_]\w*)'
    r"|(?P<sign>==|!=|<=|>=|<<|>>|&&|\|\||\+=|-=|\*=|/=|[-+*/^()<>=!&|?:,]))"
)
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs, "sqrt": math.sqrt, "exp": math.exp, "ln": math.log, "log": math.log10, "log10": math.log10, "log2": math.log2,
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "min": min, "max": max, "floor": math.floor, "ceil": math.ceil,
}  # fmt: skip
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "pi": math.pi, "e": math.e}


def truth(value: Value) -> bool | None:
    """Whether a condition holds: a number but 0, a text but the empty one, "0" and "false"; None where it is not known."""
    if isinstance(value, Unknown):
        return None
    if isinstance(value, str):
        return value not in ("", "0", "false")
    return bool(value) and value == value


def written(value: Value) -> str:
    """A known value as it stands in a line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.10g}"


def evaluate(text: str, variables: dict[str, Value]) -> Value:
    """The value of an expression; assignments go into `variables`. UNKNOWN where it cannot be understood or computed."""
    assigned = re.match(r"\s*([A-Za-z_]\w*)\s*[-+*/]?=(?!=)", text)
    try:
        return _Parser(text, variables).whole()
    except (ValueError, ArithmeticError, TypeError):
        if assigned:
            variables[assigned[1]] = UNKNOWN
        return UNKNOWN


class _Parser:
    """Recursive descent, loosest operator first."""

    def __init__(self, text: str, variables: dict[str, Value]) -> None:
        if len(text) > _LONGEST:
            raise ValueError("an expression is too long")
        self._tokens: list[tuple[str, str]] = []
        self._at, self._depth, self._variables = 0, 0, variables
        place, text = 0, text.rstrip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if not token or token.lastgroup is None:
                raise ValueError("an expression has a character that means nothing")
            self._tokens.append((token.lastgroup, token[token.lastgroup]))
            place = token.end()

    def whole(self) -> Value:
        value = self._assignment()
        if self._at != len(self._tokens):
            raise ValueError("an expression has words left over")
        return value

    def _sign(self, *signs: str) -> str | None:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if text in signs and (kind == "sign" or (kind == "name" and text in ("and", "or", "xor", "not"))):
                self._at += 1
                return text
        return None

    def _assignment(self) -> Value:
        ahead = self._tokens[self._at : self._at + 2]
        if len(ahead) == 2 and ahead[0][0] == "name" and ahead[1] in [("sign", s) for s in ("=", "+=", "-=", "*=", "/=")]:
            name, how = ahead[0][1], ahead[1][1][0]
            self._at += 2
            value = self._assignment()
            if how != "=":
                value = _arithmetic(how, self._variables.get(name, UNKNOWN), value)
            self._variables[name] = value
            return value
        return self._choice()

    def _choice(self) -> Value:
        condition = self._either()
        if not self._sign("?"):
            return condition
        first = self._choice()
        if not self._sign(":"):
            raise ValueError("a choice has no second half")
        second, holds = self._choice(), truth(condition)
        return UNKNOWN if holds is None else first if holds else second

    def _either(self) -> Value:
        value = self._both()
        while sign := self._sign("or", "||", "xor"):
            a, b = truth(value), truth(self._both())
            if sign == "xor":
                value = UNKNOWN if a is None or b is None else a != b
            else:
                value = True if a or b else UNKNOWN if a is None or b is None else False
        return value

    def _both(self) -> Value:
        value = self._denial()
        while self._sign("and", "&&"):
            a, b = truth(value), truth(self._denial())
            value = False if a is False or b is False else UNKNOWN if a is None or b is None else True
        return value

    def _denial(self) -> Value:
        self._deeper()
        if self._sign("not", "!"):
            holds = truth(self._denial())
            value: Value = UNKNOWN if holds is None else not holds
        else:
            value = self._comparison()
        self._depth -= 1
        return value

    def _comparison(self) -> Value:
        value = self._bits()
        while sign := self._sign("==", "!=", "<=", ">=", "<", ">"):
            value = _compared(sign, value, self._bits())
        return value

    def _bits(self) -> Value:
        value = self._sum()
        while sign := self._sign("&", "|", "<<", ">>"):
            value = _bitwise(sign, value, self._sum())
        return value

    def _sum(self) -> Value:
        value = self._product()
        while sign := self._sign("+", "-"):
            value = _arithmetic(sign, value, self._product())
        return value

    def _product(self) -> Value:
        value = self._signed()
        while sign := self._sign("*", "/"):
            value = _arithmetic(sign, value, self._signed())
        return value

    def _signed(self) -> Value:
        self._deeper()
        if self._sign("-"):
            value = _arithmetic("-", 0.0, self._signed())
        elif self._sign("+"):
            value = self._signed()
        else:
            value = self._atom()
            if self._sign("^"):
                value = _arithmetic("^", value, self._signed())
        self._depth -= 1
        return value

    def _atom(self) -> Value:
        if self._at >= len(self._tokens):
            raise ValueError("an expression ends too early")
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return float(text)
        if kind == "text":
            return text
        if kind == "sign":
            if text != "(":
                raise ValueError("an operator stands where a value belongs")
            value = self._assignment()
            if not self._sign(")"):
                raise ValueError("a bracket is not closed")
            return value
        if self._sign("("):
            return self._call(text)
        return self._variables.get(text, _CONSTANTS.get(text, UNKNOWN))

    def _call(self, name: str) -> Value:
        arguments: list[Value] = []
        if not self._sign(")"):
            arguments.append(self._assignment())
            while self._sign(","):
                arguments.append(self._assignment())
            if not self._sign(")"):
                raise ValueError("a bracket is not closed")
        if name not in _FUNCTIONS or not arguments:
            return UNKNOWN
        numbers = [float(v) for v in arguments if isinstance(v, float | bool)]
        return float(_FUNCTIONS[name](*numbers)) if len(numbers) == len(arguments) else UNKNOWN

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("an expression is nested too deeply")


def _arithmetic(sign: str, a: Value, b: Value) -> Value:
    if isinstance(a, Unknown) or isinstance(b, Unknown):
        return UNKNOWN
    if isinstance(a, str) or isinstance(b, str):
        if sign != "+" or len(written(a)) + len(written(b)) > _LONGEST:
            return UNKNOWN
        return written(a) + written(b)
    if sign == "/":
        return a / b
    if sign == "^":
        value = float(a) ** float(b)
        return UNKNOWN if isinstance(value, complex) else value
    return float(a + b if sign == "+" else a - b if sign == "-" else a * b)


def _compared(sign: str, a: Value, b: Value) -> Value:
    if isinstance(a, Unknown) or isinstance(b, Unknown):
        return UNKNOWN
    if isinstance(a, str) != isinstance(b, str):
        return UNKNOWN if sign not in ("==", "!=") else sign == "!="
    less = a < b  # type: ignore[operator]
    return {"==": a == b, "!=": a != b, "<": less, ">=": not less, "<=": less or a == b, ">": not (less or a == b)}[sign]


def _bitwise(sign: str, a: Value, b: Value) -> Value:
    if not isinstance(a, float | bool) or not isinstance(b, float | bool):
        return UNKNOWN
    x, y = int(a), int(b)
    if x != a or y != b or max(abs(x), abs(y)) >= _MOST_BITS or (sign in ("<<", ">>") and not 0 <= y < 32):
        return UNKNOWN
    return float({"&": x & y, "|": x | y, "<<": x << y, ">>": x >> y}[sign])
