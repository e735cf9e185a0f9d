"""The network of an adapter as the engine reads it: its description and weights."""

from collections.abc import Mapping

from twinrack.audio import Audio
from twinrack.rack.card import Value
from twinrack.resources.network import Network


def build(values: Mapping[str, Value], network: Network, sample_rate: float, channels: int) -> Audio:
    return network.numbers()
