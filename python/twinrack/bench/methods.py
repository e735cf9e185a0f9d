"""The methods that the package itself enters with: racks, a grey box, black boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..audio import Audio
from ..explain.ablation import ablate
from ..explain.counterfactuals import counterfactual
from ..explain.wishes import LoudnessOf
from ..rack.effects import Adapter, Gain
from ..rack.rack import Rack
from ..resources.network import Network
from ..train.fit import fit
from ..train.result import FitResult
from .method import Account, Method, Place
from .problems import VOCABULARY, equaliser

BETTER_DB = 3.0  # that another effect must bring
MOST_EFFECTS = 2
NETWORK_STEPS = 150
STANDARD_JND = 1.0


class FittedRack:
    """Racks of the vocabulary: effects are added one after the other, each time the one that helps most, while it helps.

    Where they do not reach the target, their choices are tried too.

    Args:
        vocabulary: ids of the cards that may be chosen, in the order in which racks have them.
    """

    name = "twinrack"

    def __init__(self, vocabulary: Sequence[str] = tuple(VOCABULARY)) -> None:
        self._vocabulary = tuple(vocabulary)

    def fit(self, dry: Audio, wet: Audio, sample_rate: float, seed: int) -> None:
        self._dry, self._rate = dry, sample_rate
        best: tuple[tuple[str, ...], FitResult] | None = None
        for _ in range(MOST_EFFECTS):
            chosen: tuple[str, ...] = best[0] if best is not None else ()
            if best is not None and best[1].found:
                break
            tried = []
            for name in self._vocabulary:
                if name not in chosen:
                    names = tuple(n for n in self._vocabulary if n in {*chosen, name})
                    start = Rack([VOCABULARY[n]() for n in names])
                    result = fit(start, dry, wet, sample_rate, choices=(), align=False, seed=seed, progress=False)
                    tried.append((names, result))
                    if result.found:
                        break
            nearest = min(tried, key=lambda t: t[1].fitted.error_db)
            if best is not None and nearest[1].fitted.error_db > best[1].fitted.error_db - BETTER_DB:
                break
            best = nearest
        assert best is not None
        if not best[1].found:  # with what people seldom change: detectors, filters' warping, …
            others = fit(best[1].rack, dry, wet, sample_rate, align=False, seed=seed, progress=False)
            if others.fitted.error_db < best[1].fitted.error_db - BETTER_DB:
                best = best[0], others
        self._result = best[1]
        self._rack = self._result.rack

    def process(self, dry: Audio, sample_rate: float) -> Audio:
        return np.asarray(self._rack.copy()(dry, sample_rate))

    def explain(self) -> Account:
        effects = self._rack.addresses()
        importance = {
            effects[a.address].card.id: a.jnds for a in ablate(self._rack, self._dry, self._rate) if a.address in effects
        }
        importance = {name: jnds for name, jnds in importance.items() if name in VOCABULARY}
        values, undetermined = {}, set()
        for p in self._result.parameters:
            effect, _, name = p.address.partition(".")
            if effect not in effects:
                continue
            place = (effects[effect].card.id, name)
            values[place] = (p.fitted, p.standard_error)
            if p.determined is False:
                undetermined.add(place)
        structure = [e.card.id for e in effects.values() if e.card.id in VOCABULARY and importance.get(e.card.id, 0.0) > 0.0]
        return Account(len(values), self._black_box_share(), structure, values, frozenset(undetermined), importance)

    def change(self, dry: Audio, sample_rate: float, loudness_lufs: float) -> Mapping[Place, float] | None:
        answers = counterfactual(self._rack, dry, sample_rate, LoudnessOf(loudness_lufs, 0.5), ("*",))
        if not answers or not answers[0].met:
            return None
        effects, moved = self._rack.addresses(), answers[0].rack
        return {
            (effect.card.id, name): float(moved.get(f"{address}.{name}"))
            for address, effect in effects.items()
            for name, p in effect.card.addresses.items()
            if p.kind == "continuous" and moved.get(f"{address}.{name}") != effect.get(name)
        }

    def _black_box_share(self) -> float:
        return 0.0


class GreyBox(FittedRack):
    """An equaliser and a neural adapter: what the one cannot explain, the other learns."""

    name = "grey box (EQ + WaveNet)"

    def fit(self, dry: Audio, wet: Audio, sample_rate: float, seed: int) -> None:
        self._dry, self._rate = dry, sample_rate
        readable = fit(Rack([equaliser()]), dry, wet, sample_rate, choices=(), align=False, seed=seed, progress=False)
        network = Network.wavenet((8,), (1, 2, 4, 8, 16, 32, 64, 128), seed=seed, sample_rate=sample_rate)
        start = Rack([*(e.copy() for e in readable.rack), Adapter(network=network, connection="add")])
        self._result = fit(
            start, dry, wet, sample_rate, steps=NETWORK_STEPS, learn=["adapter.network"], align=False, seed=seed, progress=False
        )
        self._result.parameters = readable.parameters
        self._rack = self._result.rack

    def _black_box_share(self) -> float:
        return _share_of(self._rack, "adapter", self._dry, self._rate)


class BlackBox:
    """A neural network from audio to audio.

    Args:
        name: in the table.
        network: makes it, for a seed and a sample rate in Hz.
    """

    def __init__(self, name: str, network: Callable[[int, float], Network]) -> None:
        self.name, self._make = name, network

    def fit(self, dry: Audio, wet: Audio, sample_rate: float, seed: int) -> None:
        start = Rack([Adapter(network=self._make(seed, sample_rate)), Gain()])
        result = fit(start, dry, wet, sample_rate, steps=NETWORK_STEPS, align=False, seed=seed, progress=False)
        self._rack = result.rack

    def process(self, dry: Audio, sample_rate: float) -> Audio:
        return np.asarray(self._rack.copy()(dry, sample_rate))

    def explain(self) -> Account:
        network = self._rack["adapter"].resources["network"]
        return Account(int(network.weights.size), 1.0)  # type: ignore[attr-defined]

    def change(self, dry: Audio, sample_rate: float, loudness_lufs: float) -> None:
        return None


def _share_of(rack: Rack, address: str, dry: Audio, rate: float) -> float:
    """The energy of what a block changes, relative to all that the rack changes."""
    without = rack.copy()
    without[address].bypass = True
    played = np.asarray(rack.copy()(dry, rate), np.float64)
    own, changed = (float(np.sum((played - before) ** 2)) for before in (without(dry, rate), dry))
    return min(own / max(changed, 1e-20), 1.0)


METHODS: dict[str, Callable[[], Method]] = {
    "twinrack": FittedRack,
    "grey": GreyBox,
    "lstm": lambda: BlackBox("LSTM-16", lambda seed, rate: Network.lstm(16, 1, seed=seed, sample_rate=rate)),
    "wavenet": lambda: BlackBox(
        "WaveNet", lambda seed, rate: Network.wavenet((8,), (1, 2, 4, 8, 16, 32, 64, 128), seed=seed, sample_rate=rate)
    ),
}
