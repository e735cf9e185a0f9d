"""Models of hearing: critical bands, masking, specific loudness; torch modules with gradients, for losses and analysis."""

from .bands import CriticalBands
from .loudness import SpecificLoudness, phon
from .masking import Masking
from .noticeable import Noticeable, jnds_between
from .scales import bark, critical_bandwidth_hz, erb_hz, erb_rate, threshold_in_quiet_db

__all__ = [
    "CriticalBands",
    "Masking",
    "Noticeable",
    "SpecificLoudness",
    "bark",
    "critical_bandwidth_hz",
    "erb_hz",
    "erb_rate",
    "jnds_between",
    "phon",
    "threshold_in_quiet_db",
]
