"""Racks: effects and their cards, the tree that effects form, the engine that runs it, and the patch file."""

from .compiling import built_resource as built_resource
from .compiling import own_latency as own_latency
from .rack import Rack as Rack
from .rack import _rebuild_rack as _rebuild_rack  # pickles name it here
from .rack import as_rack as as_rack
from .running import Meter as Meter
