"""Updates of a live stream from a training: its rack glides to the values every few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..rack.rack import Rack
from ..rack.tree import shape_of
from ..twins.rack_twin import RackTwin

if TYPE_CHECKING:
    from ..stage.stream import LiveStream

VALUES_EVERY, RESOURCES_EVERY = 3, 30  # steps; a network or response is built anew and faded in


class StreamUpdater:
    """Sets the values of a stream's rack to those of a twin.

    Args:
        stream: plays a copy of `rack`, at the twin's sample rate.
        rack: that is trained.
        twin: of that rack; its values are handed over.

    Raises:
        ValueError: the stream's rack has another structure than the one that is trained.
    """

    def __init__(self, stream: LiveStream, rack: Rack, twin: RackTwin) -> None:
        if shape_of(stream.rack.root) != shape_of(rack.root) or list(stream.rack.addresses()) != list(rack.addresses()):
            raise ValueError("the live stream plays another rack than the one that is trained; start it with a copy of that")
        if stream.sample_rate != twin.sample_rate:
            raise ValueError(
                f"the live stream runs at {stream.sample_rate:g} Hz and the recordings have {twin.sample_rate:g} Hz; "
                "open it at their rate"
            )
        self.rack, self._twin = stream.rack, twin

    def set_all(self, rack: Rack) -> None:
        """All values and resources of a rack of the same structure."""
        for address, effect in rack.addresses().items():
            for name, value in effect.values().items():
                if self.rack[address].get(name) != value:
                    self.rack[address].set(name, value)
            for name, resource in effect.resources.items():
                if self.rack[address].resources.get(name) != resource:
                    setattr(self.rack[address], name, resource)

    def after_step(self, step: int) -> None:
        """The twin's values every VALUES_EVERY steps, its resources every RESOURCES_EVERY."""
        twin = self._twin
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
