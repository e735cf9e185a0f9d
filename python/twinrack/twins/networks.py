"""Neural networks in torch: what `cpp/dsp/neural/network-inl.h` computes, differentiable in the sound and in the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ..resources.architectures import Activation, Architecture, ConvStack, Layer, Recurrent, WaveNet
from ..resources.network import Network
from . import fast, propagation
from .recursions import RecursionPath


def network(x: Tensor, net: Network, weights: Tensor, path: RecursionPath = "auto") -> Tensor:
    """A network's answer to x (batch, 1, time), as long as x. Weights are flat; see `Network.shapes`.

    The convolutional ones begin as after endless silence. `path`: of recurrent ones, "reference" is a loop over time.
    """
    a = net.architecture
    pieces = unpacked(a, weights, x.dtype)
    if isinstance(a, Recurrent):
        return recurrent(x, a, pieces, path)
    before = F.pad(x, (a.receptive_field - 1, 0))
    return wavenet(before, a, pieces) if isinstance(a, WaveNet) else conv_stack(before, a, pieces, "")


def silence(x: Tensor, net: Network, weights: Tensor, path: RecursionPath = "auto") -> Tensor:
    """A network's output for silence that lasts as long as x: (1, 1, time), or (1, 1, 1) where it is constant."""
    frames = 1 if net.receptive_field is not None else x.shape[-1]
    return network(x.new_zeros(1, 1, frames), net, weights, path)


def mlp(x: Tensor, a: ConvStack, weights: Tensor) -> Tensor:
    """Convolutions of 1 frame: x (batch, inputs, time) to (batch, outputs, time)."""
    return conv_stack(x, a, unpacked(a, weights, x.dtype), "")


def unpacked(a: Architecture, weights: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """The pieces of flat weights, by name."""
    pieces, at = {}, 0
    for name, shape in a.shapes():
        size = math.prod(shape)
        pieces[name] = weights[at : at + size].reshape(shape).to(dtype)
        at += size
    return pieces


def _fast_tanh(x: Tensor) -> Tensor:
    """The quotient of polynomials that players of .nam files use in place of tanh, within 0.003 of it."""
    size, square = x.abs(), x * x
    top = 2.45550750702956 + 2.45550750702956 * size + (0.893229853513558 + 0.821226666969744 * size) * square
    return x * top / (2.44506634652299 + (2.44506634652299 + square) * (x + 0.814642734961073 * x * size).abs())


def activated(x: Tensor, a: Activation) -> Tensor:
    """An activation by its name."""
    n = a.numbers
    simple: dict[str, Callable[[Tensor], Tensor]] = {
        "identity": lambda x: x,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "leaky_relu": lambda x: F.leaky_relu(x, n[0]),
        "hard_tanh": lambda x: F.hardtanh(x, n[0], n[1]),
        "leaky_hard_tanh": lambda x: torch.where(
            x < n[0], (x - n[0]) * n[2] + n[0], torch.where(x > n[1], (x - n[1]) * n[3] + n[1], x)
        ),
        "silu": F.silu,
        "softsign": lambda x: x / (1.0 + x.abs()),
        "soft_sigmoid": lambda x: 0.5 * (1.0 + x / (1.0 + x.abs())),
        "hard_swish": F.hardswish,
        "fast_tanh": _fast_tanh,
        "prelu": lambda x: F.prelu(x, x.new_tensor(n)),
    }
    return propagation.secant(x, simple[a.name](x))


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1) -> Tensor:
    return propagation.layer(lambda x, w, b: F.conv1d(x, w, b, dilation=dilation), x, weight, bias)


def conv_stack(x: Tensor, a: ConvStack, p: Mapping[str, Tensor], prefix: str) -> Tensor:
    for i, c in enumerate(a.convolutions):
        bias = p[f"{prefix}{i}.bias"] if c.bias else None
        x = _conv(activated(x, c.before), p[f"{prefix}{i}.weight"], bias, c.dilation)
    return x


def gated(z: Tensor, layer: Layer) -> Tensor:
    if layer.gating == "none":
        return activated(z, layer.activation)
    first, second = z.chunk(2, 1)
    gate = propagation.constant(activated(second, layer.second))
    if layer.gating == "multiply":
        return activated(first, layer.activation) * gate
    return gate * activated(first, layer.activation) + (1.0 - gate) * first


def wavenet(x: Tensor, a: WaveNet, p: Mapping[str, Tensor]) -> Tensor:
    """Without padding: shorter than x by the receptive field less 1."""
    sound, y = x, x
    head: Tensor | None = None
    for i, array in enumerate(a.arrays):
        y = _conv(y, p[f"{i}.rechannel"])
        length = y.shape[-1] - sum((layer.kernel - 1) * layer.dilation for layer in array.layers)
        sums = None if head is None else head[..., -length:]
        for j, layer in enumerate(array.layers):
            own = f"{i}.{j}."
            z = _conv(y, p[own + "weight"], p[own + "bias"], layer.dilation)
            z = gated(z + p[own + "input_mixin"][:, :, 0].unsqueeze(0) * sound[..., -z.shape[-1] :], layer)
            to_head = z[..., -length:]
            if array.head_inputs:
                to_head = _conv(to_head, p[own + "head1x1.weight"], p[own + "head1x1.bias"])
            sums = to_head if sums is None else sums + to_head
            more = _conv(z, p[own + "layer1x1.weight"], p[own + "layer1x1.bias"]) if array.one_by_one else z
            y = y[..., -z.shape[-1] :] + more
        assert sums is not None
        head = _conv(sums, p[f"{i}.head.weight"], p[f"{i}.head.bias"] if array.head_bias else None, array.head_dilation)
        y = y[..., -head.shape[-1] :]
    assert head is not None
    head = p["head_scale"] * head
    return head if a.head is None else conv_stack(head, a.head, p, "head.")


def recurrent(x: Tensor, a: Recurrent, p: Mapping[str, Tensor], path: RecursionPath) -> Tensor:
    y = x.transpose(1, 2)  # batch, time, inputs
    path = path if propagation.rules is None else "reference"
    quick = path in ("auto", "fast") and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    nothing = x.new_zeros(0)
    for i in range(a.layers):
        if quick:
            inner_bias, first_cell = p.get(f"{i}.inner_bias", nothing), p.get(f"{i}.cell", nothing)
            given = (p[f"{i}.weight"], p[f"{i}.bias"], inner_bias, p[f"{i}.hidden"], first_cell)
            y = fast.recurrent(y.contiguous(), a.kind == "gru", *given)
            continue
        hidden = p[f"{i}.hidden"].expand(1, x.shape[0], -1).contiguous()
        inputs = y.shape[-1]
        weight_in, weight_state = p[f"{i}.weight"][:, :inputs], p[f"{i}.weight"][:, inputs:]
        bias = p[f"{i}.bias"]
        inner = torch.zeros_like(bias)
        if a.kind == "gru":
            inner = torch.cat([inner[: 2 * a.hidden], p[f"{i}.inner_bias"]])
        cell = p[f"{i}.cell"].expand(1, x.shape[0], -1).contiguous() if a.kind == "lstm" else hidden
        if path == "reference":
            y = by_step(y, a.kind, hidden[0], cell[0], weight_in, weight_state, bias, inner)
            continue
        parts = [weight_in.contiguous(), weight_state.contiguous(), bias, inner]
        if a.kind == "lstm":
            y = torch._VF.lstm(y, [hidden, cell], parts, True, 1, 0.0, False, False, True)[0]
        else:
            y = torch._VF.gru(y, hidden, parts, True, 1, 0.0, False, False, True)[0]
    return propagation.layer(F.linear, y, p["head.weight"], p["head.bias"]).transpose(1, 2)


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return propagation.layer(F.linear, x, weight, bias)


def by_step(
    x: Tensor, kind: str, hidden: Tensor, cell: Tensor, weight_in: Tensor, weight_state: Tensor, bias: Tensor, inner: Tensor
) -> Tensor:
    """The definition, frame by frame."""
    states = []
    for frame in x.unbind(1):
        own, back = _linear(frame, weight_in, bias), _linear(hidden, weight_state, inner)
        if kind == "lstm":
            into, forget, candidate, out = (own + back).chunk(4, 1)
            keep, take, give = (propagation.constant(torch.sigmoid(gate)) for gate in (forget, into, out))
            cell = keep * cell + take * propagation.secant(candidate, torch.tanh(candidate))
            hidden = give * propagation.secant(cell, torch.tanh(cell))
        else:
            (own_r, own_z, own_n), (back_r, back_z, back_n) = own.chunk(3, 1), back.chunk(3, 1)
            update, reset = (propagation.constant(torch.sigmoid(gate)) for gate in (own_z + back_z, own_r + back_r))
            before = own_n + reset * back_n
            candidate = propagation.secant(before, torch.tanh(before))
            hidden = candidate + update * (hidden - candidate)
        states.append(hidden)
    return torch.stack(states, 1)
