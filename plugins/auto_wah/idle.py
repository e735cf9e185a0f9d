"""Idle values of an auto-wah: all but the mix while that is 0."""

from collections.abc import Mapping

from twinrack.rack.card import Value


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    return set(values) - {"mix"} if values["mix"] == 0.0 else set()
