"""Idle values of a auto pan: those of its oscillator, and everything where there are no two sides."""

from collections.abc import Mapping

from twinrack.rack.card import Value
from twinrack.rack.idle import of_oscillator


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    return of_oscillator(values, channels) if channels != 1 else set(values)
