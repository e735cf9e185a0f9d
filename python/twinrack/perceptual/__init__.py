"""What is heard: critical bands, masking, specific loudness. As torch modules with gradients, and for analysis."""

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
