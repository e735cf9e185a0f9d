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
    "dynamic_eq": {
        "band1.type": "bell",
        "band1.frequency_hz": 300.0,
        "band1.gain_db": 6.0,
        "band1.range_db": -9.0,
        "band1.threshold_db": -24.0,
        "band1.release_ms": 400.0,
    },
    "compressor": {"threshold_db": -30.0, "ratio": 4.0},
    "gate": {"threshold_db": -30.0},
}


def tones(frames: int) -> np.ndarray:
    """Faded in: an echo repeats how they begin."""
    t = np.arange(frames) / RATE
    both = 0.25 * np.sin(2 * np.pi * 220 * t) + 0.25 * np.sin(2 * np.pi * 330 * t + 1)
    return np.stack([np.sin(0.5 * np.pi * np.clip(t / 0.05, 0, 1)) ** 2 * both] * 2).astype(np.float32)


def made(card: str) -> Effect:
    given = {"impulse_response": decaying_noise(0.3, 2, RATE)} if card == "convolution_reverb" else {}
    if card == "adapter":  # nearly linear, so that it adds little above 6 kHz by itself
        given = {"network": tr.Network.mlp((8,), 3, seed=1)}
    if card == "controller":
        weights = np.random.default_rng(1).uniform(-1, 1, tr.ControlNetwork(["gain.gain_db"]).weights.size)
        given = {"network": tr.ControlNetwork(["gain.gain_db"], weights=weights)}
    effect = CLASSES[card](**given)
    for address, value in AT_WORK.get(card, {}).items():
        effect.set(address, value)
    return effect


def rack_of(*effects: Effect) -> tr.Rack:
    """With what a controller among the effects drives, behind them."""
    return tr.Rack([*effects, tr.Gain()] if any(e.card.id == "controller" for e in effects) else [*effects])


JUMP_AT = RATE // 2 + 13


def stream(rack: tr.Rack, before: Callable[[], None], jump: Callable[[], None]) -> np.ndarray:
    """A second of the tones; `jump` in its middle."""
    rack.prepare(RATE, 2)
    before()
    if any(e.card.id == "feedback_suppressor" for e in rack.effects):  # which needs a howl before it does anything
        t = np.arange(RATE) / RATE
        howl = np.minimum(0.001 * np.exp(8.0 * t), 0.1) * np.sin(2 * np.pi * 330 * t) * np.clip((1.0 - t) / 0.1, 0, 1)
        rack.process(np.stack([howl] * 2).astype(np.float32))
    x = tones(RATE)
    parts = [rack.process(np.ascontiguousarray(x[:, :JUMP_AT]))]
    jump()
    parts.append(rack.process(np.ascontiguousarray(x[:, JUMP_AT:])))
    return np.concatenate(parts, 1)


def added_db(y: np.ndarray) -> float:
    """What the middle of a stream has above 6 kHz beyond what is there steadily, in dB of full scale or of a louder output."""
    high = np.abs(sosfilt(ABOVE, y.astype(np.float64)))
    steady = max(np.max(high[:, JUMP_AT - 8000 : JUMP_AT - 100]), np.max(high[:, -6000:]))
    during = np.max(high[:, JUMP_AT - 100 : JUMP_AT + 18000])
    loudest = max(1.0, float(np.max(np.abs(y[:, JUMP_AT - 8000 :]))))
    return 20 * np.log10(max(during - 1.5 * steady, 1e-10) / loudest)


def click_db(rack: tr.Rack, before: Callable[[], None], jump: Callable[[], None]) -> float:
    return added_db(stream(rack, before, jump))


def values(p: Parameter) -> list:
    if p.kind == "choice":
        return list(p.options)
    return [False, True] if p.kind == "switch" else [p.min, p.max]


@pytest.mark.parametrize("card", CARD_IDS)
def test_no_parameter_pops(card):
    """And the measure hears: the same jumps without a ramp, one steady stream cut and joined to the other, do pop."""
    found, joined = [], []
    for address, p in tr.CARDS[card].addresses.items():
        if "." in address and not address.partition(".")[0].endswith("1"):
            continue  # the other bands are like the first
        steady = {}
        for value in values(p):
            effect = made(card)
            steady[value] = stream(rack_of(effect), lambda e=effect, n=address, v=value: e.set(n, v), lambda: None)
        for a, b in itertools.permutations(values(p), 2):
            effect = made(card)
            rack = rack_of(effect)
            click = click_db(rack, lambda e=effect, n=address, v=a: e.set(n, v), lambda e=effect, n=address, v=b: e.set(n, v))
            found.append((click, address, a, b))
            hard = added_db(np.concatenate([steady[a][:, :JUMP_AT], steady[b][:, JUMP_AT:]], 1))
            joined.append((hard, address, a, b))
    worst, audible = max(found), sum(hard > LOUDEST_DB for hard, *_ in joined)
    print(f"{card}: {len(found)} jumps, worst {worst[0]:.1f} dB ({worst[1]}: {worst[2]} → {worst[3]}); unramped {audible} pop")
    assert worst[0] < LOUDEST_DB
    assert audible >= 2, joined


@pytest.mark.parametrize("card", CARD_IDS)
def test_bypass_and_structure_do_not_pop(card):
    for first in (False, True):
        effect = made(card)
        rack = rack_of(tr.Gain(gain_db=-1, name="first"), effect)

        def bypass(on: bool, effect: Effect = effect) -> None:
            effect.bypass = on

        click = click_db(rack, lambda: bypass(first), lambda: bypass(not first))  # noqa: B023
        assert click < LOUDEST_DB, f"bypass {first} → {not first}"
    rack = rack_of(made(card))
    assert click_db(rack, lambda: None, lambda: rack.remove(card)) < LOUDEST_DB
    rack = tr.Rack([tr.Gain()])
    assert click_db(rack, lambda: None, lambda: rack.insert(0, made(card))) < LOUDEST_DB
    rack = rack_of(tr.Gain(gain_db=-1, name="first"), made(card))

    def swap() -> None:
        first, second, *rest = rack.effects
        rack.effects = [second, first, *rest]

    assert click_db(rack, lambda: None, swap) < LOUDEST_DB
