"""Rooms and loudspeakers: measure them with a sweep, and correct what can be corrected; filters from curves.

measured = tr.room.measure(speakers=[1, 2])             # live, a microphone where one listens
correction = tr.room.correct([measured, ...], target="house")
correction.rack.save("room.rack.json")
"""

from __future__ import annotations

from .correction import Correction, correct
from .filters import filter_of, linear_phase
from .measurement import MeasuredRoom, measure
from .sweep import Sweep

__all__ = ["Correction", "MeasuredRoom", "Sweep", "correct", "filter_of", "linear_phase", "measure"]
