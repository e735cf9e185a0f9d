"""Idle values of a denoiser: the profile where it is not used, and all that tracks where nothing is tracked or lowered."""

from collections.abc import Mapping

from twinrack.rack.card import Value

BANDS = 24


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    profile = {f"band{b}.noise_db" for b in range(1, BANDS + 1)}
    if values["reduction_db"] == 0.0:
        return profile | {"sensitivity_db", "smoothing_ms", "noise", "adaptation_s"}
    names = set() if values["noise"] == "profile" else profile
    if values["noise"] == "hold":  # from the beginning on: no noise is known
        return names | {"adaptation_s", "reduction_db", "sensitivity_db", "smoothing_ms"}
    return names if values["noise"] == "track" else names | {"adaptation_s"}
