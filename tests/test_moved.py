"""Former import paths: each is the module that stands in a folder now, and pickles from before still load."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

import twinrack as tr
from twinrack.moved import MOVED


@pytest.mark.parametrize("former", MOVED)
def test_a_former_path_is_the_module_itself(former):
    now = import_module(f"twinrack.{MOVED[former]}")
    assert import_module(f"twinrack.{former}") is now
    assert now.__spec__.name == now.__name__ == f"twinrack.{MOVED[former]}"


def test_former_paths_in_any_order():
    script = (
        "from twinrack.tree import Chain\nimport twinrack.rack.tree as now\nimport twinrack.loudness\nimport twinrack as tr\n"
        "assert Chain is now.Chain is tr.Chain\nassert tr.loudness.loudness\nassert tr.tree is now\n"
        "from twinrack.rack import Meter, Rack, built_resource, own_latency\nfrom twinrack.files import read_audio\n"
        "from twinrack.render import render_file\nfrom twinrack.measure import measure_file\n"
        "from twinrack.effects import CLASSES\n"
    )
    done = subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_pickle_that_names_former_modules_loads():
    rack = tr.Rack([tr.Compressor(ratio=3)])
    text = pickle.dumps(rack, protocol=0)
    former = text.replace(b"twinrack.rack.rack", b"twinrack.rack").replace(b"twinrack.rack.effect", b"twinrack.effect")
    assert former != text
    loaded = pickle.loads(former)
    x = np.ones((2, 480), np.float32)
    assert loaded == rack
    assert np.array_equal(loaded(x, 48000), rack(x, 48000))
