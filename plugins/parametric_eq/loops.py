"""Each filter is a loop of its own; in series none hears the one after it."""

from twinrack.effect import Effect
from twinrack.explain.certify import Loop, filter_loop


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    found = []
    match = effect.get("warping") == "matched"
    for number in range(1, 17):
        band = f"band{number}"
        shape = str(effect.get(f"{band}.type"))
        if shape == "off":
            continue
        f, gain, q = (float(effect.get(f"{band}.{name}")) for name in ("frequency_hz", "gain_db", "q"))
        # Of a steep cut the most resonant section is nearest to the circle, or the one of the lowest damping.
        stages = int(str(effect.get(f"{band}.slope_db_per_octave"))) // 12 if shape in ("low_cut", "high_cut") else 1
        for stage, section_q in enumerate(section_qs(stages, q), 1):
            name = f"{band}, section {stage}" if stages > 1 else band
            found.append(filter_loop(name, shape, f, gain, section_q, sample_rate, match))
    return found


def section_qs(stages: int, q: float) -> list[float]:
    """Q of each section: Butterworth, the most resonant one scaled by the user's Q."""
    from math import cos, pi, sqrt

    if stages == 1:
        return [q]
    each = [0.5 / cos(pi * (2 * section + 1) / (4 * stages)) for section in range(stages)]
    return [*each[:-1], each[-1] * q * sqrt(2.0)]
