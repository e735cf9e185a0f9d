"""The types of resources that cards name."""

from __future__ import annotations

from .network import ControlNetwork, Network
from .noise_network import NoiseNetwork
from .resource import Resource
from .response import Response

TYPES: dict[str, type[Resource]] = {"response": Response, "network": Network, "control": ControlNetwork, "noise": NoiseNetwork}
