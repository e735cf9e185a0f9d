"""Curves of an effect, measured on the engine: response, transfer curve, step response, harmonics, decay. No torch needed.

Which curves an effect has is said by `curves` in its card, or by a function `curves(effect, sample_rate)` in
`plugins/<id>/curves.py`; an effect with neither shows its frequency response.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..rack.compiling import own_latency
from ..rack.effect import CLASSES, Effect, without_key
from ..rack.effect_files import effect_file
from ..rack.rack import Rack
from .impulse import rt60

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One line: `x` and `y` with their labels; `log_x` for frequencies."""

    title: str
    x_label: str
    y_label: str
    x: Numbers
    y: Numbers
    log_x: bool = False


def curves(effect: Effect, sample_rate: float) -> list[Curve]:
    """The curves of an effect with its present values, measured as if it were not bypassed.

    An effect that only moves values of others has none.
    """
    if any(getattr(resource, "targets", ()) for resource in effect.resources.values()):
        return []
    active = effect.copy()
    active.bypass = False
    module = effect_file(effect.card, "curves")
    if module is not None:
        own: list[Curve] = module.curves(active, sample_rate)
        return own
    return [MEASUREMENTS[name](active, sample_rate) for name in effect.card.curves or ("response",)]


def _alone(effect: Effect) -> Rack:
    """A rack of the effect without its key, so that it is measured on the sound itself."""
    return Rack([without_key(effect)])


def frequency_response(effect: Effect, sample_rate: float) -> Curve:
    """Gain over frequency, from a small impulse, 20 Hz to 20 kHz."""
    size = 1 << 16
    impulse = np.zeros(size, np.float32)
    impulse[own_latency(effect, sample_rate, offline=True)] = 1e-3  # so that nothing is lost before it
    spectrum = np.abs(np.fft.rfft(_alone(effect)(impulse, sample_rate).astype(np.float64))) / 1e-3
    f = np.fft.rfftfreq(size, 1 / sample_rate)
    grid = np.geomspace(20, min(20000, 0.49 * sample_rate), 300)
    level = 20 * np.log10(np.interp(grid, f, spectrum) + 1e-9)
    return Curve("Frequency response", "Frequency in Hz", "Gain in dB", grid, level, log_x=True)


def transfer_curve(effect: Effect, sample_rate: float) -> Curve:
    """Level out over level in for a steady 1 kHz tone, in dB of its peak, -72 to 0 dBFS."""
    levels = np.arange(-72.0, 0.1, 2.0)
    seconds = 1.0
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    tone = np.sin(2 * np.pi * 1000 * t)
    out = []
    rack = _alone(effect)
    for level in levels:
        y = rack((10 ** (level / 20) * tone).astype(np.float32), sample_rate)
        out.append(20 * np.log10(np.max(np.abs(y[-int(0.1 * sample_rate) :])) + 1e-9))
    return Curve("Transfer curve", "Level in, dBFS", "Level out, dBFS", levels, np.array(out))


def harmonics(effect: Effect, sample_rate: float) -> Curve:
    """Level of the first 20 harmonics of a tone near 200 Hz at -6 dBFS, relative to the tone as it comes out."""
    size = 1 << 15
    cycles = round(200.0 * size / sample_rate)
    t = np.arange(3 * size)
    x = 0.5 * np.sin(2 * np.pi * cycles * t / size)
    y = _alone(effect)(x.astype(np.float32), sample_rate)[-size:]
    spectrum = np.abs(np.fft.rfft(y.astype(np.float64)))
    order = np.arange(1, 21)
    level = 20 * np.log10(spectrum[order * cycles] / max(spectrum[cycles], 1e-12) + 1e-8)
    return Curve("Harmonics", "Harmonic", "Level in dB", order.astype(float), level)


def step_response(effect: Effect, sample_rate: float) -> Curve:
    """Gain over time while the level jumps from -40 to 0 dBFS at 0.1 s and back at 0.5 s."""
    t = np.arange(int(1.5 * sample_rate)) / sample_rate
    x = np.where((t > 0.1) & (t < 0.5), 1.0, 0.01).astype(np.float32)
    y = _alone(effect)(x, sample_rate)
    every = max(1, int(sample_rate / 1000))
    gain = 20 * np.log10(np.abs(y) / x + 1e-9)
    return Curve("Attack and release", "Time in s", "Gain in dB", t[::every], gain[::every].astype(np.float64))


def decay_over_frequency(effect: Effect, sample_rate: float) -> Curve:
    """RT60 in octave bands, by Schroeder integration of the impulse response from -5 to -25 dB."""
    size = int(6 * sample_rate)
    impulse = np.zeros((2, size), np.float32)
    impulse[:, 0] = 1.0
    alone = effect.copy()
    if "mix" in alone.values():
        alone.set("mix", 1.0)
    h = Rack([alone])(impulse, sample_rate)
    centres = np.array([c for c in (63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000) if c * 1.41 < 0.49 * sample_rate], float)
    times = np.array([rt60(_band(h, c, sample_rate), sample_rate, end_db=-25.0) for c in centres])
    return Curve("Decay", "Frequency in Hz", "RT60 in s", centres, times, log_x=True)


def _band(h: Audio, centre: float, sample_rate: float) -> Numbers:
    """An octave band, by three band-pass filters of the engine."""
    equaliser = CLASSES["parametric_eq"]()
    for i in range(1, 4):
        for name, value in (("type", "band_pass"), ("frequency_hz", centre), ("q", 1.41)):
            equaliser.set(f"band{i}.{name}", value)
    return Rack([equaliser])(h, sample_rate).astype(np.float64)


MEASUREMENTS: dict[str, Callable[[Effect, float], Curve]] = {  # as cards name them
    "response": frequency_response,
    "transfer": transfer_curve,
    "step": step_response,
    "harmonics": harmonics,
    "decay": decay_over_frequency,
}
