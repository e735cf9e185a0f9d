"""Loops of an adapter: the cut at 5 Hz, and the states of a recurrent network. A convolutional one has no loop.

A GRU's state moves by a fraction between 0 and 1 of the way to a value between -1 and 1. An LSTM's cell is multiplied by its
forget gate, which stays below a bound: its inputs are states between -1 and 1 and a sound within 0 dBFS. The output of either
is bounded in any case, as it is a weighted sum of states between -1 and 1.
"""

import math

import numpy as np

from twinrack.explain.certify import Loop, filter_loop
from twinrack.rack.effect import Effect
from twinrack.resources.architectures import Recurrent
from twinrack.resources.network import Network

LOUDEST = 1.0


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    every = []
    if not effect.get("keep_dc"):
        every.append(filter_loop("cut at 5 Hz", "low_cut", 5.0, 0.0, np.sqrt(0.5), sample_rate))
    network = effect.resources.get("network")
    if isinstance(network, Network) and isinstance(network.architecture, Recurrent):
        loudest = LOUDEST * 10.0 ** (float(effect.get("input_db")) / 20.0)
        every += [Loop(*loop) for loop in _states(network, network.architecture, loudest)]
    return every


def _states(network: Network, a: Recurrent, loudest: float) -> list[tuple[str, str, float]]:
    pieces, at = {}, 0
    for name, shape in network.shapes():
        size = math.prod(shape)
        pieces[name] = network.weights[at : at + size].astype(np.float64).reshape(shape)
        at += size
    states = []
    for i in range(a.layers):
        weight, bias = pieces[f"{i}.weight"], pieces[f"{i}.bias"]
        reach = np.ones(weight.shape[1])
        if i == 0:
            reach[0] = loudest
        highest = (np.abs(weight) @ reach + bias)[a.hidden : 2 * a.hidden].max()  # the forget gate's, or the update gate's
        gate = float(1.0 / (1.0 + np.exp(-highest)))
        states.append((f"state {i + 1}", "shares", 0.0) if a.kind == "gru" else (f"cell {i + 1}", "poles", gate))
    return states
