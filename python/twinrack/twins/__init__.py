"""Differentiable twins: the effects as torch modules that compute what the engine computes, with exact gradients.

`Rack.twin()` makes the module of a whole rack; `EffectTwin` is one effect; `apply` is the functional form, in which every
parameter may be a number, a tensor of one value per batch item, or a curve of one value per tick of 32 frames.
"""

from .effect_twin import EffectTwin, apply
from .rack_twin import RackTwin
from .speed import keep_memory

__all__ = ["EffectTwin", "RackTwin", "apply", "keep_memory"]
