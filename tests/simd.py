"""The engine and the sweeps on an instruction set that is not this processor's best, in a process of its own.

Highway has a switch for tests, in its shared library; set before the extension first chooses, it holds for the process. So
the product needs no switch, and what is tested is the extension that is installed.

    python tests/simd.py BIT                 prints the instruction set that is then chosen
    python tests/simd.py BIT CASES RESULTS [EXTENSION]
                                             runs the cases (tests/records.py) on it, perhaps in another build
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import records


def _highway(function: str) -> Any:
    """A function of Highway's shared library, by its name on Linux."""
    name = ctypes.util.find_library("hwy")
    if name is None:
        raise OSError("Highway's shared library is not there (libhwy-dev), so its targets cannot be chosen from outside")
    return getattr(ctypes.CDLL(name), function)


def supported() -> list[int]:
    """Bits of the instruction sets that this processor has, best first."""
    function = _highway("_ZN3hwy16SupportedTargetsEv")
    function.restype = ctypes.c_int64
    mask = function()
    return [bit for bit in range(63) if mask >> bit & 1]


def limit(bit: int) -> None:
    """Before twinrack is imported: this instruction set, or the lowest where it is not compiled."""
    function = _highway("_ZN3hwy26SetSupportedTargetsForTestEl")
    function.argtypes, function.restype = [ctypes.c_int64], None
    function(1 << bit)


def worker(bit: int, *files: Path) -> str:
    """What this file prints when it runs with these arguments."""
    done = subprocess.run([sys.executable, __file__, str(bit), *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def compiled() -> dict[str, int]:
    """The instruction sets that the extension is compiled for and this processor has, by name, best first."""
    found: dict[str, int] = {}
    for bit in supported():
        found.setdefault(worker(bit), bit)
    return found


def render(case: records.Case, blocks: np.ndarray) -> np.ndarray:
    """One effect, from silence; `blocks` are the lengths of the blocks, again and again until the end."""
    from twinrack import _engine

    effect, root = _engine.Node(), _engine.Node()
    effect.kind, effect.effect, effect.values = _engine.NodeKind.effect, case["effect"], case["values"].tolist()
    effect.key = 0 if "key" in case else -1
    root.kind, root.children = _engine.NodeKind.chain, [effect]
    rate, channels = case["format"]
    engine = _engine.Engine(root, rate, int(channels))
    if "automated" in case:
        engine.automate(case["automated"].tolist(), case["curves"])
    x, parts, start, turn = case["x"], [], 0, 0
    while start < x.shape[1]:
        end = start + int(blocks[turn % len(blocks)])
        keys = [np.ascontiguousarray(case["key"][:, start:end])] if "key" in case else []
        parts.append(engine.process(np.ascontiguousarray(x[:, start:end]), keys))
        start, turn = end, turn + 1
    return np.concatenate(parts, axis=1)


SIDE_BY_SIDE = 7  # renderings of one case, at different levels; more than lanes on some instruction sets


def side_by_side(case: records.Case) -> records.Case:
    """The beginning of a case at several levels, each alone and all at once."""
    from twinrack import _engine

    rate = float(case["format"][0])
    effect = _engine.Node()
    effect.kind, effect.effect, effect.values = _engine.NodeKind.effect, case["effect"], case["values"].tolist()
    latency = _engine.effect_latency(effect.effect, effect.values, rate)
    x = np.ascontiguousarray(case["x"][:, :3000])
    sounds = [np.float32(0.5**k) * x for k in range(SIDE_BY_SIDE)]
    padded = [np.pad(sound, ((0, 0), (0, latency))) for sound in sounds]
    alone = [render(case | {"x": sound}, np.array([sound.shape[1]]))[:, latency:] for sound in padded]
    together = np.empty((SIDE_BY_SIDE, *x.shape), np.float32)
    values = np.zeros((SIDE_BY_SIDE, 0), np.float32)
    roots, keys = [effect] * SIDE_BY_SIDE, [[] for _ in sounds]
    _engine.render_many(rate, roots, [], values, sounds, keys, list(together), 1, lambda: None)
    return {"alone": np.stack(alone), "together": together}


def run_effect(case: records.Case) -> records.Case:
    results = {"whole": render(case, np.array([case["x"].shape[1]])), "cut": render(case, case["blocks"])}
    return results | (side_by_side(case) if "key" not in case and "automated" not in case else {})


def run_sweep(case: records.Case) -> records.Case:
    """Forwards and backwards through one recursion."""
    import torch

    from twinrack.twins import fast
    from twinrack.twins.recursions import find_recursion

    count = sum(name.startswith("tensor") for name in case)
    tensors = [torch.tensor(case[f"tensor{i}"], requires_grad=True) for i in range(count)]
    if case["sweep"] == "fir":
        y = fast.fir(*tensors, tuple(case["taps"].tolist()))
    else:
        y = find_recursion(case["sweep"]).fast(*tensors, tuple(case["options"].tolist()))
    grads = torch.autograd.grad(y, tensors, torch.tensor(case["y_grad"]))
    return {"y": y.detach().numpy()} | {f"grad{i}": g.contiguous().numpy() for i, g in enumerate(grads)}


def run(cases: list[records.Case]) -> list[records.Case]:
    return [run_effect(case) if "effect" in case else run_sweep(case) for case in cases]


def replace(extension: str) -> None:
    """Before twinrack is imported: this file is its extension."""
    spec = importlib.util.spec_from_file_location("twinrack._engine", extension)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["twinrack._engine"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


if __name__ == "__main__":
    limit(int(sys.argv[1]))
    if len(sys.argv) > 4:
        replace(sys.argv[4])
    from twinrack import _engine

    if len(sys.argv) > 2:
        records.write(Path(sys.argv[3]), run(records.read(Path(sys.argv[2]))))
    print(_engine.simd_target())
