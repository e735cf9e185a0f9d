"""A rack that is one convolution reverb without a response: the response is read from the recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..measure.deconvolution import MOST_CHANNELS, USUAL_S, impulse_response_of
from ..measure.impulse import decay_in_bands
from ..rack.rack import Rack
from .data import Pair, split

NAMED_HZ = (250.0, 1000.0, 4000.0)


def lacks_response(rack: Rack, channels: int) -> str | None:
    """The address of the only effect, where that is a convolution reverb without a response."""
    playing = [(address, e) for address, e in rack.addresses().items() if not e.bypass]
    if len(playing) != 1 or channels > MOST_CHANNELS:
        return None
    address, effect = playing[0]
    return address if effect.card.id == "convolution_reverb" and not effect.resources else None


def with_response(rack: Rack, address: str, pairs: Sequence[Pair], rate: float, validation: bool) -> tuple[Rack, str]:
    """A copy that plays the response from `dry` to `wet`, and a sentence on it.

    Args:
        pairs: recordings at `rate` in Hz; the parts that are held out are not looked at.
    """
    channels = pairs[0].dry.shape[0]
    gap = np.zeros((channels, int(USUAL_S * rate)), np.float32)  # in which a response dies away before the next pair
    frames, at = [], 0
    for pair in pairs:
        frames += [(at + a, at + b) for a, b in split(pair.frames, rate, validation).train]
        at += pair.frames + gap.shape[1]
    dry, wet = (
        np.concatenate([s for p in pairs for s in (getattr(p, side), gap)], 1)[:, : -gap.shape[1]] for side in ("dry", "wet")
    )
    response = impulse_response_of(dry, wet, rate, frames=frames)
    copy = rack.copy()
    effect = copy[address]
    for name, value in (("mix", 1.0), ("gain_db", 0.0), ("normalise", False)):
        effect.set(name, value)
    effect.impulse_response = response
    decays = decay_in_bands(response.samples, rate)
    by_octave = [f"{decays[f]:.2g} s at {f:.0f} Hz" for f in NAMED_HZ if np.isfinite(decays.get(f, np.nan))]
    falls = f"; it falls by 60 dB in {', '.join(by_octave)}" if by_octave else ""
    length = response.samples.shape[1] / rate
    return copy, f"{address} had no impulse response; one of {length:.2g} s was read from the recordings{falls}"
