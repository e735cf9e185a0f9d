"""Signatures of functions that pass arguments on: `help` shows them whole, and an unknown argument is refused."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from .effect import unknown

P = ParamSpec("P")
R = TypeVar("R")


def spelled_out(
    *sources: Callable[..., Any], only: Iterable[str] | None = None, besides: Iterable[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function show and check the arguments that its `**settings` stand for.

    What type checkers see stays as it is written: `**settings: Unpack[…]`, or overloads.

    Args:
        sources: functions or classes whose arguments by name `**settings` are handed to; without, the function's own
            signature is checked.
        only: which of them; all that have a default otherwise.
        besides: names that the function takes only to refuse them in its own words.
    """
    passed = frozenset(besides)
    names = None if only is None else list(only)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own = inspect.signature(function)
        shown = {n: p for n, p in own.parameters.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
        for source in sources:
            for name, p in inspect.signature(source).parameters.items():
                by_name = p.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                wanted = p.default is not inspect.Parameter.empty if names is None else name in names
                if by_name and wanted and name not in shown:
                    shown[name] = p.replace(kind=inspect.Parameter.KEYWORD_ONLY)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in shown and name not in passed:
                    raise TypeError(unknown(name, [n for n in shown if n != "self"], function.__name__, "argument"))
            return function(*args, **kwargs)

        kinds = sorted(shown.values(), key=lambda p: p.kind)
        checked.__signature__ = own.replace(parameters=kinds)  # type: ignore[attr-defined]
        return checked

    return decorate


def with_arguments_of(source: Callable[P, R]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Let a function that hands all its arguments on show and check those of what it calls.

    Type checkers, editors and `help` show the signature of `source`.
    """
    signature = inspect.signature(source)

    def decorate(function: Callable[..., R]) -> Callable[P, R]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in signature.parameters:
                    raise TypeError(unknown(name, list(signature.parameters), function.__name__, "argument"))
            return function(*args, **kwargs)

        returned = inspect.signature(function).return_annotation
        checked.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
        return checked

    return decorate
