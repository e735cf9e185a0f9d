"""Set-up for all tests: the build is checked once, here, and not again in the processes that tests start."""

import os
from pathlib import Path

import numpy as np
import pytest

import twinrack

_build = Path(__file__).resolve().parents[1] / "build"
os.environ["SKBUILD_EDITABLE_SKIP"] = os.pathsep.join(str(p.resolve()) for p in _build.glob("*") if p.is_dir())


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are the same in every run of a test and differ between tests."""
    return np.random.default_rng(abs(hash_of(request.node.nodeid)))


def hash_of(text: str) -> int:
    import zlib

    return zlib.crc32(text.encode())


def pytest_report_header() -> str:
    return f"twinrack {twinrack.__version__}, vectors: {twinrack._engine.simd_target()}"
