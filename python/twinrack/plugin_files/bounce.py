"""Python effects as impulse responses, where they are linear and do not change with time, so that a rack can leave Python."""

from __future__ import annotations

import numpy as np

from ..audio import Audio
from ..measure.difference import difference_db
from ..rack.effect import Effect
from ..rack.effects import ConvolutionReverb
from ..rack.external_effect import ExternalEffect
from ..rack.rack import Rack
from ..rack.tree import Chain, Parallel
from ..resources.response import Response

RATE = 48000.0
RESPONSE_S, SOUND_S = 10.0, 1.0
LEAD = 4800  # frames of silence before: a stream fades in from dry
END_DB, ERROR_DB = -120.0, -90.0


def bounced(rack: Rack, channels: int) -> tuple[Rack, list[str]]:
    """A copy of a rack with responses in place of its external effects, and a sentence for each.

    Raises:
        ValueError: one is not linear, or changes with time; says how far a response is from it.
    """
    notes: list[str] = []
    addresses = {id(effect): address for address, effect in rack.addresses().items()}

    def replaced(item: Effect | Chain | Parallel) -> Effect | Chain | Parallel:
        if isinstance(item, ExternalEffect):
            address = addresses[id(item)]
            response, error_db = _response(item, address, channels)
            exact = f"its impulse response of {response.seconds:.3g} s, within {error_db:.0f} dB"
            notes.append(f"{address} is now {exact}")
            return ConvolutionReverb(impulse_response=response, mix=1.0, normalise=False, name=address, bypass=item.bypass)
        if isinstance(item, Parallel):
            return item.with_children([replaced(child) for child in item.children()])
        return Chain([replaced(child) for child in item.items]) if isinstance(item, Chain) else item.copy()

    copied = Rack([replaced(item) for item in rack.effects], rack.name)
    copied.provenance = dict(rack.provenance)
    return copied, notes


def _response(effect: ExternalEffect, address: str, channels: int) -> tuple[Response, float]:
    """The response of an effect, and its error on noise in dB."""
    alone = effect.copy()
    alone.bypass = False
    own = Rack([alone])

    def played(x: Audio) -> Audio:
        return np.asarray(own.copy()(np.pad(x, ((0, 0), (LEAD, 0))), RATE))[:, LEAD:]

    frames = round(RESPONSE_S * RATE)
    answers = []
    for c in range(channels):
        impulse = np.zeros((channels, frames), np.float32)
        impulse[c, 0] = 1.0
        answers.append(played(impulse))
    peak = max(float(np.abs(a).max()) for a in answers)
    audible = np.flatnonzero(np.max([np.abs(a).max(0) for a in answers], axis=0) > peak * 10.0 ** (END_DB / 20.0))
    length = int(audible[-1]) + 1 if audible.size else 1
    crosses = any(np.any(answers[c][d, :length]) for c in range(channels) for d in range(channels) if c != d)
    if crosses and channels != 2:
        raise ValueError(f"{address} mixes channels, which can be bounced in stereo only; remove it from the rack")
    rows = [answers[c][d] for c in range(2) for d in range(2)] if crosses else [answers[c][c] for c in range(channels)]
    response = Response(np.stack(rows)[:, :length], RATE)
    random = np.random.default_rng(0)
    x = (0.1 * random.standard_normal((channels, round(SOUND_S * RATE)))).astype(np.float32)
    wanted = played(x)
    stand_in = Rack([ConvolutionReverb(impulse_response=response, mix=1.0, normalise=False)])(x, RATE)
    error_db = difference_db(stand_in, wanted)
    if error_db > ERROR_DB:
        apart = f"its impulse response is {error_db:.0f} dB from it"
        raise ValueError(f"{address} is not linear or changes with time: {apart}; remove it from the rack")
    return response, error_db
