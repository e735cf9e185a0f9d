"""Just-noticeable differences of parameters for which nobody has published one: the cards whose `jnd` says "derived".

    python tools/derive_jnds.py            # a table: the parameter, what the model gives, what the card says

Two programmes, one like speech and one like drums, go through each effect at its defaults (with SETTINGS where it would do
nothing); each value is moved up and down until `perceptual.Noticeable` gives 1. Shown is the median of all that are found,
rounded to one digit. `tests/rack/test_jnd.py` holds the cards to it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np
import torch

import twinrack as tr
from twinrack.audio import Audio
from twinrack.perceptual import Noticeable
from twinrack.rack.card import Parameter, Value

RATE = 48000.0
SECONDS = 2.0
STEPS = 14  # from a thousandth to all of the way to an end of the range
SETTINGS: dict[str, dict[str, Value]] = {
    "limiter": {"input_gain_db": 9.0},
    "compressor": {
        "threshold_db": -30.0, "ratio": 4.0, "link_percent": 50.0, "detector": "rms", "sidechain_low_cut_hz": 100.0,
    },
    "compressor.range_db": {"range_db": 6.0},
    "compressor.mix": {"mix": 0.7},
    "gate": {
        "threshold_db": -30.0, "detector": "rms", "link_percent": 50.0, "sidechain_low_cut_hz": 100.0,
        "sidechain_high_cut_hz": 8000.0,
    },
    "gate.range_db": {"range_db": 20.0},
    "parametric_eq": {"band1.type": "bell", "band1.gain_db": 6.0},
    "dynamic_eq": {"band1.type": "bell", "band1.range_db": -12.0},
    "convolution_reverb": {"low_cut_hz": 100.0, "high_cut_hz": 8000.0, "decay_db_per_s": 20.0, "length_s": 1.0},
    "fdn_reverb": {"low_cut_hz": 100.0, "high_cut_hz": 8000.0},
    "saturation": {"drive_db": 12.0, "bias": 0.2},
    "saturation.mix": {"mix": 0.7},
    "deesser.q": {"mode": "bell", "threshold_db": -20.0, "frequency_hz": 6000.0},
    "delay.rate_hz": {"depth_ms": 2.0, "mix": 0.6},
    "delay.start_deg": {"depth_ms": 2.0, "mix": 0.6},
    "delay.stereo_deg": {"depth_ms": 2.0, "mix": 0.6},
    "transient_shaper": {"attack_db": 6.0, "sustain_db": 6.0},
}  # fmt: skip


def programmes() -> dict[str, Audio]:
    """Sounds of two channels at about -20 dBFS, the same each time."""
    random = np.random.default_rng(1)
    count = int(SECONDS * RATE)
    time = np.arange(count) / RATE
    spectrum = np.fft.rfft(random.standard_normal((2, count)))
    hertz = np.fft.rfftfreq(count, 1.0 / RATE)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 60.0)), count)
    syllables = np.clip(np.sin(2.0 * np.pi * 4.0 * time) + 0.3 * np.sin(2.0 * np.pi * 1.1 * time), 0.03, None)
    speech = (pink[0] + 0.3 * pink) * syllables
    drums = np.zeros((2, count))
    for number, start in enumerate(np.arange(0.0, SECONDS, 0.25)):
        t = time - start
        hit = np.where(t >= 0.0, np.exp(-np.clip(t, 0.0, None) / (0.05 if number % 2 else 0.12)), 0.0)
        tone = np.sin(2.0 * np.pi * (70.0 if number % 2 == 0 else 190.0) * t)
        sides = np.array([[1.0], [1.0]]) if number % 2 == 0 else np.array([[1.0], [0.3]])
        drums += sides * hit * (tone + (0.3 + 0.7 * (number % 2)) * pink / pink.std()) * (1.0 if number % 4 == 0 else 0.5)
    return {name: _at_level(sound) for name, sound in (("speech", speech), ("drums", drums))}


def _at_level(sound: np.ndarray) -> Audio:
    return np.ascontiguousarray(sound * (10.0 ** (-20.0 / 20.0) / np.sqrt(np.mean(sound**2))), np.float32)


def effect_for(card: tr.Card, parameter: str) -> tr.Effect:
    """The effect as it is measured for one of its parameters."""
    effect: tr.Effect = getattr(tr, card.class_name)()
    if card.id == "convolution_reverb":
        random = np.random.default_rng(2)
        response = random.standard_normal((2, int(RATE))) * np.exp(-np.arange(int(RATE)) / (0.2 * RATE)) * 0.05
        effect.impulse_response = tr.Response(response.astype(np.float32), RATE)  # type: ignore[attr-defined]
    for name, value in {**SETTINGS.get(card.id, {}), **SETTINGS.get(f"{card.id}.{parameter}", {})}.items():
        effect.set(name, value)
    return effect


def derived(effect: tr.Effect, name: str, p: Parameter) -> float | None:
    """The step, in the unit or in percent, that makes one JND; None where no step in the range does."""
    model = Noticeable(RATE)
    at = float(effect.get(name))
    found = []
    for sound in programmes().values():
        for end in (p.min, p.max):
            room = (end - at) if p.scale == "linear" else math.log(end / at)
            if abs(room) < 1e-9:
                continue
            moves = room * np.geomspace(1e-3, 1.0, STEPS)
            values = at + moves if p.scale == "linear" else at * np.exp(moves)
            rack = tr.Rack([effect.copy()])
            whole = rack(sound, RATE)
            address = f"{effect.card.id}.{name}"
            others = np.asarray(tr.render_many(rack, sound, RATE, {address: np.clip(values, p.min, p.max)}))
            with torch.no_grad():
                target = model.excitation(torch.from_numpy(whole)[None])
                jnds = [float(model.between(model.excitation(torch.from_numpy(y)[None]), target).abs().amax()) for y in others]
            above = [i for i, j in enumerate(jnds) if j >= 1.0]
            if above and above[0] > 0:
                i = above[0]
                part = (1.0 - jnds[i - 1]) / (jnds[i] - jnds[i - 1])
                found.append(abs(moves[i - 1]) + part * (abs(moves[i]) - abs(moves[i - 1])))
    if len(found) < 2:
        return None
    step = float(np.median(found))
    return step if p.scale == "linear" else 100.0 * math.expm1(step)


def rounded(value: float) -> float:
    """To one digit."""
    return float(f"{value:.1g}")


def parameters() -> Iterator[tuple[tr.Card, str, Parameter]]:
    """Every continuous parameter, of groups the first item's."""
    for card in tr.CARDS.values():
        for name, p in card.addresses.items():
            if p.kind == "continuous" and not any(name.startswith(f"{g.id}{i}.") for g in card.groups for i in range(2, 99)):
                yield card, name, p


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("effects", nargs="*", help="ids; all of them when not given")
    chosen = arguments.parse_args().effects
    for card, name, p in parameters():
        if (chosen and card.id not in chosen) or card.id in ("adapter", "controller"):
            continue
        step = derived(effect_for(card, name), name, p)
        unit = p.unit if p.scale == "linear" else "%"
        model = "none in the range" if step is None else f"{rounded(step):g} {unit}"
        said = "" if p.jnd is None else f"{p.jnd:g} {unit}  {p.jnd_source}"
        print(f"{card.id + '.' + name:<42} {model:<20} {said}", flush=True)


if __name__ == "__main__":
    main()
