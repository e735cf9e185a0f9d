"""Racks: cards, effects, the tree that they stand in, the rack that runs them, and the patch that it is saved as."""

from .rack import Rack as Rack
from .rack import _rebuild_rack as _rebuild_rack  # pickles name it here
from .rack import as_rack as as_rack
from .running import Meter as Meter
