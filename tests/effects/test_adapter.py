"""Networks: .nam files of the neural-amp-modeler package play as they do there, and broken ones are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import twinrack as tr
from support import error_db, music, small_network
from twinrack.resources.architectures import Activation, Convolution, ConvStack, Layer, LayerArray, WaveNet
from twinrack.twins.networks import network as network_in_torch

RATE = 48000


def played(network: tr.Network, x: np.ndarray, block: int | None = None, **values) -> np.ndarray:
    rack = tr.Rack([tr.Adapter(network=network, keep_dc=True, **values)])
    if block is None:
        return rack(x, RATE)
    rack.prepare(RATE, x.shape[0])
    return np.concatenate([rack.process(x[:, n : n + block]) for n in range(0, x.shape[1], block)], 1)


def biased(network: tr.Network) -> tr.Network:
    """With weights that make something of silence."""
    rng = np.random.default_rng(3)
    return tr.Network(network.architecture, network.weights + rng.uniform(-0.2, 0.2, network.parameters))


def nam_models():
    """Models of the package with what the format can say, by name."""
    models = pytest.importorskip("nam.models", reason="neural-amp-modeler is not installed (pip install neural-amp-modeler)")
    base = {
        "input_size": 1,
        "condition_size": 1,
        "head": {"out_channels": 1, "kernel_size": 1, "bias": True},
        "channels": 4,
        "kernel_size": 3,
        "dilations": [1, 2, 4, 8],
        "activation": "Tanh",
    }
    two = [
        base | {"head": {"out_channels": 2, "kernel_size": 1, "bias": False}},
        base | {"input_size": 4, "channels": 2, "head": {"out_channels": 1, "kernel_size": 1, "bias": True}},
    ]
    gated = {"name": "PairMultiply", "primary": "Tanh", "secondary": "Sigmoid"}
    blended = {"name": "PairBlend", "primary": "ReLU", "secondary": "Sigmoid"}
    rest = {
        "bottleneck": 3,
        "head_1x1_config": {"active": True, "out_channels": 5, "groups": 1},
        "head": {"out_channels": 3, "kernel_size": 7, "bias": True},
        "kernel_size": [2, 3, 6, 1],
    }
    head = {"channels": 6, "activation": "ReLU", "out_channels": 1, "kernel_sizes": [3, 2]}
    many = ["LeakyReLU", {"name": "LeakyHardtanh", "min_slope": 0.1}, "SiLU", "Hardswish"]
    plain = {"layer_1x1_config": {"active": False, "groups": 1}, "activation": "Hardtanh"}
    configs = {
        "two arrays": {"layers_configs": two, "head_scale": 0.02},
        "gated": {"layers_configs": [base | {"activation": gated}], "head_scale": 0.5},
        "blended, heads": {"layers_configs": [base | rest | {"activation": blended}], "head": head, "head_scale": 0.7},
        "activations": {"layers_configs": [base | {"activation": many}], "head_scale": 1.0},
        "no 1x1": {"layers_configs": [base | plain], "head_scale": 1.0},
    }
    found = {name: models.WaveNet.init_from_config({"sample_rate": RATE, **config}) for name, config in configs.items()}
    found["lstm"] = models.LSTM(hidden_size=7, num_layers=2, sample_rate=RATE)
    found["linear"] = models.Linear(33, bias=True, sample_rate=RATE)
    found["convolutions"] = models.ConvNet.init_from_config(
        {"channels": 5, "dilations": [1, 2, 4], "batchnorm": True, "activation": "Tanh", "sample_rate": RATE}
    )
    return found


def train(model, seconds: float = 0.5, steps: int = 12) -> None:
    """A few steps towards a clipped sound, with the package's own forward pass."""
    x = torch.from_numpy(music(1, int(seconds * RATE), RATE, 3))
    wet = torch.tanh(4 * x) * 0.5
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        y = model(x, pad_start=True)
        ((y - wet) ** 2).mean().backward()
        optimizer.step()
    model.eval()


def test_nam_files_play_as_they_do_there(tmp_path: Path):
    x = music(1, RATE // 2, RATE, 5)
    torch.manual_seed(1)
    for name, model in nam_models().items():
        train(model)
        model.export(tmp_path, basename="model")
        if name == "linear":  # the trainer writes the oldest tap first, but players take the first for the present frame (#696)
            data = json.loads((tmp_path / "model.nam").read_text())
            data["weights"] = [*data["weights"][:33][::-1], *data["weights"][33:]]
            (tmp_path / "model.nam").write_text(json.dumps(data))
        network = tr.Network.read(tmp_path / "model.nam")
        with torch.no_grad():
            state = {} if name != "lstm" else {"initial_state": initial_state(model)}
            expected = (
                model._forward(torch.from_numpy(x), **state) if state else model(torch.from_numpy(x), pad_start=True)
            ).numpy()
        y = played(network, x)
        error = error_db(y, expected)
        print(f"{name:<16} {network.describe()}: {error:.1f} dB")
        assert error < -100, name
        assert np.array_equal(y, played(network, x, 17)), name
        if name in ("linear", "convolutions"):
            continue
        network.write(tmp_path / "again.nam")  # and back: the package reads what we write
        again = pytest.importorskip("nam.models").init_from_nam(json.loads((tmp_path / "again.nam").read_text()))
        with torch.no_grad():
            back = again(torch.from_numpy(x), pad_start=True).numpy()
        assert error_db(back, expected) < -100, name
        assert tr.Network.read(tmp_path / "again.nam") == network


def test_containers_give_the_size_that_is_asked_for(tmp_path: Path):
    """As the player: the first network whose `max_value` is above the size; the last without. Containers may be nested."""
    models, networks = [], []
    for width in (2, 5):
        tr.Network.wavenet((width,), sample_rate=RATE, seed=width).write(tmp_path / "one.nam")
        models.append(json.loads((tmp_path / "one.nam").read_text()))
        networks.append(tr.Network.read(tmp_path / "one.nam"))
    small, large = networks

    def container(models, **more):
        parts = [{"max_value": (i + 1) / len(models), "model": m} for i, m in enumerate(models)]
        return {"version": "0.7.0", "architecture": "SlimmableContainer", "weights": [], "config": {"submodels": parts}, **more}

    path = tmp_path / "a2.nam"
    for data in (container(models, sample_rate=RATE), container(models), container([container(models)])):
        path.write_text(json.dumps(data))
        assert tr.Network.read(path) == large
        for size, want in ((0.0, small), (0.49, small), (0.5, large), (1.0, large)):
            assert tr.Network.read(path, size=size) == want
    assert np.array_equal(played(tr.Network.read(path), music(1, 500, RATE, 1)), played(large, music(1, 500, RATE, 1)))
    del models[1]["sample_rate"]
    path.write_text(json.dumps(container(models, sample_rate=44100)))
    with pytest.raises(ValueError, match="different sample rates"):
        tr.Network.read(path)
    for broken, words in (
        (container([]), "a container holds one or more networks"),
        (
            container(models) | {"config": {"submodels": [{"model": models[0], "max_value": 1.0, "gain": 3}]}},
            "'gain' of a submodel is not known",
        ),
        (container([{"architecture": "Linear"}]), "config has no 'weights'"),
        (
            container(models) | {"config": {"submodels": [{"model": models[0]}, {"model": models[0]}]}},
            "config has no 'max_value'",
        ),
    ):
        path.write_text(json.dumps(broken))
        with pytest.raises(ValueError, match=words):
            tr.Network.read(path, size=0.5)
    with pytest.raises(ValueError, match="size must be a number from 0 to 1, got 2"):
        tr.Network.read(path, size=2)


def test_activations_and_head_dilation_of_captures(tmp_path: Path):
    """PReLU by channel, configured Hardtanh, spellings, Fasttanh and a dilated head: engine and twin against torch by hand."""
    tr.Network.wavenet((4,), (1, 2), sample_rate=RATE, seed=2).write(tmp_path / "a.nam")
    good = json.loads((tmp_path / "a.nam").read_text())
    x = music(1, 4000, RATE, 5)
    slopes = [0.1, -0.2, 0.3, 0.9]
    cases = (
        ({"type": "PReLU", "negative_slopes": slopes}, lambda z: torch.nn.functional.prelu(z, torch.tensor(slopes))),
        ({"type": "PReLU", "negative_slope": 0.3}, lambda z: torch.nn.functional.leaky_relu(z, 0.3)),
        ({"type": "Hardtanh", "min_val": -0.2, "max_val": 0.4}, lambda z: z.clamp(-0.2, 0.4)),
        ({"name": "hardtanh", "kwargs": {"min_val": -0.2, "max_val": 0.4}}, lambda z: z.clamp(-0.2, 0.4)),
        (
            {"type": "LeakyHardTanh", "min_val": -0.2, "max_val": 0.4, "min_slope": 0.1, "max_slope": 0.2},
            lambda z: z.clamp(-0.2, 0.4) + 0.1 * (z + 0.2).clamp(max=0) + 0.2 * (z - 0.4).clamp(min=0),
        ),
        ("Fasttanh", None),
    )
    for activation, function in cases:
        for dilation in (1, 3):
            data = json.loads(json.dumps(good))
            entry = data["config"]["layers"][0]
            entry["activation"] = [activation] * 2
            entry["head"] |= {"kernel_size": 2, "head_dilation": dilation}
            extra = data["weights"][-6:-2]  # another tap for the head's four channels, which its weights hold tap by tap
            heads = [w for pair in zip(data["weights"][-6:-2], extra, strict=True) for w in pair]
            data["weights"] = [*data["weights"][:-6], *heads, *data["weights"][-2:]]
            (tmp_path / "b.nam").write_text(json.dumps(data))
            network = tr.Network.read(tmp_path / "b.nam")
            y = played(network, x)
            with torch.no_grad():
                rack = tr.Rack([tr.Adapter(network=network, connection="replace", keep_dc=True)])
                twin = rack.twin(RATE)(torch.from_numpy(x)[None])[0].numpy()
            assert error_db(twin, y) < -110
            if function is not None:
                assert error_db(y, by_hand(data, x, function)) < -100, (activation, dilation)
            network.write(tmp_path / "c.nam")
            assert tr.Network.read(tmp_path / "c.nam") == network
            rack.save(tmp_path / "d.rack.json")
            assert tr.load(tmp_path / "d.rack.json")["adapter"].network == network
    fast, exact = (tr.Network.mlp((8,), activation=a, seed=1) for a in ("fast_tanh", "tanh"))
    assert np.abs(played(fast, x) - played(exact, x)).max() < 0.02


def by_hand(data: dict, x: np.ndarray, function) -> np.ndarray:
    """A WaveNet of one array, from the file's numbers, frame by frame as the format says."""
    entry, w = data["config"]["layers"][0], list(data["weights"])
    channels = entry["channels"]

    def take(*shape: int) -> torch.Tensor:
        size = int(np.prod(shape))
        piece, w[:size] = torch.tensor(w[:size], dtype=torch.float32).reshape(shape), []
        return piece

    long = torch.nn.functional.pad(torch.from_numpy(x)[None], (200, 0))
    y, sums = torch.nn.functional.conv1d(long, take(channels, 1, 1)), 0
    for kernel, dilation in zip(entry["kernel_sizes"], entry["dilations"], strict=True):
        weight, bias, mixin = take(channels, channels, kernel), take(channels), take(channels, 1, 1)
        before = torch.nn.functional.pad(y, ((kernel - 1) * dilation, 0))
        z = torch.nn.functional.conv1d(before, weight, bias, dilation=dilation)
        z = function(z + torch.nn.functional.conv1d(long, mixin))
        sums = sums + z
        y = y + torch.nn.functional.conv1d(z, take(channels, channels, 1), take(channels))
    head = entry["head"]
    step = head["head_dilation"]
    before = torch.nn.functional.pad(sums, ((head["kernel_size"] - 1) * step, 0))
    made = torch.nn.functional.conv1d(before, take(1, channels, head["kernel_size"]), take(1), dilation=step)
    return (take(1) * made)[0, :, 200:].numpy()


def initial_state(model):
    """The state that the package stores with an LSTM: after a second of silence."""
    with torch.no_grad():
        hidden, cell = model._get_initial_state()
    return hidden, cell


def test_files_that_cannot_be_played_are_named(tmp_path: Path):
    path = tmp_path / "a.nam"
    tr.Network.wavenet((4, 2), (1, 2)).write(path)
    good = json.loads(path.read_text())

    def broken(change) -> None:
        data = json.loads(json.dumps(good))
        change(data)
        path.write_text(json.dumps(data))
        tr.Adapter(network=path)

    layer = lambda data: data["config"]["layers"][0]  # noqa: E731
    cases = (
        (lambda d: d.update(architecture="Transformer"), "'Transformer' is not known; WaveNet, LSTM"),
        (lambda d: d["weights"].pop(), "has 220 weights, 219 were given"),
        (lambda d: d["weights"].__setitem__(3, float("nan")), "NaN or infinity in 1 weight"),
        (lambda d: layer(d).pop("channels"), "config has no 'channels'"),
        (lambda d: layer(d).update(conv_pre_film={"active": True}), "conv_pre_film cannot be used"),
        (lambda d: layer(d).update(condition_size=2), "conditioned by more than one channel"),
        (lambda d: d["config"].update(condition_dsp={"architecture": "WaveNet"}), "conditioned by another one"),
        (lambda d: layer(d)["activation"].__setitem__(0, {"type": "Snake"}), "'Snake' is not known"),
        (lambda d: layer(d).update(dilations=[1, -2]), "dilation must be an integer from 1 to 1048576, got -2"),
        (lambda d: d.update(config=[]), "another form than the format's"),
        (lambda d: d["config"].update(layers=["a"]), "another form than the format's"),
        (lambda d: layer(d).update(gating_mode=["both", "none"]), "the gating 'both' is not known"),
        (lambda d: layer(d).update(channels=4.0), r"channels must be an integer from 1 to 4096, got 4\.0"),
        (lambda d: layer(d)["head"].update(stride=2), "'stride' of head of layers is not known here"),
        (lambda d: layer(d).update(skip_input=True), "'skip_input' of layers is not known here"),
        (lambda d: layer(d).update(skip="all"), "'skip' of layers is not known here"),
        (lambda d: d["config"].update(post_film={"active": True}), "'post_film' of WaveNet is not known here"),
        (lambda d: d["config"].update(post_gain=0.5), "'post_gain' of WaveNet is not known here"),
        (lambda d: layer(d)["activation"].__setitem__(0, {"type": "Tanh", "gain": 2.0}), "'gain' of the activation Tanh"),
        (
            lambda d: layer(d)["activation"].__setitem__(0, {"type": "PReLU", "negative_slopes": [0.1]}),
            "1 slopes for 4 channels",
        ),
        (lambda d: layer(d).update(gating_mode=["none"]), "layers with 2 dilations have 1 entries in 'gating_mode'"),
        (lambda d: layer(d).update(kernel_sizes=[3]), "layers with 2 dilations have 1 entries in 'kernel_sizes'"),
        (lambda d: layer(d).update(input_size=3), "take 3 inputs, but 1 come"),
        (lambda d: d.pop("weights"), "not a .nam file: architecture, config or weights are missing"),
    )
    for change, words in cases:
        with pytest.raises(ValueError, match=words):
            broken(change)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"is not a \.nam file"):
        tr.Network.read(path)
    with pytest.raises(FileNotFoundError, match="there is no network"):
        tr.Network.read(tmp_path / "none.nam")
    with pytest.raises(TypeError, match=r"path of a \.nam file or a tr\.Network"):
        tr.Adapter(network=3)
    with pytest.raises(ValueError, match="no gru; WaveNet and LSTM can be written"):
        tr.Network.gru(4).write(path)


def test_a_network_belongs_to_its_rate():
    rack = tr.Rack([tr.Adapter(network=tr.Network.lstm(4, sample_rate=RATE))])
    with pytest.raises(ValueError, match="network of adapter was trained at 48000 Hz and the rack runs at 44100 Hz; run it at"):
        rack(np.zeros(100), 44100)
    with pytest.raises(ValueError, match="trained at 48000 Hz"):
        rack.twin(44100)


@pytest.mark.parametrize("kind", range(4))
def test_patches_keep_networks(tmp_path: Path, kind: int):
    rack = tr.Rack([tr.Adapter(network=small_network(kind), connection="add"), tr.Gain()])
    rack.save(tmp_path / "a.rack.json")
    again = tr.load(tmp_path / "a.rack.json")
    assert again == rack
    x = music(2, 5000, RATE, 1)
    assert np.array_equal(again(x, RATE), rack(x, RATE))
    data = json.loads((tmp_path / "a.rack.json").read_text())
    data["rack"][0]["resources"]["network"]["architecture"]["kind"] = "perceptron"
    (tmp_path / "a.rack.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"resources\.network: architecture"):
        tr.load(tmp_path / "a.rack.json")


def test_an_adapter_that_has_learned_nothing_changes_nothing():
    x = music(2, 5000, RATE, 1)
    for made in (tr.Network.wavenet, tr.Network.lstm, tr.Network.gru, tr.Network.mlp):
        assert np.array_equal(tr.Rack([tr.Adapter(network=made(quiet=True), connection="add")])(x, RATE), x)
    assert np.array_equal(tr.Rack([tr.Adapter(connection="add")])(x, RATE), x)


def test_silence_falls_asleep_and_starts_as_if_it_had_lasted():
    """Biases make something of silence; the network starts where that has settled, and sleeps once it has."""
    silence, x = np.zeros((1, 4 * RATE), np.float32), music(1, 9600, RATE, 2)
    for network in map(biased, (tr.Network.wavenet((4,), (1, 5, 25)), tr.Network.mlp((8,), 9))):
        late = played(network, np.concatenate([silence[:, :6400], x], 1))[:, 6400:]
        assert np.array_equal(late, played(network, x))
    for seed in range(4):
        rack = tr.Rack([tr.Adapter(network=biased(small_network(seed)))])
        assert not rack(silence, RATE).any()
        rack.prepare(RATE, 1)
        rack.process(np.concatenate([x, silence], 1))
        assert rack.running.engine is not None
        assert rack.running.engine.slept > 0.3 * RATE


def test_blocks_change_nothing_over_sleep():
    """Through silence that is long enough to fall asleep, and on."""
    x = np.concatenate([music(1, 9800, RATE, 6), np.zeros((1, 2 * RATE), np.float32), music(1, 4800, RATE, 7)], 1)
    for seed in range(4):
        rack = tr.Rack([tr.Adapter(network=biased(small_network(seed)))])
        whole = rack(x, RATE)
        for block in (1024, 256, 17):
            rack.prepare(RATE, 1)
            y = np.concatenate([rack.process(x[:, n : n + block]) for n in range(0, x.shape[1], block)], 1)
            assert np.array_equal(y, whole), (seed, block)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="too much to keep"):
        tr.Network(ConvStack((Convolution(4096), Convolution(1, 2, 1_000_000))))
    with pytest.raises(ValueError, match=r"outputs must be an integer from 1 to 4096, got 2\.5"):
        tr.Network.mlp((2.5,))
    with pytest.raises(ValueError, match="gives one channel"):
        tr.Network(WaveNet((LayerArray(2, 2, 2, (Layer(2, 1),)),)))
    with pytest.raises(ValueError, match="hears one channel and gives one"):
        tr.Network(ConvStack((Convolution(2),)))
    with pytest.raises(ValueError, match="hears 2000001 frames; up to 1048576"):
        tr.Network.wavenet((2,), (1_000_000,))
    with pytest.raises(ValueError, match="there is no activation 'swish'"):
        Activation("swish")
    with pytest.raises(ValueError, match=r"has 17 weights, 3 were given"):
        tr.Network(tr.Network.mlp((4,), 2).architecture, np.zeros(3))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_recurrent_networks_train_by_sweeps_that_are_exact(kind: str, layers: int):
    """Values and gradients of sound, weights and first states against the loop and against torch; the same for any threads."""
    generator = torch.Generator().manual_seed(4)
    made = getattr(tr.Network, kind)(7, layers, seed=3)
    weights = torch.tensor(made.weights).double() + 0.2 * torch.randn(made.parameters, generator=generator, dtype=torch.float64)
    x = 0.5 * torch.randn(19, 1, 75, generator=generator, dtype=torch.float64)  # no whole vector, no whole tick
    found = []
    threads = torch.get_num_threads()
    for path, count in (("fast", 2), ("fast", 1), ("reference", 1), ("parallel", 1)):
        torch.set_num_threads(count)
        w, sound = weights.clone().requires_grad_(), x.clone().requires_grad_()
        y = network_in_torch(sound, made, w, path)
        slope = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape)
        found.append([y.detach(), *torch.autograd.grad((y * slope).sum(), (sound, w))])
    torch.set_num_threads(threads)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.allclose(a, b, rtol=1e-10, atol=1e-11)
    ours = weights.numel() - 8  # torch's own product sums the gradient of the head, in an order that depends on the threads
    for a, b in zip(*found[:2], strict=True):
        assert torch.equal(a[:ours] if a.dim() == 1 else a, b[:ours] if b.dim() == 1 else b)
    w = weights.clone().requires_grad_()
    with pytest.raises(RuntimeError, match=r"second derivatives .* need the reference path"):
        torch.autograd.grad(network_in_torch(x, made, w, "fast").square().sum(), w, create_graph=True)
