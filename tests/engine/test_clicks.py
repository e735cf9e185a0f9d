"""Nothing pops: parameters that jump over their whole range, choices, bypass and structure, while two tones sound.

What a jump adds above 6 kHz, where the tones (220 and 330 Hz, peak -6 dBFS) have nothing, stays below -60 dB of full scale,
or of the loudest output where that is above full scale.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

import twinrack as tr
from support import CARD_IDS, decaying_noise
from twinrack.rack.card import Parameter
from twinrack.rack.effect import CLASSES, Effect

RATE = 48000
ABOVE = butter(6, 6000, "hp", fs=RATE, output="sos")
LOUDEST_DB = -60.0
# So that there is something to hear of each effect.
AT_WORK = {
    "parametric_eq": {"band1.type": "bell", "band1.gain_db": 9.0, "band1.frequency_hz": 300.0},
    "compressor": {"threshold_db": -30.0, "ratio": 4.0},
    "gate": {"threshold_db": -30.0},
}


def tones(frames: int) -> np.ndarray:
    t = np.arange(frames) / RATE
    return np.stack([0.25 * np.sin(2 * np.pi * 220 * t) + 0.25 * np.sin(2 * np.pi * 330 * t + 1)] * 2).astype(np.float32)


def made(card: str) -> Effect:
    given = {"impulse_response": decaying_noise(0.3, 2, RATE)} if card == "convolution_reverb" else {}
    effect = CLASSES[card](**given)
    for address, value in AT_WORK.get(card, {}).items():
        effect.set(address, value)
    return effect


def click_db(rack: tr.Rack, before: Callable[[], None], jump: Callable[[], None]) -> float:
    """What a change adds above 6 kHz, or -inf where there is as much of it without the change."""
    rack.prepare(RATE, 2)
    before()
    x, at = tones(RATE), RATE // 2 + 13
    parts = [rack.process(np.ascontiguousarray(x[:, :at]))]
    jump()
    parts.append(rack.process(np.ascontiguousarray(x[:, at:])))
    y = np.concatenate(parts, 1)
    high = np.abs(sosfilt(ABOVE, y.astype(np.float64)))
    steady = max(np.max(high[:, at - 8000 : at - 100]), np.max(high[:, -6000:]))
    during = np.max(high[:, at - 100 : at + 18000])
    if during < 1.5 * steady:
        return -np.inf
    loudest = max(1.0, float(np.max(np.abs(y[:, at - 8000 :]))))
    return 20 * np.log10(during / loudest)


def values(p: Parameter) -> list:
    if p.kind == "choice":
        return list(p.options)
    return [False, True] if p.kind == "switch" else [p.min, p.max]


@pytest.mark.parametrize("card", [c for c in CARD_IDS if c not in ("adapter", "controller")])
def test_no_parameter_pops(card):
    found = []
    for address, p in tr.CARDS[card].addresses.items():
        if "." in address and not address.partition(".")[0].endswith("1"):
            continue  # the other bands are like the first
        for a, b in itertools.permutations(values(p), 2):
            effect = made(card)
            rack = tr.Rack([effect])
            click = click_db(rack, lambda e=effect, n=address, v=a: e.set(n, v), lambda e=effect, n=address, v=b: e.set(n, v))
            found.append((click, address, a, b))
    worst = max(found)
    print(f"{card}: {len(found)} jumps, worst {worst[0]:.1f} dB ({worst[1]}: {worst[2]} → {worst[3]})")
    assert worst[0] < LOUDEST_DB


@pytest.mark.parametrize("card", [c for c in CARD_IDS if c not in ("adapter", "controller")])
def test_bypass_and_structure_do_not_pop(card):
    for first in (False, True):
        effect = made(card)
        rack = tr.Rack([tr.Gain(gain_db=-1), effect])

        def bypass(on: bool, effect: Effect = effect) -> None:
            effect.bypass = on

        click = click_db(rack, lambda: bypass(first), lambda: bypass(not first))  # noqa: B023
        assert click < LOUDEST_DB, f"bypass {first} → {not first}"
    rack = tr.Rack([made(card)])
    assert click_db(rack, lambda: None, lambda: rack.remove(card)) < LOUDEST_DB
    rack = tr.Rack([tr.Gain()])
    assert click_db(rack, lambda: None, lambda: rack.insert(0, made(card))) < LOUDEST_DB
    rack = tr.Rack([made(card), tr.Gain()])
    assert click_db(rack, lambda: None, lambda: setattr(rack, "effects", rack.effects[::-1])) < LOUDEST_DB
