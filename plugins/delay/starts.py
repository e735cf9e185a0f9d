"""Start values of a delay: from the response of dry to wet, in which the repeats stand as peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.card import Value
from twinrack.rack.effect import Effect
from twinrack.train.data import Pair, Split
from twinrack.train.starts import Numbers, Values, within

NOISE = 1e-4  # of the dry sound's power, below which nothing is divided
AROUND_S = 0.0005  # frames that belong to a repeat
CLEAR = 4.0  # a repeat stands so far above the noise of the response


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    pair = max(pairs, key=lambda p: p.dry.shape[1])
    p = effect.card.addresses["time_ms"]
    responses = [response(pair.dry[c], pair.wet[c]) for c in range(min(pair.dry.shape[0], 2))]
    repeats = [_repeat(h, p.min * 1e-3 * rate, p.max * 1e-3 * rate, rate) for h in responses]
    if not repeats or repeats[0] is None:
        return []
    first, around = repeats[0], round(AROUND_S * rate)
    values = {"time_ms": 1e3 * first / rate}
    if len(repeats) > 1 and repeats[1] is not None:
        values["right_percent"] = 100.0 * repeats[1] / first

    def energy(at: int) -> float:
        return float(np.sum(responses[0][max(at - around, 0) : at + around + 1] ** 2))

    if 2 * first + around < responses[0].size:
        values["feedback"] = float(np.sqrt(energy(2 * first) / (energy(first) + 1e-12)))
    values["mix"] = float(1.0 - np.abs(responses[0][: around + 1]).max())
    return [values]


def response(dry: Numbers, wet: Numbers) -> Numbers:
    """By division of the spectra, where there is sound."""
    size = 1 << (2 * dry.size - 1).bit_length()
    x, y = np.fft.rfft(dry.astype(np.float64), size), np.fft.rfft(wet.astype(np.float64), size)
    power = np.abs(x) ** 2
    return np.asarray(np.fft.irfft(y * np.conj(x) / (power + NOISE * power.max()), size)[: dry.size])


def _repeat(h: Numbers, least: float, most: float, rate: float) -> int | None:
    """The largest peak that is a repeat and not the sound itself, in frames."""
    first = max(int(least), round(2.0 * AROUND_S * rate))
    part = np.abs(h[first : int(most)])
    if part.size < 16:
        return None
    best = int(np.argmax(part))
    return first + best if part[best] > CLEAR * float(np.sqrt(np.mean(part**2))) else None


def lawful(
    effect: Effect, pairs: Sequence[Pair], splits: Sequence[Split], rate: float, learned: set[str]
) -> list[dict[str, Value]]:
    """The same, for an effect that is alone."""
    return within(effect, starts(effect, pairs, rate, learned), learned)
