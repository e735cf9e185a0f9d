"""Idle values of a vibrato: those of its oscillator."""

from collections.abc import Mapping

from twinrack.rack.card import Value
from twinrack.rack.idle import of_oscillator


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    return of_oscillator(values, channels)
