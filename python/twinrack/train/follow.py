"""A running stream that follows a training: its values glide to the twin's every few steps, and a network's at checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..rack.rack import Rack
from ..rack.tree import shape_of
from ..twins.rack_twin import RackTwin

if TYPE_CHECKING:
    from ..stage.stream import LiveStream

VALUES_EVERY, RESOURCES_EVERY = 3, 30  # steps; a network or response is built anew and faded in


class Follower:
    """Hands the twin's values to a stream's rack.

    Raises:
        ValueError: the stream's rack has another structure than the one that is trained.
    """

    def __init__(self, stream: LiveStream, rack: Rack, sample_rate: float) -> None:
        if shape_of(stream.rack.root) != shape_of(rack.root) or list(stream.rack.addresses()) != list(rack.addresses()):
            raise ValueError("the live stream plays another rack than the one that is trained; start it with a copy of that")
        if stream.sample_rate != sample_rate:
            raise ValueError(
                f"the live stream runs at {stream.sample_rate:g} Hz and the recordings have {sample_rate:g} Hz; "
                "open it at their rate"
            )
        self.rack = stream.rack

    def take(self, rack: Rack) -> None:
        """Everything from a rack of the same structure."""
        for address, effect in rack.addresses().items():
            for name, value in effect.values().items():
                if self.rack[address].get(name) != value:
                    self.rack[address].set(name, value)
            for name, resource in effect.resources.items():
                if self.rack[address].resources.get(name) != resource:
                    setattr(self.rack[address], name, resource)

    def step(self, step: int, twin: RackTwin) -> None:
        """After a step of the training; 0 brings everything up to date."""
        if step % VALUES_EVERY == 0:
            for address in twin.addresses():
                effect = self.rack[address]
                for name, value in twin[address].values().items():
                    if effect.get(name) != value:
                        effect.set(name, value)
        if step % RESOURCES_EVERY == 0:
            for address in twin.addresses():
                for name, numbers in twin[address].resources.items():
                    before = self.rack[address].resources.get(name) or twin[address].known[name]
                    learned = before.learned(numbers.detach().cpu().numpy().astype(np.float32), twin.sample_rate)
                    if learned is not before:
                        setattr(self.rack[address], name, learned)
