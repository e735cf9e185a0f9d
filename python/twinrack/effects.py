"""The effect classes, by name: `from twinrack.effects import Compressor`."""

from .rack.effect import CLASSES as CLASSES
from .rack.effects import *  # noqa: F403
from .rack.effects import __all__ as __all__
