"""Measurements: loudness, response curves, distances between recordings, gain over time."""

from .files import Measured as Measured
from .files import measure_file as measure_file
from .files import measure_files as measure_files
