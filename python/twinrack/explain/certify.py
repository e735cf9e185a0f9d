"""`certify`: a proof that every loop in a rack is stable, with its gain and the margin to 1.

A rack is a tree, so sound never comes back to an effect: all loops lie inside the effects. `plugins/<id>/loops.py` names
those of an effect, or its card says that it has none. Three arguments cover them:

- *poles*: a filter that does not change is stable when its poles lie inside the unit circle. A trapezoidal state-variable
  filter also stays bounded while it moves, for any positive frequency and damping.
- *small gain*: a loop whose parts together never raise the level at any frequency decays, whatever the phases: delays and
  orthogonal matrices (also turning ones) keep the energy, so the attenuation decides (G. Zames, 1966).
- *shares*: a follower moves a share between 0 and 1 of the way to a value that does not depend on it, so it stays between
  the least and the largest of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from .. import _engine
from ..rack.card import FILTER_SHAPES
from ..rack.effect import Effect
from ..rack.effect_files import effect_file
from ..rack.rack import Rack, as_rack

RATES = (8000.0, 44100.0, 48000.0, 88200.0, 96000.0, 192000.0, 384000.0)
ROUNDING = 1e-6  # what float32 may add to the gain of a loop; a follower's share it can only round within 0 to 1


@dataclass(frozen=True)
class Loop:
    """One loop: its name, the argument by which it is stable, the largest factor by which one turn multiplies, and what to
    change where that is too large."""

    name: str
    argument: str
    gain: float
    advice: str = "move its values into the expected ranges"

    @property
    def margin(self) -> float:
        return 1.0 - self.gain


@dataclass(frozen=True)
class Certificate:
    """The loops of a rack by effect, at the sample rate where each is nearest to 1."""

    loops: dict[str, list[Loop]]
    rates: tuple[float, ...]

    @property
    def margin(self) -> float:
        """The smallest of all; 1 where there is no loop."""
        return min((loop.margin for loops in self.loops.values() for loop in loops), default=1.0)

    def to_json(self) -> dict[str, Any]:
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "rates": list(self.rates),
            "margin": float(f"{self.margin:.6g}"),
            "loops": {
                address: [{"name": x.name, "argument": x.argument, "gain": float(f"{x.gain:.9g}")} for x in loops]
                for address, loops in self.loops.items()
            },
        }

    def __str__(self) -> str:
        lines = [f"stable at {self.rates[0]:g} to {self.rates[-1]:g} Hz, smallest margin {self.margin:.3g}"]
        for address, loops in self.loops.items():
            if not loops:
                lines.append(f"  {address}: no loop")
            lines += [f"  {address}: {x.name}, {x.argument}, gain {x.gain:.6g}, margin {x.margin:.3g}" for x in loops]
        return "\n".join(lines)


def certify(rack: Rack, sample_rates: Sequence[float] = RATES) -> Certificate:
    """Prove that every loop of a rack is stable with its present values, and write that into the rack's provenance.

    Args:
        rack: its `provenance` gets a "stability" entry, which is saved with it.
        sample_rates: Hz, at which it must hold.

    Returns:
        All loops with their margins.

    Raises:
        ValueError: names a loop that cannot be proved, and why; the provenance then has no such entry.
    """
    rack = as_rack(rack)
    provenance = {k: v for k, v in (rack.provenance or {}).items() if k != "stability"}
    rack.provenance = provenance
    proved: dict[str, list[Loop]] = {}
    for address, effect in rack.addresses().items():
        nearest: dict[str, Loop] = {}
        for rate in sample_rates:
            for loop in loops_of(effect, float(rate)):
                if loop.name not in nearest or loop.gain > nearest[loop.name].gain:
                    nearest[loop.name] = loop
        for loop in nearest.values():
            if not loop.gain < (1.0 if loop.argument == "shares" else 1.0 - ROUNDING):
                raise ValueError(
                    f"{address}: {loop.name} has a gain of {loop.gain:.9g}, so it cannot be proved that it decays; "
                    f"{loop.advice}"
                )
        proved[address] = list(nearest.values())
    certificate = Certificate(proved, tuple(float(r) for r in sample_rates))
    rack.provenance = provenance | {"stability": certificate.to_json()}
    return certificate


def loops_of(effect: Effect, sample_rate: float) -> list[Loop]:
    """The loops inside one effect, as its folder names them.

    Raises:
        ValueError: there is no loops.py, and the card does not say that there is no loop.
    """
    card = effect.card
    if card.loops == "none":
        return []
    module = effect_file(card, "loops")
    if module is None:
        raise ValueError(
            f'{card.id} does not say what loops it has (plugins/{card.id}/loops.py, or loops = "none" in its card)'
        )
    loops: list[Loop] = module.loops(effect, sample_rate)
    return loops


def filter_loop(
    name: str, shape: str, frequency_hz: float, gain_db: float, q: float, sample_rate: float, match: bool = False
) -> Loop:
    """A second-order filter by the radius of its poles."""
    c, _ = _engine.design_filters([FILTER_SHAPES.index(shape)], match, [frequency_hz], [gain_db], [q], sample_rate)
    g, k = (float(np.float32(v)) for v in np.asarray(c).reshape(-1)[:2])
    return pole_loop(name, g, k)


def pole_loop(name: str, g: float, k: float) -> Loop:
    """A state-variable filter of these coefficients by the radius of its poles."""
    # s^2 + k s + 1, s = (z - 1) / (g (z + 1)):  a0 z^2 + a1 z + a2
    a0, a1, a2 = 1.0 + g * k + g * g, 2.0 * (g * g - 1.0), 1.0 - g * k + g * g
    real = a1 * a1 - 4.0 * a0 * a2
    radius = np.sqrt(a2 / a0) if real < 0.0 else (abs(a1) + np.sqrt(real)) / (2.0 * a0)
    return Loop(name, "poles", float(radius))


def follower_loop(name: str, time_ms: float, sample_rate: float) -> Loop:
    """A follower by what it keeps of its state in a frame."""
    return Loop(name, "shares", float(np.exp(-1.0 / (time_ms * 1e-3 * sample_rate))))


def detector_loops(effect: Effect, sample_rate: float) -> list[Loop]:
    """Attack, release and, where it averages, the average of a detector."""
    every = [follower_loop(f"{name} follower", float(effect.get(f"{name}_ms")), sample_rate) for name in ("attack", "release")]
    if effect.get("detector") == "rms":
        every.append(follower_loop("average", float(effect.get("rms_window_ms")), sample_rate))
    return every


def cut_loops(effect: Effect, sample_rate: float, **cuts: str) -> list[Loop]:
    """Cuts of the effect by the address of their frequency: low_cut="sidechain_low_cut_hz"."""
    return [
        filter_loop(f"{shape.replace('_', ' ')}", shape, float(effect.get(address)), 0.0, np.sqrt(0.5), sample_rate)
        for shape, address in cuts.items()
    ]
