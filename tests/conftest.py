"""What all tests share with pytest."""

import os
import zlib

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads sleep, on machines that are shared
if "PYTEST_XDIST_WORKER" in os.environ:  # the other cores have tests of their own
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

import jack_support
import twinrack


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are the same in every run of a test and differ between tests."""
    file, _, test = request.node.nodeid.partition("::")
    name = f"tests/{file.rpartition('/')[2]}::{test}"  # a file that moves to another folder keeps its numbers
    return np.random.default_rng(zlib.crc32(name.encode()))


def pytest_report_header() -> str:
    return f"twinrack {twinrack.__version__}, vectors: {twinrack._engine.simd_target()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a JACK server have deadlines in real time."""
    for item in items:
        if any(mark is jack_support.needs_jack.mark for mark in item.iter_markers("skipif")):
            item.add_marker("alone")
