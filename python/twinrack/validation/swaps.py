"""Blocks that behave on one sound as they did on another: which of them causes what changes between two sounds?

A block that decides (a compressor's gain, a controller's curves) can be made to decide on a degraded sound as it did on the
clean one. What the rack then does differently from its real result is caused by that block alone. This is activation patching
(J. Vig et al., Investigating gender bias in language models using causal mediation analysis, NeurIPS 2020) with blocks whose
decisions have names:

- a controller: the curves of what it drives, as they were on the clean sound;
- a detector with a sidechain input: it listens to the clean sound;
- another effect whose gain follows the sound: its gain over time, as it was on the clean sound;
- any other that is not linear: its answer to a small change about the clean sound, scaled up to the change that there is;
- a linear block does to all sounds the same, so it causes nothing, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..explain.intermediate import stages, up_to_effect
from ..explain.wishes import moves_own_gain
from ..rack.effect import Effect, relabelled
from ..rack.python_effect import PythonEffect
from ..rack.rack import TICK_FRAMES, Rack
from ..rack.running import Sidechain
from ..rack.tree import Chain, Parallel
from ..session.timeline_rack import latency_before
from .claims import is_linear

SMALL = 1.0 / 64.0  # of a change; the answer to it is scaled up
GAIN_S = 0.002  # over which the gain of an effect is taken
QUIET = 1e-5  # -100 dBFS: a gain of what is quieter says nothing
BLOCK = 512  # frames
PAD = 4 * TICK_FRAMES  # frames of silence before every sound, in which a player fades in
KEY = "as on the clean sound: "

Curves = Mapping[str, npt.NDArray[np.float32]]


@dataclass
class Swapped:
    """A rack in which some blocks behave as on another sound, and what it must be given when it is rendered."""

    rack: Rack
    keys: dict[str, Audio] = field(default_factory=dict)
    automation: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


class _Recording:
    """Plays a sound whatever comes in; a stream begins with a copy of it."""

    def __init__(self, sound: Audio) -> None:
        self._sound, self._place = sound, 0

    def __call__(self, x: Audio, sample_rate: float) -> Audio:
        part = self._sound[:, self._place : self._place + x.shape[1]]
        self._place += x.shape[1]
        return np.pad(part, ((0, 0), (0, x.shape[1] - part.shape[1])))


class Swaps:
    """The behaviour of every block of a rack on a clean sound, for use on others of the same length.

    Args:
        rack: it is not changed.
        clean: (channels, frames).
        sample_rate: Hz.
        sidechain: as in a call of the rack; the same for all sounds.
    """

    def __init__(self, rack: Rack, clean: Audio, sample_rate: float, sidechain: Sidechain = None) -> None:
        self.rack, self.rate = rack.copy(), sample_rate
        self._keys = {name: _padded(key) for name, key in _named(rack, sidechain).items()}
        passed = stages(rack, _padded(clean), sample_rate, sidechain=self._keys or None)
        self._clean = {s.address: s for s in passed if s.effect is not None}
        self._unmoved: dict[str, Audio] = {}  # outputs of blocks alone for the clean sound, where they were needed
        self._driven = _driven_by(rack)
        self._curves: Curves = self._traced(_padded(clean))

    @property
    def clean_decisions(self) -> Curves:
        """The values that controllers drive on the clean sound."""
        return {a: curve[PAD // TICK_FRAMES :] for a, curve in self._curves.items()}

    @cached_property
    def candidates(self) -> list[str]:
        """Addresses of the blocks that can cause something: those that are on and not linear, in order."""
        driven = {a.partition(".")[0] for targets in self._driven.values() for a in targets}
        return [
            address
            for address, effect in self.rack.addresses().items()
            if not effect.bypass
            and (address in self._driven or not (is_linear(effect) or effect.card.id == "controller"))
            and not _listens_elsewhere(effect)
            and not (address in driven and not self._has_own_key(effect))
        ]

    def render(self, x: Audio, addresses: Iterable[str] = ()) -> Audio:
        """The output for a sound when these blocks behave as on the clean one.

        Args:
            x: (channels, frames), as long as the clean sound.
        """
        padded = _padded(x)
        swapped = self._swapped(padded, list(addresses))
        return np.ascontiguousarray(self._play(swapped, swapped.rack, padded)[:, PAD:])

    def decisions(self, x: Audio) -> dict[str, npt.NDArray[np.float32]]:
        """The values that controllers drive on a sound: by address, one for each tick."""
        return {a: curve[PAD // TICK_FRAMES :] for a, curve in self._traced(_padded(x)).items()}

    def _traced(self, padded: Audio) -> dict[str, npt.NDArray[np.float32]]:
        if not self._driven:
            return {}
        traced = self.rack.copy().trace(padded, self.rate, sidechain=self._keys or None)[1]
        return {a: traced[a] for targets in self._driven.values() for a in targets if a in traced}

    def _play(self, swapped: Swapped, rack: Rack, x: Audio) -> Audio:
        keys = {name: key for name, key in swapped.keys.items() if name in rack.sidechains}
        return np.asarray(rack(x, self.rate, sidechain=keys or None, automation=swapped.automation or None))

    def _swapped(self, x: Audio, addresses: list[str]) -> Swapped:
        result = Swapped(self.rack.copy(), dict(self._keys))
        for address in [a for a in self.rack.addresses() if a in addresses]:
            effect = result.rack[address]
            if address in self._driven:
                effect.bypass = True
                late = latency_before(result.rack, self.rate)
                own = latency_before(self.rack, self.rate)
                for target in self._driven[address]:
                    if target in self._curves:
                        block = target.partition(".")[0]
                        by = round((late[block] - own[block]) / TICK_FRAMES)
                        curve = self._curves[target]
                        result.automation[target] = np.concatenate([np.repeat(curve[:1], by), curve])
            elif self._has_own_key(effect):
                name = f"{KEY}{address}"
                result.rack = _with(result.rack, address, relabelled(effect, address, name))
                result.keys[name] = self._clean[address].before  # the engine delays it as it delays the sound
            else:
                before = self._play(result, up_to_effect(result.rack, address, False), x)
                answer = self._late(result.rack, address, self._answer(address, before))
                player = PythonEffect(_Recording(answer), block_frames=BLOCK, name=address)
                result.rack = _with(result.rack, address, player)
        return result

    def _late(self, rack: Rack, address: str, sound: Audio) -> Audio:
        """A sound as late as what comes to a block is."""
        return np.pad(sound, ((0, 0), (latency_before(rack, self.rate)[address], 0)))

    def _answer(self, address: str, before: Audio) -> Audio:
        """The output of a block for what comes in when it behaves as on the clean sound."""
        stage = self._clean[address]
        assert stage.effect is not None
        if moves_own_gain(stage.effect):
            more = (before - stage.before) * _gain(stage.before, stage.after, self.rate)
            return np.asarray(stage.after + more, np.float32)
        alone = Rack([stage.effect.copy()])
        if address not in self._unmoved:
            self._unmoved[address] = alone(stage.before, self.rate)
        nearly = alone(stage.before + SMALL * (before - stage.before), self.rate)
        return np.asarray(stage.after + (nearly - self._unmoved[address]) / SMALL, np.float32)

    def _has_own_key(self, effect: Effect) -> bool:
        """Whether it decides by a sidechain input that is free."""
        values = effect.values()
        return (
            effect.card.sidechain
            and effect.key is None
            and values.get("topology") != "feedback"
            and "network" not in effect.resources
        )


def _listens_elsewhere(effect: Effect) -> bool:
    """Whether it decides by a sound from outside, so that to the sound itself it is linear."""
    return effect.card.sidechain and effect.key is not None and effect.values().get("topology") != "feedback"


def _padded(x: Audio) -> Audio:
    return np.pad(np.asarray(x, np.float32), ((0, 0), (PAD, 0)))


def _named(rack: Rack, sidechain: Sidechain) -> dict[str, Audio]:
    if sidechain is None or not rack.sidechains:
        return {}
    given = sidechain if isinstance(sidechain, Mapping) else dict.fromkeys(rack.sidechains, sidechain)
    return {name: np.asarray(key, np.float32) for name, key in given.items()}


def _driven_by(rack: Rack) -> dict[str, tuple[str, ...]]:
    """The values that each controller drives, by its address."""
    every = {}
    for address, effect in rack.addresses().items():
        targets = tuple(t for r in effect.resources.values() for t in getattr(r, "targets", ()))
        if targets and not effect.bypass:
            every[address] = targets
    return every


def _gain(before: Audio, after: Audio, rate: float) -> Audio:
    """The gain over time of an effect, smooth over GAIN_S; 1 where nothing is heard."""
    size = max(round(GAIN_S * rate), 1)
    window = np.hanning(size + 2)[1:-1]
    window /= window.sum()
    levels = [np.convolve(np.mean(s.astype(np.float64) ** 2, 0), window, "same") for s in (before, after)]
    audible = levels[0] > QUIET**2
    gain = np.where(audible, np.sqrt(levels[1] / np.maximum(levels[0], 1e-30)), 1.0)
    return np.asarray(gain, np.float32)


def _with(rack: Rack, address: str, effect: Effect) -> Rack:
    """A copy of a rack with another effect at an address; all others keep theirs."""
    target = rack.addresses()[address]
    names = {id(its): name for name, its in rack.addresses().items()}

    def copied(item: Effect | Chain | Parallel) -> Effect | Chain | Parallel:
        if isinstance(item, Effect):
            return effect if item is target else relabelled(item, names[id(item)], item.key)
        children = [copied(child) for child in item.children()]
        return Chain(children) if isinstance(item, Chain) else item.with_children(children)

    return Rack([copied(item) for item in rack.effects])
