"""Names of what the tests' own plugin does wrong (tests/cpp/odd_plugin.cc), and of real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinrack import _engine

RATE = 48000
(
    GOOD,
    CRASHES,
    HANGS,
    CRASHES_EARLY,
    REFUSES,
    ALLOCATES,
    NAN,
    LIES,
    NOISY,
    LEAVES,
    KEEPS_NAN,
    LOUD_CRASHES,
    KEYED,
    MOVES_LATENCY,
) = range(14)
ODD = "urn:twinrack:test:odd"
MDA = "http://drobilla.net/plugins/mda/"

needs_host = pytest.mark.skipif(
    not Path(_engine.__file__).with_name("twinrack-host").is_file(), reason="twinrack-host was not built: install liblilv-dev"
)
