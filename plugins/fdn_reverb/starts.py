"""Start values of a reverb: from how the sound decays where the dry recording has stopped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from twinrack.plugins.fdn_reverb.twin import attenuation, layout

from twinrack.audio import Audio
from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.starts import Numbers, Play, Values, best_values
from twinrack.twins.filter_design import magnitude_db
from twinrack.twins.values import Values as TwinValues

OCTAVES_HZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
FALL_DB = 35.0  # over which a decay is measured; below, what rings between the bands would count
DELAYS, APART_MS = 3, 0.5  # answers, and how far they lie apart


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """Decay times and crossovers with which the loop of the network loses what each octave of the recordings loses."""
    measured = decay_times(pairs, rate)
    names = [n for n in ("decay_s", "decay_low_s", "decay_high_s", "crossover_low_hz", "crossover_high_hz") if n in learned]
    if not measured or not names:
        return []
    at = torch.tensor([float(centre) for centre in measured], dtype=torch.float64)
    wanted = torch.tensor(list(measured.values()), dtype=torch.float64)
    line = sorted(layout(rate)["line_frames"])[8]

    def loss(values: dict[str, Tensor]) -> Tensor:
        count = len(next(iter(values.values())))
        numbers = {p.id: torch.full((count, 1), float(effect.get(p.id)), dtype=torch.float64) for p in effect.card.parameters
                   if p.kind == "continuous"}  # fmt: skip
        numbers |= {name: value.unsqueeze(1) for name, value in values.items()}
        shelves = attenuation(TwinValues(**numbers, freeze=False), rate, [line])[:, 0, :, :, 0]
        db = magnitude_db(shelves[:, 0], at, rate) + magnitude_db(shelves[:, 1], at, rate)
        times = -60.0 * line / rate / db.clamp(max=-1e-6)
        return torch.log(times / wanted).abs().mean(1)

    return best_values(effect, names, loss)[:1]


def delayed(effect: Effect, play: Play, target: Audio, rate: float, learned: set[str]) -> list[Values]:
    """Pre-delays and mixes with which the reverb, as its other values make it, comes nearest to the target.

    The reverb without pre-delay is correlated with the target, both with a flat spectrum: a delay shifts it, and
    a mix scales it.
    """
    if not {"pre_delay_ms", "mix"} <= learned:
        return []
    dry, wet = play([{"mix": 0.0, "pre_delay_ms": 0.0}, {"mix": 1.0, "pre_delay_ms": 0.0}])
    longest = int(effect.card.addresses["pre_delay_ms"].max * 1e-3 * rate)
    size = 1 << (target.shape[1] + longest).bit_length()
    spectra = [np.fft.rfft(x.astype(np.float64), size) for x in (dry, wet, target)]
    power = sum((np.abs(s) ** 2).sum(0) for s in spectra[1:])
    smooth = np.convolve(np.pad(power, 64, mode="edge"), np.ones(129) / 129.0, "valid")
    d, w, t = (s / np.sqrt(smooth + 1e-6 * smooth.max()) for s in spectra)

    def correlation(a: Numbers, b: Numbers) -> Numbers:
        return np.asarray(np.fft.irfft((a * b.conj()).sum(0), size)[:longest])

    dd, ww, td = (float(correlation(a, b)[0]) for a, b in ((d, d), (w, w), (t, d)))
    tw, dw = correlation(t, w), correlation(d, w)
    determinant = np.maximum(dd * ww - dw**2, 1e-9 * dd * ww)
    of_dry, of_wet = (td * ww - tw * dw) / determinant, (tw * dd - td * dw) / determinant
    gain = np.where((of_wet > 0.0) & (of_dry >= 0.0), of_dry * td + of_wet * tw, -np.inf)
    answers = []
    for _ in range(DELAYS):
        at = int(np.argmax(gain))
        if not np.isfinite(gain[at]):
            break
        mix = of_wet[at] / (of_dry[at] + of_wet[at])
        answers.append({"pre_delay_ms": 1e3 * at / rate, "mix": float(mix)})
        apart = int(APART_MS * 1e-3 * rate)
        gain[max(at - apart, 0) : at + apart] = -np.inf
    return answers


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
    return {str(centre): -60.0 / float(np.median(of_band)) for centre, of_band in slopes.items()}


def _octaves(x: Audio, rate: float) -> dict[float, Numbers]:
    """Energy over time in octave bands with smooth edges, by centre in Hz."""
    spectrum = np.fft.rfft(x.astype(np.float64), axis=1)
    place = np.log2(np.maximum(np.fft.rfftfreq(x.shape[1], 1.0 / rate), 1e-3) / OCTAVES_HZ[0])
    bands = {}
    for i, centre in enumerate(OCTAVES_HZ):
        if centre < 0.35 * rate:
            mask = np.where(np.abs(place - i) < 0.5, np.cos(np.pi * (place - i) / 2.0) ** 2, 0.0)
            bands[centre] = np.asarray(np.sum(np.fft.irfft(spectrum * mask, x.shape[1], axis=1) ** 2, axis=0))
    return bands
