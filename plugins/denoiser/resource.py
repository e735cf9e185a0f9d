"""The network of a denoiser as the engine reads it: its description and weights."""

from collections.abc import Mapping

from twinrack.audio import Audio
from twinrack.rack.card import Value
from twinrack.resources.noise_network import NoiseNetwork


def build(values: Mapping[str, Value], network: NoiseNetwork, sample_rate: float, channels: int) -> Audio:
    return network.numbers()
