"""How fast networks play: the engine's blocks of 64 and 512 frames beside torch and ONNX Runtime, one thread each.

    pip install onnx onnxruntime && python benchmarks/networks.py

The peers get what suits them: torch and ONNX Runtime play a WaveNet one second at a time (with the past it needs), an LSTM
in blocks with its state handed on. Every side is measured in turn, the best of several rounds counts.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import time
from collections.abc import Callable

import numpy as np
import torch

import twinrack as tr
from twinrack.twins import keep_memory
from twinrack.twins.networks import network as torch_network

RATE = 48000
ROUNDS = 5
NETWORKS = {
    "WaveNet standard": tr.Network.wavenet(sample_rate=RATE),
    "WaveNet 12, 6": tr.Network.wavenet((12, 6), sample_rate=RATE),
    "WaveNet 4, 2": tr.Network.wavenet((4, 2), sample_rate=RATE),
    "LSTM 32": tr.Network.lstm(32, sample_rate=RATE),
    "LSTM 16": tr.Network.lstm(16, sample_rate=RATE),
    "GRU 32": tr.Network.gru(32, sample_rate=RATE),
    "MLP 16, 16": tr.Network.mlp(sample_rate=RATE),
}


def seconds(play: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        play()
    return time.perf_counter() - start


def engine(network: tr.Network, block: int) -> Callable[[], float]:
    rack = tr.Rack([tr.Adapter(network=network, keep_dc=True)])
    rack.prepare(RATE, 1)
    x = (0.1 * np.random.default_rng(0).standard_normal((1, block))).astype(np.float32)
    times = RATE // 4 // block
    return lambda: times * block / RATE / seconds(lambda: rack.process(x), times)


def torch_blocks(network: tr.Network) -> Callable[[], float]:
    """A second at once for what has no state; a recurrent network in blocks of 64, its state handed on."""
    torch.set_num_threads(1)
    weights = torch.from_numpy(network.weights.copy())
    if network.receptive_field is not None:
        x = 0.1 * torch.randn(1, 1, RATE)

        def whole() -> float:
            with torch.no_grad():
                return 1.0 / seconds(lambda: torch_network(x, network, weights), 1)

        return whole
    layer = (torch.nn.LSTM if network.kind == "lstm" else torch.nn.GRU)(1, network.architecture.hidden, batch_first=True)
    head = torch.nn.Linear(network.architecture.hidden, 1)
    x = 0.1 * torch.randn(1, 64, 1)
    state = None

    def play() -> None:
        nonlocal state
        y, state = layer(x, state)
        head(y)

    def blocks() -> float:
        with torch.no_grad():
            return 100 * 64 / RATE / seconds(play, 100)

    return blocks


def onnx_blocks(network: tr.Network) -> Callable[[], float] | None:
    """An LSTM in blocks of 64 by ONNX Runtime's own operator; the weights' order does not matter for the time."""
    try:
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    if network.kind not in ("lstm", "gru"):
        return None
    h, kind = network.architecture.hidden, network.kind.upper()
    gates = 4 if kind == "LSTM" else 3
    rng = np.random.default_rng(0)
    sizes = {"w": (1, gates * h, 1), "r": (1, gates * h, h), "b": (1, 2 * gates * h), "head": (h, 1)}
    given = [numpy_helper.from_array((0.1 * rng.standard_normal(s)).astype(np.float32), n) for n, s in sizes.items()]
    states = ["h0", "c0"][: 2 if kind == "LSTM" else 1]
    out = ["y", *(f"{s}_next" for s in states)]
    nodes = [helper.make_node(kind, ["x", "w", "r", "b", "", *states], out, hidden_size=h)]
    nodes.append(helper.make_node("MatMul", ["y", "head"], ["z"]))
    shape = {"x": [64, 1, 1], **{s: [1, 1, h] for s in states}}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shape.items()]
    output_shapes = {"z": [64, 1, 1, 1], **{n: [1, 1, h] for n in out[1:]}}
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in output_shapes.items()]
    graph = helper.make_graph(nodes, "net", inputs, outputs, given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {n: np.zeros(s, np.float32) for n, s in shape.items()}

    def play() -> None:
        values = session.run(None, feed)
        feed.update(zip(states, values[1:], strict=True))

    return lambda: 100 * 64 / RATE / seconds(play, 100)


def main() -> None:
    torch.set_num_threads(1)
    print("times real time at 48 kHz, mono, one thread")
    print(f"{'network':<18}{'weights':>8}{'engine, 64':>12}{'engine, 512':>13}{'torch':>9}{'ONNX Runtime':>14}")
    for name, network in NETWORKS.items():
        sides = [engine(network, 64), engine(network, 512), torch_blocks(network), onnx_blocks(network)]
        best = [0.0] * len(sides)
        for _ in range(ROUNDS):
            for i, side in enumerate(sides):
                if side is not None:
                    best[i] = max(best[i], side())
        shown = [f"{b:.0f}" if b else "-" for b in best]
        print(f"{name:<18}{network.parameters:>8}{shown[0]:>12}{shown[1]:>13}{shown[2]:>9}{shown[3]:>14}")


def training() -> None:
    """Sixteen sounds of a second at 44.1 kHz, forwards and backwards: the sweeps beside torch's own LSTM and GRU."""
    keep_memory()
    torch.set_num_threads(os.cpu_count() or 1)
    print(f"\ntraining, times real time, 16 x 1 s at 44.1 kHz, {torch.get_num_threads()} threads")
    print(f"{'network':<18}{'sweeps':>10}{'torch':>10}")
    for name in ("LSTM 16", "LSTM 32", "GRU 32"):
        network = NETWORKS[name]
        weights = torch.from_numpy(network.weights.copy()).requires_grad_()
        x = 0.1 * torch.randn(16, 1, 44100)
        best = {"fast": 0.0, "parallel": 0.0}
        for _ in range(3):
            for path in best:
                start = time.perf_counter()
                torch_network(x, network, weights, path).square().mean().backward()
                best[path] = max(best[path], 16.0 / (time.perf_counter() - start))
        print(f"{name:<18}{best['fast']:>10.1f}{best['parallel']:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
    training()
