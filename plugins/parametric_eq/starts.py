"""Start values of an equaliser: from the difference of two spectra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.starts import Numbers, Values, best_values
from twinrack.twins.filter_design import cut_section_q, design_svf, magnitude_db

STARTS, STEPS = 192, 700  # more than usual, as bands can take each other's place
FFT = 8192


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """The bands whose response is nearest to the difference of the spectra."""
    dry, wet = _spectra(pairs)
    frequencies = np.fft.rfftfreq(FFT, 1.0 / rate)
    centres = np.geomspace(30.0, min(18000.0, 0.45 * rate), 110)
    rows = []
    for f in centres:
        inside = (frequencies > f / 2 ** (1 / 24)) & (frequencies < f * 2 ** (1 / 24))
        inside[np.argmin(np.abs(frequencies - f))] = True
        rows.append((f, dry[inside].sum(), wet[inside].sum()))
    table = np.array(rows)
    audible = table[table[:, 1] > 1e-7 * table[:, 1].max()]
    target = 10 * np.log10(audible[:, 2] / audible[:, 1])
    return bands_for(effect, audible[:, 0], target, None, rate, learned, STARTS, STEPS)


def bands_for(
    effect: Effect,
    hertz: Numbers,
    target_db: Numbers,
    weight: Numbers | None,
    rate: float,
    learned: set[str],
    start_count: int,
    steps: int,
) -> list[Values]:
    """Values of an equaliser's bands whose response is nearest to a curve, the best first.

    Args:
        hertz, target_db: the curve; weight: how much each point counts.
        learned: addresses below the effect that may be changed.
        start_count, steps: of the search (see `best_values`).
    """
    at, target = torch.from_numpy(hertz), torch.from_numpy(target_db)
    counts = torch.ones_like(at) if weight is None else torch.from_numpy(weight / weight.mean())
    bands = [f"band{i}" for i in range(1, 17) if str(effect.get(f"band{i}.type")) != "off"]
    match = effect.get("warping") == "matched"

    def response(values: dict[str, Tensor]) -> Tensor:
        count = len(next(iter(values.values())))
        total = torch.zeros(count, at.shape[0], dtype=torch.float64)
        for band in bands:
            shape = str(effect.get(f"{band}.type"))
            f, gain, q = (
                values.get(f"{band}.{n}", torch.full((count,), float(effect.get(f"{band}.{n}")), dtype=torch.float64))
                for n in ("frequency_hz", "gain_db", "q")
            )
            steep = shape in ("low_cut", "high_cut")
            stages = int(str(effect.get(f"{band}.slope_db_per_octave"))) // 12 if steep else 1
            for stage in range(stages):
                c = design_svf(shape, match, f, gain, cut_section_q(stage, stages, q) if steep else q, rate)
                total = total + magnitude_db(c, at, rate)
        return total

    def loss(values: dict[str, Tensor]) -> Tensor:
        wanted = target.expand(len(next(iter(values.values()))), -1)
        return (counts * torch.nn.functional.huber_loss(response(values), wanted, reduction="none", delta=3.0)).mean(1)

    names = [a for a in sorted(learned) if a.partition(".")[0] in bands]
    return best_values(effect, names, loss, start_count, steps) if names else []


def _spectra(pairs: Sequence[Pair]) -> tuple[Numbers, Numbers]:
    """Power spectra of all dry and all wet sound, (bins,)."""
    window = np.hanning(FFT)
    sums = np.zeros((2, FFT // 2 + 1))
    for pair in pairs:
        for which, x in enumerate((pair.dry, pair.wet)):
            padded = np.pad(x, ((0, 0), (0, max(0, FFT - x.shape[1]))))
            for start in range(0, padded.shape[1] - FFT + 1, FFT // 2):
                sums[which] += np.sum(np.abs(np.fft.rfft(padded[:, start : start + FFT] * window)) ** 2, axis=0)
    return sums[0], sums[1]
