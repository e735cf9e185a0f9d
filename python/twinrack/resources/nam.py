"""Reading and writing .nam files, the format of Neural Amp Modeler captures (version 0.5 and later).

WaveNet, LSTM, ConvNet and Linear are read, with all activations; of a container of several sizes (SlimmableContainer) one is
taken.
A key that is not known here may change the sound, so the file is refused by its name unless the key is switched off; so are
conditioning (FiLM, a network that conditions) and convolutions in groups.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..checks import brief, check_number
from ..system.disk import atomic, json_bytes, path_of, read_json
from .architectures import (
    GATINGS,
    Activation,
    Architecture,
    Convolution,
    ConvStack,
    Layer,
    LayerArray,
    Recurrent,
    WaveNet,
    Weights,
)
from .network import Network

USUAL_RATE = 48000.0  # of files that do not say
VERSION = "0.7.0"
# The format's names of activations, and what their numbers are called there. Files differ in capitals.
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
    "Fasttanh": ("fast_tanh", ()),
}
_BY_NAME = {name.lower(): entry for name, entry in NAMES.items()} | {"swish": NAMES["SiLU"]}
_GATINGS = {"none": "none", "gated": "multiply", "blended": "blend"}
_PAIRS = {"PairMultiply": "gated", "PairBlend": "blended"}
DEEPEST = 8  # containers in containers
# What may stand in a config, by what it describes; what says nothing about the sound stands last.
_KEYS = {
    "WaveNet": {"layers", "head", "head_scale", "condition_dsp", "in_channels", "input_size", "sample_rate"},
    "layers": {
        "input_size", "condition_size", "head", "head_size", "head_bias", "channels", "kernel_size", "kernel_sizes",
        "dilations", "activation", "bottleneck", "head1x1", "layer1x1", "groups_input", "groups_input_mixin", "gating_mode",
        "gated", "secondary_activation", "slimmable",
    },
    "head of layers": {"out_channels", "kernel_size", "bias", "dilation", "head_dilation"},
    "head": {"channels", "activation", "out_channels", "kernel_sizes", "in_channels"},
    "1x1": {"active", "groups", "out_channels"},
    "LSTM": {"input_size", "hidden_size", "num_layers", "train_burn_in", "train_truncate", "sample_rate"},
    "Linear": {"receptive_field", "bias", "sample_rate"},
    "ConvNet": {"channels", "dilations", "batchnorm", "activation", "groups", "sample_rate", "train_burn_in", "train_truncate"},
    "SlimmableContainer": {"submodels"},
    "a submodel": {"max_value", "model", "name", "metadata"},
}  # fmt: skip


def read(path: str | os.PathLike[str], size: float | None = None) -> Network:
    """As `Network.read`."""
    path = path_of(path)
    data = read_json(path, "network", "a .nam file")
    if not isinstance(data, dict) or "architecture" not in data or "weights" not in data or "config" not in data:
        raise ValueError(f"{path} is not a .nam file: architecture, config or weights are missing; export it anew")
    try:
        size = None if size is None else check_number(size, "size", 0.0, 1.0)
        one, rate = _of_size(data, size)
        weights = _weights(one["weights"])
        architecture, weights = _architecture(str(one["architecture"]), one["config"], weights)
        return Network(architecture, weights, rate, os.fspath(path))
    except KeyError as error:
        raise ValueError(f"{path}: config has no {error.args[0]!r}; export it anew") from None
    except (AttributeError, IndexError):
        raise ValueError(f"{path} is not a .nam file: its config has another form than the format's; export it anew") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from None


def _of_size(data: dict[str, Any], size: float | None, depth: int = 0) -> tuple[dict[str, Any], Any]:
    """The network that is meant and its rate: of a container the first whose `max_value` is above `size`, or the last."""
    rate = data.get("sample_rate")
    if data["architecture"] != "SlimmableContainer":
        return data, rate or USUAL_RATE
    config = data["config"]
    _expect(config, "SlimmableContainer")
    models = config["submodels"]
    if not isinstance(models, list) or not models or depth >= DEEPEST:
        raise ValueError(f"a container holds one or more networks, at most {DEEPEST} deep; export it anew")
    if len(np.unique([_rate_of(entry["model"], rate) for entry in models])) > 1:
        raise ValueError("the networks of its container have different sample rates; export it anew")
    for entry in models:
        _expect(entry, "a submodel")
    fitting = [entry for entry in models if size is not None and float(entry["max_value"]) > size]
    one, own = _of_size((fitting or models[-1:])[0]["model"], size, depth + 1)
    return one, own if one.get("sample_rate") else rate or own


def _rate_of(model: dict[str, Any], otherwise: Any) -> float:
    return float(model.get("sample_rate") or otherwise or USUAL_RATE)


def _expect(entry: Any, what: str) -> None:
    """Refuse keys that are not known and say something."""
    if not isinstance(entry, dict):
        raise ValueError(f"its config has another form than the format's: {what} is not an object; export it anew")
    unknown = sorted(key for key, value in entry.items() if key not in _KEYS[what] and _says(value))
    if unknown:
        raise ValueError(f"{unknown[0]!r} of {what} is not known here and may change the sound; export it without")


def _says(value: Any) -> bool:
    """False for what switches an option off or leaves it as it always was."""
    if isinstance(value, dict):
        return bool(value) and bool(value.get("active", True))
    if isinstance(value, bool):
        return value
    return value not in (None, False, 0, 1, "", "none") and value != []


def _same_length(count: int, **lists: Any) -> None:
    for name, given in lists.items():
        if not isinstance(given, list) or len(given) != count:
            count_given = len(given) if isinstance(given, list) else brief(given)
            raise ValueError(f"layers with {count} dilations have {count_given} entries in {name!r}; export it anew")


def _weights(given: Any) -> Weights:
    """The weights of a file, as single precision.

    Raises:
        ValueError: not a flat list of numbers, or one is beyond what single precision holds.
    """
    if not isinstance(given, list):
        raise ValueError("weights must be a list of numbers; export it again")
    try:
        weights = np.array(given, np.float64)
    except OverflowError:
        raise ValueError("a weight is too large for a 32-bit float; train or export it anew") from None
    except (ValueError, TypeError):
        weights = np.zeros((0, 0))
    if weights.ndim != 1:
        raise ValueError("weights must be a flat list of numbers; export it again")
    with np.errstate(over="ignore"):  # infinity is refused with the rest
        return weights.astype(np.float32)


def _architecture(name: str, config: dict[str, Any], weights: Weights) -> tuple[Architecture, Weights]:
    if name not in ("WaveNet", "LSTM", "Linear", "ConvNet"):
        raise ValueError(
            f"the architecture {brief(name)} is not known; WaveNet, LSTM, ConvNet, Linear and containers of them are"
        )
    _expect(config, name)
    if config.get("input_size", 1) != 1 or config.get("in_channels", 1) != 1:
        raise ValueError(
            f"the network takes {config.get('input_size', config.get('in_channels'))} inputs; only those that hear one channel "
            "can be used"
        )
    if name == "WaveNet":
        return _wavenet(config), weights
    if name == "LSTM":
        return Recurrent("lstm", config["hidden_size"], config.get("num_layers", 1)), weights
    if name == "Linear":
        taps = config["receptive_field"]  # the first weight is that of the present frame
        stack = ConvStack((Convolution(1, taps, 1, bool(config["bias"])),))
        return stack, np.concatenate([weights[:taps][::-1], weights[taps:]])
    return _conv_net(config, weights)


def _activation(given: str | dict[str, Any] | None) -> Activation:
    if given is None:
        return Activation()
    if isinstance(given, str):
        given = {"type": given}
    if not isinstance(given, dict):
        raise ValueError(f"an activation is a name or an object, not {brief(given)}")
    name = given.get("type", given.get("name"))
    if not isinstance(name, str) or name.lower() not in _BY_NAME:
        raise ValueError(f"the activation {brief(name)} is not known; {', '.join(NAMES)} are")
    ours, keys = _BY_NAME[name.lower()]
    numbers = {**(given.get("kwargs") or {}), **given}
    slopes = numbers.pop("negative_slopes", None)
    unknown = sorted(set(numbers) - {"type", "name", "kwargs", *keys})
    if unknown and any(_says(numbers[key]) for key in unknown):
        raise ValueError(
            f"{unknown[0]!r} of the activation {name} is not known here and may change the sound; export it without"
        )
    if slopes is not None:
        if name.lower() != "prelu" or not isinstance(slopes, list):
            raise ValueError(f"the activation {name} has no slopes by channel; PReLU has a list of them")
        return Activation("prelu", tuple(map(float, slopes)))
    defaults = Activation(ours).numbers if name.lower() != "prelu" else (0.25,)
    return Activation(ours, tuple(float(numbers.get(k, d)) for k, d in zip(keys, defaults, strict=True)))


def _used(entry: Any) -> bool:
    """True where an option of the format is switched on."""
    return bool(entry.get("active", True)) if isinstance(entry, dict) else bool(entry)


def _wavenet(config: dict[str, Any]) -> WaveNet:
    if config.get("condition_dsp"):
        raise ValueError("a network that is conditioned by another one cannot be used")
    inputs, arrays = 1, []
    for number, entry in enumerate(config["layers"], 1):
        if entry.get("input_size", inputs) != inputs:
            raise ValueError(f"layers {number} take {entry['input_size']} inputs, but {inputs} come; export it anew")
        arrays.append(_array(entry))
        inputs = arrays[-1].channels
    head = config.get("head")
    return WaveNet(tuple(arrays), None if not head else _head(head, arrays[-1].head_outputs))


def _head(entry: dict[str, Any], inputs: int) -> ConvStack:
    _expect(entry, "head")
    if entry.get("in_channels", inputs) != inputs:
        raise ValueError(f"the head takes {entry['in_channels']} inputs, but {inputs} come; export it anew")
    kernels, before = entry["kernel_sizes"], _activation(entry["activation"])
    widths = [entry["channels"]] * (len(kernels) - 1) + [entry["out_channels"]]
    return ConvStack(tuple(Convolution(w, k, 1, True, before) for w, k in zip(widths, kernels, strict=True)), inputs)


def _array(entry: dict[str, Any]) -> LayerArray:
    for key, value in entry.items():
        if key.endswith("_film") and _used(value):
            raise ValueError(f"layers with {key} cannot be used")
    _expect(entry, "layers")
    if entry.get("groups_input", 1) != 1 or entry.get("groups_input_mixin", 1) != 1 or entry.get("condition_size", 1) != 1:
        raise ValueError("layers in groups, or conditioned by more than one channel, cannot be used")
    one, head_one = entry.get("layer1x1", {"active": True}), entry.get("head1x1", {"active": False})
    for part in (one, head_one):
        _expect(part, "1x1")
        if part.get("groups", 1) != 1 and part.get("active"):
            raise ValueError("layers in groups cannot be used")
    dilations = entry["dilations"]
    count, channels = len(dilations), entry["channels"]
    kernels = entry.get("kernel_sizes", entry.get("kernel_size"))
    kernels = kernels if isinstance(kernels, list) else [kernels] * count
    firsts = entry["activation"] if isinstance(entry["activation"], list) else [entry["activation"]] * count
    gatings = entry.get("gating_mode") or ["gated" if entry.get("gated") else "none"] * count
    gatings = gatings if isinstance(gatings, list) else [gatings] * count
    seconds = entry.get("secondary_activation") or ["Sigmoid" if g == "gated" else None for g in gatings]
    seconds = seconds if isinstance(seconds, list) else [seconds] * count
    _same_length(count, kernel_sizes=kernels, activation=firsts, gating_mode=gatings, secondary_activation=seconds)
    for i, first in enumerate(firsts):  # a pair of activations says by itself how it gates
        if isinstance(first, dict) and (gating := _PAIRS.get(str(first.get("type", first.get("name"))))):
            firsts[i], gatings[i], seconds[i] = first["primary"], gating, first["secondary"]
    for gating in gatings:
        if gating not in _GATINGS:
            raise ValueError(f"the gating {brief(gating)} is not known; {', '.join(_GATINGS)} are")
    layers = tuple(
        Layer(k, d, _activation(a), _GATINGS[g], _activation(s))  # type: ignore[arg-type]
        for k, d, a, g, s in zip(kernels, dilations, firsts, gatings, seconds, strict=True)
    )
    head = entry.get("head") or {"out_channels": entry["head_size"], "kernel_size": 1, "bias": entry["head_bias"]}
    _expect(head, "head of layers")
    return LayerArray(
        channels=channels,
        middle=entry.get("bottleneck", channels),
        head_outputs=head["out_channels"],
        layers=layers,
        head_inputs=head_one["out_channels"] if head_one.get("active") else 0,
        head_kernel=head.get("kernel_size", 1),
        head_bias=bool(head["bias"]),
        one_by_one=bool(one.get("active", True)),
        head_dilation=head.get("head_dilation", head.get("dilation", 1)),
    )


def _conv_net(config: dict[str, Any], weights: Weights) -> tuple[ConvStack, Weights]:
    """Convolutions of two frames; the batch norm after each is folded into it."""
    if config.get("groups", 1) != 1:
        raise ValueError("convolutions in groups cannot be used")
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
    return ConvStack(tuple(convs)), np.concatenate([*pieces, weights[at:]])


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
        "head": {"out_channels": array.head_outputs, "kernel_size": array.head_kernel, "bias": array.head_bias}
        | ({"head_dilation": array.head_dilation} if array.head_dilation > 1 else {}),
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
    if a.name == "prelu":
        return {"type": "PReLU", "negative_slopes": list(a.numbers)}
    theirs, keys = next((name, keys) for name, (ours, keys) in NAMES.items() if ours == a.name)
    return {"type": theirs, **dict(zip(keys, a.numbers, strict=True))}
