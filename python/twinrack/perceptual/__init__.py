"""Models of hearing: critical bands, masking, specific loudness; torch modules with gradients, for losses and analysis."""

from .bands import CriticalBands
from .loudness import SpecificLoudness, phon
from .masking import Masking
from .scales import bark, critical_bandwidth_hz, erb_hz, erb_rate, threshold_in_quiet_db

__all__ = [
    "CriticalBands",
    "Masking",
    "SpecificLoudness",
    "bark",
    "critical_bandwidth_hz",
    "erb_hz",
    "erb_rate",
    "phon",
    "threshold_in_quiet_db",
]
