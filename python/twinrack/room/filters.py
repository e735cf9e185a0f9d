"""Filters from curves: of linear phase, which delays all frequencies alike, or of minimum phase, which delays nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..audio import check_rate
from ..checks import check_integer, check_number, must_be
from ..rack.effect import Effect
from ..rack.effects import ConvolutionReverb
from ..rack.rack import Rack, as_rack
from ..rack.tree import Chain, Parallel
from ..resources.response import Response

Numbers = npt.NDArray[np.float64]
Phase = Literal["linear", "minimum"]
CurvePoints = Sequence[tuple[float, float]]

USUAL_S, LONGEST_S = 0.17, 0.4  # of a filter; 8192 frames at 48 kHz
FLOOR_DB = -120.0
FINE = 8  # points of the transform for each frame of the filter
IMPULSE_S, NOISE_S = 6.0, 1.0  # half of the first: in which a rack's answer must have died away
STILL = 1e-3  # of two sounds that should be one
SMALL, QUIET, LATER = 1e-3, 1e-3, 1000
HIGHEST_DB = 120.0


def linear_phase(
    curve: Rack | Effect | Chain | Parallel | CurvePoints,
    sample_rate: float,
    *,
    seconds: float = USUAL_S,
    phase: Phase = "linear",
) -> ConvolutionReverb:
    """An equaliser of linear phase: a convolution with a filter that has the gain of `curve` at every frequency.

    It delays the sound by half its length, which it declares as latency: 85 ms for the usual 0.17 s. A shorter one blurs what
    is narrow at low frequencies: it cannot tell frequencies apart that lie closer than 2 / seconds. Transients that go through
    steep or narrow filters of linear phase ring before they sound.

    Args:
        curve: an effect or a rack that does not change over time or with the level, such as an equaliser; or points (frequency
            in Hz, gain in dB), between which it goes straight over the logarithm of the frequency.
        sample_rate: Hz. At others the filter is resampled.
        seconds: length of the filter, 0.005 to 0.4.
        phase: "linear", or "minimum" for a filter without latency, such as an analogue one has.

    Returns:
        A `ConvolutionReverb` without dry sound; its filter is `impulse_response`, so it can be trained on.

    Raises:
        ValueError: values outside these ranges, points that do not rise, or a rack whose gain changes.
    """
    rate = check_rate(sample_rate)
    check_number(seconds, "seconds", 0.005, LONGEST_S)
    frames = odd_frames(seconds, rate)
    gain_db = _gain_db(curve, rate, FINE * frames)
    h = filter_of(gain_db, frames, phase)
    lead = frames // 2 if phase == "linear" else 0
    return played(Response(h, rate, f"a filter of {phase} phase"), lead / rate)


def odd_frames(seconds: float, rate: float) -> int:
    """Frames of a filter with a middle, of about so many seconds and at most the longest."""
    return 2 * min(round(0.5 * seconds * rate), int(0.5 * LONGEST_S * rate)) + 1


def played(response: Response, lead_s: float = 0.0, gain_db: float = 0.0) -> ConvolutionReverb:
    """A convolution that plays a filter: nothing dry, and its level as it is."""
    return ConvolutionReverb(
        impulse_response=response, mix=1.0, normalise=False, gain_db=gain_db, lead_ms=1e3 * lead_s, name="filter"
    )


def filter_of(gain_db: npt.ArrayLike, frames: int, phase: Phase = "linear") -> npt.NDArray[np.float32]:
    """The samples of a filter with given gains.

    Args:
        gain_db: (channels, points) or (points,): dB at equally spaced frequencies from 0 to half the sample rate; more points
            than the filter has frames. Below -120 dB counts as that.
        frames: its length; odd for linear phase, whose middle is frame `frames // 2`.
        phase: "linear", or "minimum" (A. V. Oppenheim, R. W. Schafer, Discrete-Time Signal Processing, ch. 13).

    Returns:
        (channels, frames) or (frames,) float32.
    """
    frames = check_integer(frames, "frames", 1)
    if phase not in ("linear", "minimum"):
        raise must_be("phase", '"linear" or "minimum"', phase)
    levels = np.maximum(np.asarray(gain_db, np.float64), FLOOR_DB)
    if not (np.isfinite(levels).all() and levels.max(initial=0.0) <= HIGHEST_DB):
        raise ValueError(f"the gains of a filter are finite and at most {HIGHEST_DB:.0f} dB")
    size = 2 * (levels.shape[-1] - 1)
    if size < frames:
        raise ValueError(f"{levels.shape[-1]} points are too few for a filter of {frames} frames; give at least as many")
    log_gain = np.log(10.0) / 20.0 * levels
    if phase == "linear":
        h = np.roll(np.fft.irfft(np.exp(log_gain), size), frames // 2, -1)[..., :frames]
        return np.asarray(h * _tapered(frames, both=True), np.float32)
    cepstrum = np.fft.irfft(log_gain, size)
    cepstrum[..., 1 : size // 2] *= 2.0
    cepstrum[..., size // 2 + 1 :] = 0.0
    h = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size)[..., :frames]
    return np.asarray(h * _tapered(frames, both=False), np.float32)


def _tapered(frames: int, both: bool) -> Numbers:
    """Fades over the outer half of a filter."""
    half = frames // 2 if both else frames
    fade = np.clip((half - np.arange(half + 1)) / (0.5 * half), 0.0, 1.0)
    later = 0.5 - 0.5 * np.cos(np.pi * fade)
    return np.concatenate([later[:0:-1], later])[:frames] if both else later[:frames]


def _gain_db(curve: Rack | Effect | Chain | Parallel | CurvePoints, rate: float, size: int) -> npt.NDArray[Any]:
    """The gain in dB, (channels, points) or (points,), at the frequencies of a transform of about `size` frames."""
    hertz = np.asarray(np.fft.rfftfreq(2 * (size // 2), 1.0 / rate), np.float64)
    if isinstance(curve, Rack | Effect | Chain | Parallel):
        return _of_rack(as_rack(curve), rate, hertz)
    return at_frequencies(curve, hertz)


def at_frequencies(points: CurvePoints, hertz: Numbers) -> Numbers:
    """A curve of points (Hz, dB), straight over the logarithm of the frequency and flat beyond its ends.

    Raises:
        ValueError: not pairs of numbers whose frequencies are above 0 and rise.
    """
    try:
        pairs = np.asarray([(float(hz), float(db)) for hz, db in points], np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise must_be("a curve", "a list of pairs (frequency in Hz, gain in dB)", points) from None
    if len(pairs) == 0 or not np.isfinite(pairs).all():
        raise ValueError("a curve is a list of at least one pair (frequency in Hz, gain in dB), all of them finite numbers")
    if pairs[0, 0] <= 0.0 or np.any(np.diff(pairs[:, 0]) <= 0.0):
        raise ValueError("the frequencies of a curve are numbers above 0 that rise from point to point")
    return np.interp(np.log(np.maximum(hertz, 1e-3)), np.log(pairs[:, 0]), pairs[:, 1])


def _of_rack(rack: Rack, rate: float, hertz: Numbers) -> npt.NDArray[Any]:
    """Of the left and right of a rack's answer to an impulse; one row where they are alike."""
    noise = (0.3 * np.random.default_rng(0).uniform(-1.0, 1.0, (2, round(NOISE_S * rate)))).astype(np.float32)
    loud, quiet = rack.copy()(noise, rate), rack.copy()(QUIET * noise, rate) / QUIET
    later = rack.copy()(np.pad(noise, ((0, 0), (LATER, 0))), rate)[:, LATER:]
    for other in (quiet, later):
        if _far_apart(loud, other):
            raise ValueError("the rack changes over time or with the level, so no filter does the same; give an equaliser")
    frames = round(IMPULSE_S * rate)
    rows = np.zeros((2, frames))
    for side in (0, 1):
        impulse = np.zeros((2, frames), np.float32)
        impulse[side, frames // 2] = SMALL  # in the middle: a filter may sound before it
        h = rack.copy()(impulse, rate).astype(np.float64) / SMALL
        if float(np.abs(h[1 - side]).max()) > STILL * max(float(np.abs(h[side]).max()), 1e-12):
            raise ValueError("the rack brings sound from one side to the other, which no filter for each side does")
        rows[side] = h[side]
    rows = rows if _far_apart(rows[:1], rows[1:]) else rows[:1]
    levels = 20.0 * np.log10(np.maximum(np.abs(np.fft.rfft(rows)), 10.0 ** (FLOOR_DB / 20.0)))
    own = np.fft.rfftfreq(frames, 1.0 / rate)
    return np.squeeze([np.interp(hertz, own, row) for row in levels])


def _far_apart(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return float(np.abs(a - b).max()) > STILL * max(float(np.abs(a).max()), 1e-12)
