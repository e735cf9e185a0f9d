"""The twin of `adapter.h`:

in -> input gain -> network -> less what it makes of silence -> cut at 5 Hz -> output gain -> mix, or added -> out

The weights are `resources["network"]` of the effect's twin, one flat parameter that learns with the others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.resources.network import Network
from twinrack.twins.curves import ramp
from twinrack.twins.filter_design import BUTTERWORTH_Q, design_svf
from twinrack.twins.networks import network, silence
from twinrack.twins.recursions import svf_cascade
from twinrack.twins.values import Context, Values


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    def frames(t: Tensor) -> Tensor:  # rows, 1, frames
        return ramp(t.to(x.dtype), at.frames).unsqueeze(1)

    wet = torch.zeros_like(x)
    if "network" in at.resources:
        net = at.given.get("network")
        if not isinstance(net, Network):
            raise ValueError("adapter.network is a tensor, which does not say what it consists of; give a tr.Network")
        driven = (frames(10.0 ** (v.input_db / 20.0)) * x).reshape(-1, 1, x.shape[-1])
        weights = at.resources["network"]
        wet = network(driven, net, weights, at.path).reshape(x.shape)
        if not v.keep_dc:
            wet = wet - silence(driven, net, weights, at.path)
    if not v.keep_dc:
        five = torch.full((1, 1), 5.0, dtype=torch.float64, device=x.device)
        cut = design_svf("low_cut", False, five, 0.0 * five, BUTTERWORTH_Q + 0.0 * five, at.sample_rate)
        wet = svf_cascade(wet.contiguous(), cut.unsqueeze(2), at.path)
    scaled = frames(v.mix) * (frames(10.0 ** (v.output_db / 20.0)) * wet)
    return x + scaled if v.connection == "add" else (1.0 - frames(v.mix)) * x + scaled
