"""Threads of OpenMP: they sleep soon where twinrack is imported before torch, unless the environment says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("code", "own", "expected"),
    [
        ("import twinrack", {}, "2000"),
        ("import torch; import twinrack", {}, "None"),
        ("import twinrack", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("import twinrack", {"OMP_WAIT_POLICY": "active"}, "None"),
    ],
)
def test_how_long_threads_wait(code, own, expected):
    environment = {n: v for n, v in os.environ.items() if n not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | own
    script = f"{code}; import os; print(os.environ.get('GOMP_SPINCOUNT'))"
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected
