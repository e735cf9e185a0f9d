"""Loops of an equaliser: each filter by itself, as they are in series."""

from twinrack import _engine
from twinrack.explain.certify import Loop, filter_loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    every = []
    match = effect.get("warping") == "matched"
    for number in range(1, 17):
        band = f"band{number}"
        shape = str(effect.get(f"{band}.type"))
        if shape == "off":
            continue
        f, gain, q = (float(effect.get(f"{band}.{name}")) for name in ("frequency_hz", "gain_db", "q"))
        # Of a steep cut the most resonant section is nearest to the circle, or the one of the lowest damping.
        stages = int(str(effect.get(f"{band}.slope_db_per_octave"))) // 12 if shape in ("low_cut", "high_cut") else 1
        for stage in range(stages):
            name = f"{band}, section {stage + 1}" if stages > 1 else band
            section_q = _engine.cut_section_q(stage, stages, q)
            every.append(filter_loop(name, shape, f, gain, section_q, sample_rate, match))
    return every
