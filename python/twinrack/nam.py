"""Reading and writing .nam files, the format of Neural Amp Modeler captures (version 0.5 and later).

WaveNet, LSTM, ConvNet and Linear are read, with all activations but PReLU by channel. What the format has for the training
of several sizes at once (slimmable, packed) and for conditioning (FiLM, a network that conditions) is refused by name.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .architectures import (
    GATINGS,
    Activation,
    Architecture,
    Chain,
    Convolution,
    Layer,
    LayerArray,
    Recurrent,
    WaveNet,
    Weights,
)
from .disk import atomic, json_bytes, path_of, read_json
from .network import Network

USUAL_RATE = 48000.0  # of files that do not say
VERSION = "0.7.0"
# The format's names of activations, and what their numbers are called there.
NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "Tanh": ("tanh", ()),
    "Sigmoid": ("sigmoid", ()),
    "ReLU": ("relu", ()),
    "LeakyReLU": ("leaky_relu", ("negative_slope",)),
    "PReLU": ("leaky_relu", ("negative_slope",)),
    "Hardtanh": ("hard_tanh", ("min_val", "max_val")),
    "LeakyHardtanh": ("leaky_hard_tanh", ("min_val", "max_val", "min_slope", "max_slope")),
    "SiLU": ("silu", ()),
    "Softsign": ("softsign", ()),
    "Softsigmoid": ("soft_sigmoid", ()),
    "Hardswish": ("hard_swish", ()),
    "Identity": ("identity", ()),
}
_GATINGS = {"none": "none", "gated": "multiply", "blended": "blend"}


def read(path: str | os.PathLike[str]) -> Network:
    """As `Network.read`."""
    path = path_of(path)
    data = read_json(path, "network", "a .nam file")
    if not isinstance(data, dict) or "architecture" not in data or "weights" not in data or "config" not in data:
        raise ValueError(f"{path} is not a .nam file: architecture, config or weights are missing; export it anew")
    try:
        weights = _weights(data["weights"])
        made, weights = _architecture(str(data["architecture"]), data["config"], weights)
        return Network(made, weights, data.get("sample_rate") or USUAL_RATE, os.fspath(path))
    except KeyError as error:
        raise ValueError(f"{path}: config has no {error.args[0]!r}; export it anew") from None
    except (AttributeError, IndexError):
        raise ValueError(f"{path} is not a .nam file: its config has another form than the format's; export it anew") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _weights(given: Any) -> Weights:
    """The weights of a file, as single precision.

    Raises:
        ValueError: they are no flat list of numbers, or one is beyond what single precision holds.
    """
    if not isinstance(given, list):
        raise ValueError("weights is no list of numbers; export it anew")
    try:
        weights = np.array(given, np.float64)
    except OverflowError:
        raise ValueError("a weight is too large for a 32-bit float; train or export it anew") from None
    except (ValueError, TypeError):
        weights = np.zeros((0, 0))
    if weights.ndim != 1:
        raise ValueError("weights is no flat list of numbers; export it anew")
    with np.errstate(over="ignore"):  # infinity is refused with the rest
        return weights.astype(np.float32)


def _architecture(name: str, config: dict[str, Any], weights: Weights) -> tuple[Architecture, Weights]:
    if name == "WaveNet":
        return _wavenet(config), weights
    if name == "LSTM":
        if config.get("input_size", 1) != 1:
            raise ValueError(f"the network takes {config['input_size']} inputs; only those that hear one channel can be used")
        return Recurrent("lstm", config["hidden_size"], config.get("num_layers", 1)), weights
    if name == "Linear":
        return Chain((Convolution(1, config["receptive_field"], 1, bool(config["bias"])),)), weights
    if name == "ConvNet":
        return _conv_net(config, weights)
    raise ValueError(f"the architecture {name!r} is not known; WaveNet, LSTM, ConvNet and Linear are")


def _activation(given: str | dict[str, Any] | None) -> Activation:
    if given is None:
        return Activation()
    if isinstance(given, str):
        given = {"type": given}
    name = given.get("type", given.get("name"))
    if name not in NAMES or "negative_slopes" in given:
        raise ValueError(
            f"the activation {name!r}{' by channel' if name in NAMES else ''} is not known; {', '.join(NAMES)} are"
        )
    ours, keys = NAMES[name]
    given_numbers = {key: given[key] for key in keys if key in given}
    defaults = Activation(ours).numbers
    return Activation(ours, tuple(float(given_numbers.get(k, d)) for k, d in zip(keys, defaults, strict=True)))


def _used(entry: Any) -> bool:
    """True where an option of the format is switched on."""
    return bool(entry.get("active", True)) if isinstance(entry, dict) else bool(entry)


def _wavenet(config: dict[str, Any]) -> WaveNet:
    if config.get("condition_dsp"):
        raise ValueError("a network that is conditioned by another one cannot be used")
    arrays = [_array(entry) for entry in config["layers"]]
    head = config.get("head")
    return WaveNet(tuple(arrays), None if not head else _head(head, arrays[-1].head_outputs))


def _head(entry: dict[str, Any], inputs: int) -> Chain:
    kernels, before = entry["kernel_sizes"], _activation(entry["activation"])
    widths = [entry["channels"]] * (len(kernels) - 1) + [entry["out_channels"]]
    return Chain(tuple(Convolution(w, k, 1, True, before) for w, k in zip(widths, kernels, strict=True)), inputs)


def _array(entry: dict[str, Any]) -> LayerArray:
    for key, value in entry.items():
        if key.endswith("_film") and _used(value):
            raise ValueError(f"layers with {key} cannot be used")
    if entry.get("groups_input", 1) != 1 or entry.get("groups_input_mixin", 1) != 1 or entry.get("condition_size", 1) != 1:
        raise ValueError("layers in groups, or conditioned by more than one channel, cannot be used")
    one, head_one = entry.get("layer1x1", {"active": True}), entry.get("head1x1", {"active": False})
    for part in (one, head_one):
        if part.get("groups", 1) != 1 and part.get("active"):
            raise ValueError("layers in groups cannot be used")
    dilations = entry["dilations"]
    count, channels = len(dilations), entry["channels"]
    kernels = entry.get("kernel_sizes", entry.get("kernel_size"))
    kernels = kernels if isinstance(kernels, list) else [kernels] * count
    firsts = entry["activation"] if isinstance(entry["activation"], list) else [entry["activation"]] * count
    gatings = entry.get("gating_mode") or ["gated" if entry.get("gated") else "none"] * count
    seconds = entry.get("secondary_activation") or ["Sigmoid" if g == "gated" else None for g in gatings]
    for gating in gatings:
        if gating not in _GATINGS:
            raise ValueError(f"the gating {gating!r} is not known; {', '.join(_GATINGS)} are")
    layers = tuple(
        Layer(k, d, _activation(a), _GATINGS[g], _activation(s))  # type: ignore[arg-type]
        for k, d, a, g, s in zip(kernels, dilations, firsts, gatings, seconds, strict=True)
    )
    head = entry.get("head") or {"out_channels": entry["head_size"], "kernel_size": 1, "bias": entry["head_bias"]}
    return LayerArray(
        channels=channels,
        middle=entry.get("bottleneck", channels),
        head_outputs=head["out_channels"],
        layers=layers,
        head_inputs=head_one["out_channels"] if head_one.get("active") else 0,
        head_kernel=head.get("kernel_size", 1),
        head_bias=bool(head["bias"]),
        one_by_one=bool(one.get("active", True)),
    )


def _conv_net(config: dict[str, Any], weights: Weights) -> tuple[Chain, Weights]:
    """Convolutions of two frames; the batch norm after each is folded into it."""
    channels, batch_norm = config["channels"], bool(config["batchnorm"])
    before, inputs, at = Activation(), 1, 0
    convs, pieces = [], []

    def take(count: int) -> Weights:
        nonlocal at
        at += count
        return weights[at - count : at]

    for dilation in config["dilations"]:
        weight = take(channels * inputs * 2).reshape(channels, inputs, 2)
        if batch_norm:
            mean, variance, gain, offset = (take(channels) for _ in range(4))
            scale = gain / np.sqrt(variance + take(1))
            weight, bias = weight * scale[:, None, None], offset - mean * scale
        else:
            bias = take(channels)
        pieces += [weight.ravel(), bias]
        convs.append(Convolution(channels, 2, dilation, True, before))
        before, inputs = _activation(config["activation"]), channels
    convs.append(Convolution(1, 1, 1, True, before))
    return Chain(tuple(convs)), np.concatenate([*pieces, weights[at:]])


def write(network: Network, path: str | os.PathLike[str]) -> None:
    """As `Network.write`."""
    data = {
        "version": VERSION,
        "metadata": {"modeled_by": "twinrack"},
        **_config(network.architecture, network.weights),
        "weights": [float(w) for w in network.weights],
        "sample_rate": network.sample_rate or USUAL_RATE,
    }
    content = json_bytes(data, path_of(path), "network", None)
    with atomic(path) as beside:
        beside.write_bytes(content)


def _config(a: Architecture, weights: Weights) -> dict[str, Any]:
    if isinstance(a, Recurrent) and a.kind == "lstm":
        return {"architecture": "LSTM", "config": {"input_size": 1, "hidden_size": a.hidden, "num_layers": a.layers}}
    if not isinstance(a, WaveNet):
        raise ValueError(f"the .nam format has no {a.kind}; WaveNet and LSTM can be written")
    inputs, layers = 1, []
    for array in a.arrays:
        layers.append(_array_entry(array, inputs))
        inputs = array.channels
    head = None
    if a.head is not None:
        widths = [c.outputs for c in a.head.convolutions]
        before = _named(a.head.convolutions[0].before)  # the head's is called by name, those of layers by type
        name = before.pop("type")
        head = {
            "channels": widths[0],
            "activation": {"name": name, **before} if before else name,
            "out_channels": widths[-1],
            "kernel_sizes": [c.kernel for c in a.head.convolutions],
        }
    return {"architecture": "WaveNet", "config": {"layers": layers, "head": head, "head_scale": float(weights[-1])}}


def _array_entry(array: LayerArray, inputs: int) -> dict[str, Any]:
    back = {ours: theirs for theirs, ours in _GATINGS.items()}
    assert set(back) == set(GATINGS)
    return {
        "input_size": inputs,
        "condition_size": 1,
        "head": {"out_channels": array.head_outputs, "kernel_size": array.head_kernel, "bias": array.head_bias},
        "channels": array.channels,
        "kernel_sizes": [x.kernel for x in array.layers],
        "dilations": [x.dilation for x in array.layers],
        "activation": [_named(x.activation) for x in array.layers],
        "bottleneck": array.middle,
        "head1x1": {"active": array.head_inputs > 0, "out_channels": array.head_inputs or 1, "groups": 1},
        "layer1x1": {"active": array.one_by_one, "groups": 1},
        "groups_input": 1,
        "groups_input_mixin": 1,
        "gating_mode": [back[x.gating] for x in array.layers],
        "secondary_activation": [None if x.gating == "none" else _named(x.second) for x in array.layers],
    }


def _named(a: Activation) -> dict[str, Any]:
    theirs, keys = next((name, keys) for name, (ours, keys) in NAMES.items() if ours == a.name)
    return {"type": theirs, **dict(zip(keys, a.numbers, strict=True))}
