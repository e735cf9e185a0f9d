"""Start values from the recordings: what can be read from them without training.

An equaliser is the difference of two spectra, a compressor or a gate is what the level loses over the level, a limiter is how
loud the quiet parts have become and how loud nothing is, and a reverb's decay is heard where the dry sound has stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import Audio
from ..rack.effect import Effect
from ..rack.rack import Rack
from ..twins.constrain import from_value, value_at
from ..twins.effect_twin import arithmetic
from ..twins.filter_design import cut_section_q, design_svf, magnitude_db
from ..twins.gain_curve import LEAST_KNEE_DB, reduction_db
from ..twins.values import Values as Given
from .data import Pair

Numbers = npt.NDArray[np.float64]
Values = dict[str, float]

STARTS, STEPS = 48, 250  # of the small fits here, all starts in one batch
BAND_STARTS, BAND_STEPS = 192, 700  # of an equaliser's, where bands can take each other's place
FINALISTS, FIRST_PART = 6, 0.35  # after this part of the steps, one of so many goes on
FFT = 8192
QUIET_DB = -70.0
WINDOW_S = 0.005
UNEXPECTED = 3.0  # what it costs to leave an expected range, by the square of the way
DIFFERENT = 0.08  # of a whole range
OCTAVES_HZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
FALL_DB = 35.0  # over which a decay is measured; below, what rings between the bands would count


def analysed(rack: Rack, pairs: Sequence[Pair], rate: float, addresses: Sequence[str], count: int) -> list[Rack]:
    """Up to `count` copies of the rack with start values for those addresses, as far as the recordings say, best first.

    An analysis takes an effect as if it were alone between dry and wet; in a longer rack it is the more wrong the more the
    others do, but nearer than a guess. Where it has several answers that are nearly as good, each makes a copy.
    """
    wanted = set(addresses)
    found = [rack.copy() for _ in range(count)]
    different = 1
    for address, effect in rack.addresses().items():
        analysis = ANALYSES.get(effect.card.id)
        learned = {a.partition(".")[2] for a in wanted if a.partition(".")[0] == address}
        if analysis is None or effect.bypass or not learned:
            continue
        answers = analysis(effect, pairs, rate, learned)
        different = max(different, min(len(answers), count))
        for i, copy in enumerate(found if answers else ()):
            for name, value in answers[min(i, len(answers) - 1)].items():
                if name in learned and np.isfinite(value):
                    p = effect.card.addresses[name]
                    copy[address].set(name, float(np.clip(value, p.min, p.max)))
    return found[:different]


def _fitted(
    effect: Effect,
    names: Sequence[str],
    loss: Callable[[dict[str, Tensor]], Tensor],
    starts: int = STARTS,
    steps: int = STEPS,
) -> list[Values]:
    """The values of some parameters that make `loss` least, from many starts at once within their expected ranges; the best
    first, then others that end elsewhere.

    Args:
        loss: from (starts,) tensors by name to a (starts,) tensor.
    """
    cards = [effect.card.addresses[name] for name in names]
    here = torch.tensor([from_value(p, float(effect.get(name))) for p, name in zip(cards, names, strict=True)])
    low, high = (torch.tensor([from_value(p, p.expected[end]) for p in cards], dtype=torch.float64) for end in (0, 1))
    low, high = low.clamp(0.05, 0.95), high.clamp(0.05, 0.95)
    share = torch.rand(starts, len(names), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = low + (high - low) * share
    u[0] = here.double().clamp(0.04, 0.96)

    def run(u: Tensor, first: int, last: int) -> Tensor:
        """Steps of Adam from these starts; in order of what they left, the best first."""
        u = u.clone().requires_grad_()
        optimizer = torch.optim.Adam([u], lr=0.03)
        for step in range(first, last):
            optimizer.param_groups[0]["lr"] = 0.03 * (1.0 - step / steps) + 1e-3
            optimizer.zero_grad()
            each = loss({name: value_at(p, u[:, i]) for i, (p, name) in enumerate(zip(cards, names, strict=True))})
            outside = (low - u).clamp(min=0.0) + (u - high).clamp(min=0.0)
            each = each + UNEXPECTED * outside.square().sum(1)
            each.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return u.detach()[each.detach().argsort()]

    part = int(FIRST_PART * steps)
    u = run(run(u, 0, part)[: max(starts // FINALISTS, 8)], part, steps)
    with torch.no_grad():
        values = {name: value_at(p, u[:, i]) for i, (p, name) in enumerate(zip(cards, names, strict=True))}
        order = loss(values).argsort().tolist()
        kept: list[int] = []
        for i in order:
            if all(float((u[i] - u[j]).abs().max()) > DIFFERENT for j in kept):
                kept.append(i)
    return [{name: float(v[i]) for name, v in values.items()} for i in kept]


# --- equaliser -------------------------------------------------------------------------------------------------------


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


def equaliser(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    dry, wet = _spectra(pairs)
    frequencies = np.fft.rfftfreq(FFT, 1.0 / rate)
    centres = np.geomspace(30.0, min(18000.0, 0.45 * rate), 110)
    rows = []
    for f in centres:
        inside = (frequencies > f / 2 ** (1 / 24)) & (frequencies < f * 2 ** (1 / 24))
        inside[np.argmin(np.abs(frequencies - f))] = True
        rows.append((f, dry[inside].sum(), wet[inside].sum()))
    table = np.array(rows)
    heard = table[:, 1] > 1e-7 * table[:, 1].max()
    target = 10 * np.log10(table[heard, 2] / table[heard, 1])
    return bands_for(effect, table[heard, 0], target, None, rate, learned, BAND_STARTS, BAND_STEPS)


def bands_for(
    effect: Effect,
    hertz: Numbers,
    target_db: Numbers,
    weight: Numbers | None,
    rate: float,
    learned: set[str],
    starts: int,
    steps: int,
) -> list[Values]:
    """Values of an equaliser's bands whose response is nearest to a curve, the best first.

    Args:
        hertz, target_db: the curve; weight: how much each point counts.
        learned: addresses below the effect that may be changed.
    """
    at, target = torch.from_numpy(hertz), torch.from_numpy(target_db)
    share = torch.ones_like(at) if weight is None else torch.from_numpy(weight / weight.mean())
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
        return (share * torch.nn.functional.huber_loss(response(values), wanted, reduction="none", delta=3.0)).mean(1)

    names = [a for a in sorted(learned) if a.partition(".")[0] in bands]
    return _fitted(effect, names, loss, starts, steps) if names else []


# --- dynamics --------------------------------------------------------------------------------------------------------


def _levels(pairs: Sequence[Pair], rate: float, power: bool) -> tuple[Numbers, Numbers]:
    """Levels of the dry sound in dB in short windows, and what the wet sound has gained there in dB; where there is sound."""
    size = max(int(WINDOW_S * rate), 8)

    def levels(x: Audio) -> Numbers:
        count = x.shape[1] // size
        windows = np.abs(x[:, : count * size].astype(np.float64)).reshape(x.shape[0], count, size).max(0)
        found = np.sqrt(np.mean(windows**2, axis=1)) if power else windows.max(1)
        return np.asarray(20 * np.log10(found + 1e-9))

    dry = np.concatenate([levels(p.dry) for p in pairs])
    gain = np.concatenate([levels(p.wet) for p in pairs]) - dry
    heard = dry > QUIET_DB
    return dry[heard], gain[heard]


def compressor(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """The static curve, through the levels and what each has lost; times stay as they are."""
    dry, gain = _levels(pairs, rate, effect.get("detector") == "rms")
    if dry.size < 20:
        return []
    choose = np.linspace(0, dry.size - 1, min(dry.size, 1500)).astype(int)
    order = np.argsort(dry)[choose]
    level, target = torch.from_numpy(dry[order]), torch.from_numpy(gain[order])
    names = [n for n in ("threshold_db", "ratio", "knee_db", "makeup_db") if n in learned]

    def loss(values: dict[str, Tensor]) -> Tensor:
        count = len(next(iter(values.values())))
        v = {
            n: values.get(n, torch.full((count,), float(effect.get(n)), dtype=torch.float64)).unsqueeze(1)
            for n in ("threshold_db", "ratio", "knee_db", "makeup_db", "range_db")
        }
        reduction = reduction_db(
            level, v["threshold_db"], 1.0 - 1.0 / v["ratio"], v["knee_db"].clamp(min=LEAST_KNEE_DB), v["range_db"]
        )
        return (v["makeup_db"] - reduction - target).abs().mean(1)

    return _fitted(effect, names, loss) if names else []


def gate(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """The threshold that parts what is let through from what is not, and how far down that is."""
    dry, gain = _levels(pairs, rate, effect.get("detector") == "rms")
    if dry.size < 20:
        return []
    candidates = np.linspace(max(dry.min(), -70.0), dry.max() - 3.0, 100)

    def spread(threshold: float) -> float:
        sides = gain[dry >= threshold], gain[dry < threshold]
        return float(sum(np.abs(side - np.median(side)).sum() for side in sides if side.size))

    threshold = min(candidates, key=spread)
    closed = gain[dry < threshold - 6.0]
    return [{"threshold_db": float(threshold), "range_db": float(-np.percentile(closed, 5)) if closed.size > 5 else 40.0}]


def limiter(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    dry, gain = _levels(pairs, rate, False)
    if dry.size < 20:
        return []
    ceiling = 20 * np.log10(max(float(np.max(np.abs(p.wet))) for p in pairs))
    quiet = gain[dry <= np.percentile(dry, 30)]
    return [{"input_gain_db": float(np.median(quiet)), "ceiling_db": float(ceiling)}]


# --- reverb ----------------------------------------------------------------------------------------------------------


def _octaves(x: Audio, rate: float) -> dict[float, Numbers]:
    """Energy over time in octave bands with smooth edges, by centre in Hz."""
    spectrum = np.fft.rfft(x.astype(np.float64), axis=1)
    place = np.log2(np.maximum(np.fft.rfftfreq(x.shape[1], 1.0 / rate), 1e-3) / OCTAVES_HZ[0])
    found = {}
    for i, centre in enumerate(OCTAVES_HZ):
        if centre < 0.35 * rate:
            mask = np.where(np.abs(place - i) < 0.5, np.cos(np.pi * (place - i) / 2.0) ** 2, 0.0)
            found[centre] = np.asarray(np.sum(np.fft.irfft(spectrum * mask, x.shape[1], axis=1) ** 2, axis=0))
    return found


def decay_times(pairs: Sequence[Pair], rate: float) -> Values:
    """Seconds for 60 dB by octave band, from what is heard after the dry sound has stopped; longer pauses count for more."""
    hop = int(0.01 * rate)
    slopes: dict[float, list[float]] = {}
    for pair in pairs:
        count = pair.frames // hop
        level = np.abs(pair.dry[:, : count * hop]).max(0).reshape(count, hop).max(1)
        silent = level < 1e-4 * max(float(level.max()), 1e-9)
        for centre, energy in _octaves(pair.wet, rate).items():
            db = 10 * np.log10(energy[: count * hop].reshape(count, hop).mean(1) + 1e-20)
            floor = float(np.percentile(db, 1)) + 6.0  # where noise begins
            start = 0
            while start < count:
                if not silent[start]:
                    start += 1
                    continue
                end = start
                while end < count and silent[end] and db[end] > max(db[start] - FALL_DB, floor):
                    end += 1
                if end - start >= 12:
                    t = np.arange(end - start) * hop / rate
                    slope = float(np.polyfit(t, db[start:end], 1)[0])
                    if slope < -1.0:
                        slopes.setdefault(centre, []).extend([slope] * (end - start))
                start = max(end, start + 1)
    return {str(centre): -60.0 / float(np.median(found)) for centre, found in slopes.items()}


def reverb(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """Decay times and crossovers with which the loop of the network loses what each octave of the recordings loses."""
    network = arithmetic(effect.card)
    measured = decay_times(pairs, rate)
    names = [n for n in ("decay_s", "decay_low_s", "decay_high_s", "crossover_low_hz", "crossover_high_hz") if n in learned]
    if not measured or not names:
        return []
    at = torch.tensor([float(centre) for centre in measured], dtype=torch.float64)
    wanted = torch.tensor(list(measured.values()), dtype=torch.float64)
    line = sorted(network.layout(rate)["line_frames"])[8]

    def loss(values: dict[str, Tensor]) -> Tensor:
        count = len(next(iter(values.values())))
        numbers = {p.id: torch.full((count, 1), float(effect.get(p.id)), dtype=torch.float64) for p in effect.card.parameters
                   if p.kind == "continuous"}  # fmt: skip
        numbers |= {name: value.unsqueeze(1) for name, value in values.items()}
        shelves = network.attenuation(Given(**numbers, freeze=False), rate, [line])[:, 0, :, :, 0]
        db = magnitude_db(shelves[:, 0], at, rate) + magnitude_db(shelves[:, 1], at, rate)
        times = -60.0 * line / rate / db.clamp(max=-1e-6)
        return torch.log(times / wanted).abs().mean(1)

    return _fitted(effect, names, loss)[:1]


ANALYSES: dict[str, Callable[[Effect, Sequence[Pair], float, set[str]], list[Values]]] = {
    "parametric_eq": equaliser,
    "compressor": compressor,
    "gate": gate,
    "limiter": limiter,
    "fdn_reverb": reverb,
}
